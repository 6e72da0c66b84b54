"""Which json files a COCO project consists of, and where the pictures lie that they name."""
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kpjax.projects.names import common_place, forward
from kpjax.projects.project import Frame

SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
          "validation": "validation", "test": "test"}
WORDS = (b'"images"', b'"annotations"', b'"keypoints"')


class AnnotationFile(NamedTuple):
    """A json file that was read whole."""

    path: Path
    content: Mapping[str, Any]
    split: str  # train, validation, test or ""


def annotation_files(path: Path, faults: list[str]) -> list[AnnotationFile]:
    """The files of a project; empty, and a fault, if they are not clear or one is damaged."""
    found = _meant(path, faults)
    files = [AnnotationFile(file, content, split) for file, split in found
             if (content := _content(file, faults)) is not None]
    return files if len(files) == len(found) else []


def candidates(path: Path) -> list[Path]:
    """The json file that is meant, or those in a folder and two levels below with annotations and keypoints.

    Where a folder has none of these, files that have at least one of the words: something is wrong with them.
    """
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    words = {file: _words(file) for pattern in ("*.json", "*/*.json", "*/*/*.json") for file in path.glob(pattern)}
    most = [file for file, count in words.items() if count == len(WORDS)]
    return sorted(most or [file for file, count in words.items() if count])


def _words(path: Path) -> int:
    """How many of the words that make a file of keypoints are in it."""
    try:
        content = path.read_bytes()
    except OSError:
        return 0
    return sum(word in content for word in WORDS)


def _meant(path: Path, faults: list[str]) -> list[tuple[Path, str]]:
    """The annotation files that are meant, with the split that each holds."""
    found = candidates(path)
    if len(found) == 1:
        return [(found[0], "")]
    splits = [_split_of(file) for file in found]
    told = [split for split, _ in splits]
    if all(told) and len(set(told)) == len(told) and len({rest for _, rest in splits}) == 1:
        return list(zip(found, told, strict=True))
    names = ", ".join(file.relative_to(path).as_posix() for file in found[:8])
    faults.append(f"{path.name}: {len(found)} annotation files ({names}), and not one for each of train, val and test; "
                  "name one of them instead of the folder")
    return []


def _split_of(path: Path) -> tuple[str, str]:
    """(train, validation, test or "", the rest of the name)."""
    parts = re.split(r"([^a-zA-Z]+)", path.stem)
    told = [part for part in parts if part.lower() in SPLITS]
    if len(told) != 1:
        return "", path.stem
    return SPLITS[told[0].lower()], "".join(part for part in parts if part not in told)


def _content(path: Path, faults: list[str]) -> Mapping[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # of damaged json, and of text that is not UTF-8
        faults.append(f"{path.name}: no whole json ({error}); save or fetch it again")
        return None
    if not isinstance(content, dict):
        faults.append(f"{path.name}: no object with images, annotations and categories, as labels are kept, but "
                      f"{'a list, as results are' if isinstance(content, list) else shown(content)}; name another file")
        return None
    for field in ("images", "annotations", "categories"):
        if not isinstance(content.get(field), list):
            faults.append(f"{path.name}, {field}: {shown(content.get(field))} where a list belongs; save it again")
        elif wrong := [at for at, one in enumerate(content[field]) if not isinstance(one, dict)]:
            faults.append(f"{path.name}, {field} number {wrong[0]}: {shown(content[field][wrong[0]])} where an object "
                          "belongs; save it again")
        else:
            continue
        return None
    return content


def images_of(file: AnnotationFile, faults: list[str]) -> list[Mapping[str, Any]]:
    """The images of a file that have an id and a name of their own."""
    known: dict[Any, str] = {}
    names, images = set(), []
    for at, image in enumerate(file.content["images"]):
        where = f"{file.path.name}, image {named(image, at)}"
        identity, name = image.get("id"), name_of(image)
        if not isinstance(identity, int | str) or isinstance(identity, bool):
            faults.append(f"{where}, id: {shown(identity)} where a number belongs; give every image its own")
        elif not isinstance(name, str) or not name.strip():
            faults.append(f"{where}, file_name: {shown(name)} where the name of a picture belongs; fill it in")
        elif identity in known:
            faults.append(f"{where}: the id is that of {known[identity]!r} too; give every image its own")
        elif forward(name) in names:
            faults.append(f"{where}, file_name: {name!r} is listed twice; join the two images under one id")
        else:
            known[identity] = name
            names.add(forward(name))
            images.append(image)
    return images


def name_of(image: Mapping[str, Any]) -> Any:
    """The name of an image's file; some sets call the field `filename`."""
    return image.get("file_name", image.get("filename"))


def picture_places(path: Path, files: Sequence[AnnotationFile], images: Sequence[Mapping[str, Any]]
                   ) -> tuple[Path, list[Path]]:
    """(the folder that all is in, where each picture lies, or should).

    They are looked for as `common_place` does, in the folders of the project and of its files, in the one above a
    folder of annotations, and in all that lie right below these.
    """
    names = [tuple(forward(name_of(image)).lstrip("/").split("/")) for image in images]
    homes = [path] if path.is_dir() else []
    for file in files:
        homes += [file.path.parent, *([file.path.parent.parent] if _of_annotations(file.path.parent) else [])]
    homes = list(dict.fromkeys(homes))
    folders = list(dict.fromkeys((*homes, *(one for home in homes for one in sorted(home.iterdir()) if one.is_dir()))))

    chosen, dropped = common_place(names, folders)
    # COCO's own sets have a folder of pictures for each split.
    others = [folder for folder in folders if folder != chosen] if len(files) > 1 else []
    places = []
    for parts in names:
        rest = parts[dropped:] or parts
        where = next((folder for folder in (chosen, *others) if folder.joinpath(*rest).is_file()), chosen)
        places.append(where.joinpath(*rest))
    root = homes[0] if all(place.is_relative_to(homes[0]) for place in places) else homes[0].parent
    return root, places


def _of_annotations(folder: Path) -> bool:
    return folder.name.lower().startswith(("anno", "label"))


def frame_of(image: Mapping[str, Any], place: Path, root: Path, split: str) -> Frame:
    """An image as a frame of the project in `root`; its size is (0, 0) where the file does not state it."""
    size = tuple(int(image[side]) if isinstance(image.get(side), int | float) and math.isfinite(image[side]) else 0
                 for side in ("width", "height"))
    name = (place.relative_to(root) if place.is_relative_to(root) else place).as_posix()
    session = image.get("session", image.get("video_id", ""))
    told = image.get("split")
    return Frame(name, place, None, size if all(size) else (0, 0), str(session),
                 told if told in tuple(SPLITS.values()) else split)


def key_of(value: Any) -> int | str | None:
    """An id as something that ids can be compared with, whatever a damaged file has in its place."""
    return value if value is None or isinstance(value, int | str) else shown(value)


def named(one: Mapping[str, Any], at: int) -> str:
    """What to call an image or an annotation in a message."""
    return f"number {at}" if one.get("id") is None else f"id {one['id']}"


def shown(value: Any) -> str:
    """A value of any kind in a few characters."""
    text = "nothing" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."
