"""COCO keypoint files (Lin et al., Microsoft COCO: common objects in context, ECCV 2014), and the many like them.

Coordinates count from 0 at the centre of the first pixel. `keypoints` are x, y, v triples: v 0 not labelled (x = y = 0
is filler), 1 occluded, 2 visible; in files that know 0 and 1 only, 1 means visible. `skeleton` counts from 1, in some
files from 0. A crowd (`iscrowd`) and an annotation without a labelled keypoint are regions and no instances.
"""
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax.annotations.names import common_place, derived_flip, flip_line, forward, with_sessions
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.errors import InputError
from kpjax.structures import Skeleton

# Which json files a COCO project consists of, and where the images lie that they name


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
            faults.append(f"{where}, file_name: {shown(name)} where the name of an image belongs; fill it in")
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


def image_places(path: Path, files: Sequence[AnnotationFile], images: Sequence[Mapping[str, Any]]
                   ) -> tuple[Path, list[Path]]:
    """(the folder that all is in, where each image lies, or should).

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
    # COCO's own sets have a folder of images for each split.
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


# Which category of COCO files is read, and the skeleton that it declares


Contents = Sequence[tuple[str, Mapping[str, Any]]]  # the name and content of each file


class Category(NamedTuple):
    """What is labelled, for example persons."""

    identity: Any  # its id in the files
    name: str
    skeleton: Skeleton
    stored: Mapping[str, Any]  # as the file has it
    notes: tuple[str, ...]


def read_category(files: Contents, wanted: str, faults: list[str]) -> Category | None:
    """The category called `wanted`, or the only one that has keypoints; None, and a fault, if there is none such."""
    where = files[0][0]
    labelled = Counter(key_of(annotation.get("category_id")) for _, content in files
                       for annotation in content["annotations"] if annotation.get("keypoints"))
    known = {key_of(category.get("id")): category
             for _, content in reversed(files) for category in content["categories"]}
    if unknown := [identity for identity in labelled if identity not in known]:
        faults.append(f"{where}, categories: none has the id {json.dumps(unknown[0])} that {labelled[unknown[0]]} "
                      "annotations with keypoints name; add it")
        return None
    if differing := [name for name, content in files for category in content["categories"]
                     if category.get("keypoints") != known[key_of(category.get("id"))].get("keypoints")]:
        faults.append(f"{differing[0]}, categories: other keypoints than in {where}; give all files the same")
        return None
    # A category without annotations counts where there is no other, so that an empty project is told from a wrong one.
    usable = list(labelled) or [identity for identity, one in known.items() if one.get("keypoints")]
    names = {identity: str(known[identity].get("name", identity)) for identity in usable}
    if wanted:
        usable = [identity for identity in usable if wanted in (names[identity], str(identity))]
    if len(usable) == 1:
        return _category(files, known[usable[0]], names[usable[0]], faults)
    listed = ", ".join(f"{name!r} ({labelled[identity]})" for identity, name in names.items())
    if not names:
        faults.append(f"{where}, annotations: none has keypoints; name a file with labelled keypoints")
    elif wanted:
        faults.append(f"--category {wanted}: no such category with keypoints in {where}; it has {listed}")
    else:
        faults.append(f"{where}, categories: {len(names)} have keypoints: {listed}; choose one with --category")
    return None


def _category(files: Contents, stored: Mapping[str, Any], name: str, faults: list[str]) -> Category | None:
    where = f"{files[0][0]}, category {name!r}"
    names = stored.get("keypoints") or []
    notes: list[str] = []
    if not isinstance(names, list):
        faults.append(f"{where}, keypoints: {json.dumps(names)[:40]} where a list of names belongs; mend the list")
        return None
    if not names:
        names = [f"point_{number}" for number in range(_usual_count(files, key_of(stored.get("id"))))]
        notes.append(f"category {name!r} names no keypoints: they are called point_0 to point_{len(names) - 1}")
    names = tuple(str(one) for one in names)
    edges = _edges(stored.get("skeleton") or [], len(names), where, notes, faults)
    flip = _stored_flip(stored, names) or derived_flip(names)
    if "flip" not in stored:
        notes.append(flip_line(names, flip))
    try:
        return Category(key_of(stored.get("id")), name, Skeleton(names, edges, flip or ()), stored, tuple(notes))
    except InputError as error:
        faults.append(f"{where}: {error}")
        return None


def _usual_count(files: Contents, identity: Any) -> int:
    """How many keypoints most annotations of a category have."""
    counts = Counter()
    for _, content in files:
        for annotation in content["annotations"]:
            keypoints = annotation.get("keypoints")
            if key_of(annotation.get("category_id")) == identity and isinstance(keypoints, list) and keypoints:
                counts[len(keypoints) if isinstance(keypoints[0], list) else len(keypoints) // 3] += 1
    return counts.most_common(1)[0][0] if counts else 0


def _edges(stored: Any, count: int, where: str, notes: list[str], faults: list[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of indices from 0, from a list that counts from 1, or from 0 if it has a 0."""
    if not isinstance(stored, list) or not all(
            isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, int) for end in edge) for edge in stored):
        faults.append(f"{where}, skeleton: {json.dumps(stored)[:40]} where a list of pairs of numbers belongs; mend or "
                      "delete it")
        return ()
    first = 0 if any(0 in edge for edge in stored) else 1
    if not first:
        notes.append("the skeleton counts keypoints from 0, unlike COCO's own")
    edges = [(a - first, b - first) for a, b in stored]
    kept = tuple(edge for edge in edges if all(0 <= end < count for end in edge) and edge[0] != edge[1])
    if len(kept) < len(edges):
        notes.append(f"{len(edges) - len(kept)} of {len(edges)} edges of the skeleton are dropped: they name no pair "
                     f"of the {count} keypoints")
    return kept


def _stored_flip(stored: Mapping[str, Any], names: Sequence[str]) -> tuple[int, ...] | None:
    """The mirror images that kpjax's own writer keeps as a mapping of names, if they are whole."""
    pairs = stored.get("flip")
    if not isinstance(pairs, dict):
        return None
    both = {**pairs, **{b: a for a, b in pairs.items()}}
    if not all(name in names for name in both):
        return None
    return tuple(names.index(both.get(name, name)) for name in names)


# One annotation of a COCO file as an instance


def _triples(annotation: Mapping[str, Any]) -> np.ndarray | None:
    """(n, 3) float64 of x, y, v, from a flat list or a list of triples; None if it is neither."""
    stored = annotation.get("keypoints")
    try:
        flat = np.asarray(stored, np.float64)
    except (TypeError, ValueError):
        return None
    if flat.ndim == 1 and flat.size % 3 == 0:
        return flat.reshape(-1, 3)
    return flat if flat.ndim == 2 and flat.shape[1] == 3 else None


def only_zero_and_one(files: Sequence[AnnotationFile], category: Category) -> bool:
    """Whether v is 0 or 1, and not always 0, in every annotation of a category."""
    found = set()
    for file in files:
        for annotation in file.content["annotations"]:
            if key_of(annotation.get("category_id")) == category.identity and annotation.get("keypoints"):
                triples = _triples(annotation)
                found |= set() if triples is None else set(triples[:, 2].tolist())
    return 1.0 in found and found <= {0.0, 1.0}


class Context(NamedTuple):
    """What an annotation is read against."""

    category: Category
    frames: Mapping[tuple[Path, Any], int]  # file and id of an image -> the number of its frame
    all_images: bool  # whether every image of the files is among `frames`
    one_is_visible: bool  # see `only_zero_and_one`


def instance_of(
    annotation: Mapping[str, Any], where: str, path: Path, context: Context, seen: set, skipped: Counter[str],
    faults: list[str],
) -> Instance | None:
    """An annotation as an instance; None for one that is none, counted in `skipped`, or wrong, told in `faults`.

    where: what faults call it. path: the file that it is in. seen: the ids of those before it, in that file.
    """
    category = context.category
    if (identity := key_of(annotation.get("id"))) is not None:
        if identity in seen:
            faults.append(f"{where}: the id occurs twice; give every annotation its own")
        seen.add(identity)
    if key_of(annotation.get("category_id")) != category.identity:
        skipped["of other categories, left out"] += 1
        return None
    if not annotation.get("keypoints"):
        skipped["without keypoints, left out"] += 1
        return None
    count = len(category.skeleton.names)
    triples = _triples(annotation)
    if triples is None or len(triples) != count:
        found = shown(annotation["keypoints"]) if triples is None else f"{triples.size}"
        faults.append(f"{where}, keypoints: {found} where 3 x {count} numbers belong (x, y, v of each keypoint of "
                      f"category {category.name!r}); mend the list")
        return None
    flags = triples[:, 2]
    if wrong := np.flatnonzero(~np.isin(flags, (0, 1, 2))).tolist():
        faults.append(f"{where}, keypoints, v of {category.skeleton.names[wrong[0]]}: {flags[wrong[0]]:g} where 0 (not "
                      "labelled), 1 (occluded) or 2 (visible) belongs; scores are no labels")
        return None
    if wrong := np.flatnonzero((flags > 0) & ~np.isfinite(triples[:, :2]).all(1)).tolist():
        faults.append(f"{where}, keypoints, {category.skeleton.names[wrong[0]]}: x or y is no finite number; give "
                      "both, or v = 0")
        return None
    frame = context.frames.get((path, key_of(annotation.get("image_id"))))
    if frame is None and not context.all_images:
        return None  # its image is told to be wrong
    if frame is None:
        faults.append(f"{where}, image_id: {shown(annotation.get('image_id'))} is the id of no image; add the image or "
                      "delete the annotation")
        return None
    if annotation.get("iscrowd"):
        skipped["of crowds, left out"] += 1
        return None
    if not flags.any():
        skipped["without a labelled keypoint, left out"] += 1
        return None
    return Instance(frame, np.where(flags[:, None] > 0, triples[:, :2], np.nan), (flags > 0).astype(np.float32),
                    (flags == 1) & (not context.one_is_visible), _box(annotation, where, skipped, faults),
                    str(annotation.get("track", annotation.get("track_id", ""))))


def _box(annotation: Mapping[str, Any], where: str, skipped: Counter[str], faults: list[str]) -> np.ndarray:
    """(4,) x, y, width, height; nan where there is none, or one that was only drawn around the points."""
    none, stored = np.full(4, np.nan), annotation.get("bbox")
    if not stored or annotation.get("bbox_from_points"):
        return none
    try:
        box = np.asarray(stored, np.float64)
    except (TypeError, ValueError):
        box = none
    if box.shape != (4,) or not np.isfinite(box).all():
        faults.append(f"{where}, bbox: {shown(stored)} where x, y, width and height belong; mend or delete it")
        return none
    if not (box[2:] > 0).all():
        skipped["with a box of no area, which is left aside"] += 1
        return none
    return box


FILE = "annotations.json"


def recognises(path: Path) -> bool:
    """Whether it is a json file, or a folder with one that has annotations."""
    return bool(candidates(path))


def read(path: Path, faults: list[str], *, category: str = "") -> Project | None:
    """The project in a json file, or in a folder that holds one (or one for each of train, val and test).

    category: the name of the one to read, where several have keypoints. Images lie where `file_name` says, below the
    file's folder, the one above it, or one of the folders in these.
    """
    files = annotation_files(path, faults)
    chosen = read_category([(file.path.name, file.content) for file in files], category, faults) if files else None
    if chosen is None:
        return None
    before = len(faults)
    images = [(file, image) for file in files for image in images_of(file, faults)]
    root, places = image_places(path, files, [image for _, image in images])
    frames, numbers = [], {}
    for (file, image), place in zip(images, places, strict=True):
        numbers[file.path, image["id"]] = len(frames)
        frames.append(frame_of(image, place, root, file.split))
    context = Context(chosen, numbers, len(faults) == before, only_zero_and_one(files, chosen))
    instances, identities, skipped = [], [], Counter()
    for file in files:
        seen: set[Any] = set()
        for at, annotation in enumerate(file.content["annotations"]):
            instance = instance_of(
                annotation, f"{file.path.name}, annotation {named(annotation, at)}", file.path, context, seen, skipped,
                faults)
            if instance is not None:
                instances.append(instance)
                identities.append(annotation.get("id"))
    notes = [*chosen.notes, *(f"annotations {why}: {count}" for why, count in sorted(skipped.items()))]
    if context.one_is_visible:
        notes.append("v is 0 or 1 everywhere: 1 is taken to mean visible, not occluded")
    details = {"category": chosen.stored, "annotation_ids": tuple(identities),
               "image_ids": {frame.name: image["id"] for frame, (_, image) in zip(frames, images, strict=True)},
               "info": files[0].content.get("info"), "licenses": files[0].content.get("licenses")}
    return Project(root, "coco", chosen.skeleton, tuple(with_sessions(frames)), tuple(instances), tuple(notes), details)


def write(project: Project, folder: Path) -> list[Path]:
    """Writes annotations.json and returns its path. `file_name` is a frame's name: images belong below `folder`.

    Ids of images, annotations and category are those that were read, where all are known and differ, else they count
    from 1. An instance without a box gets that of its points, marked by `bbox_from_points`. What COCO has no field for
    (split, session, track, pairs to flip) stands in fields of these names, which other readers pass over. A frame of a
    video is called `<video>/<number>.png`.
    """
    category = {"id": 1, "name": "animal", "supercategory": "animal", **project.details.get("category", {}),
                **_declared(project.skeleton)}
    image_ids = _identities([project.details.get("image_ids", {}).get(frame.name) for frame in project.frames])
    known = project.details.get("annotation_ids", ())
    annotation_ids = _identities(known if len(known) == len(project.instances) else [None] * len(project.instances))
    content = {
        "info": project.details.get("info") or {"description": f"{project.root.name}, written by kpjax"},
        "licenses": project.details.get("licenses") or [],
        "images": [_image(frame, identity) for frame, identity in zip(project.frames, image_ids, strict=True)],
        "annotations": [_annotation(one, identity, image_ids[one.frame], category["id"])
                        for one, identity in zip(project.instances, annotation_ids, strict=True)],
        "categories": [category]}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}.writing"
    temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    return [temporary.replace(folder / FILE)]


def _declared(skeleton: Skeleton) -> dict[str, Any]:
    """Names, edges from 1, and the pairs to flip where they do not follow from the names."""
    declared: dict[str, Any] = {"keypoints": list(skeleton.names),
                                "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges]}
    if skeleton.flip != (derived_flip(skeleton.names) or ()):
        declared["flip"] = {skeleton.names[a]: skeleton.names[b] for a, b in enumerate(skeleton.flip) if a < b}
    return declared


def _identities(known) -> list[Any]:
    """The ids as they were if every one is there and of its own, else 1, 2, 3, ..."""
    known = list(known)
    return known if None not in known and len(set(known)) == len(known) else list(range(1, len(known) + 1))


def _image(frame: Frame, identity: Any) -> dict[str, Any]:
    name = frame.name if frame.number is None else f"{frame.name}.png"
    image = {"id": identity, "file_name": name, "width": frame.size[0], "height": frame.size[1]}
    return {**image, **{field: value for field in ("split", "session") if (value := getattr(frame, field))}}


def _annotation(one: Instance, identity: Any, image: Any, category: Any) -> dict[str, Any]:
    labelled = one.visible > 0
    flags = np.where(labelled, np.where(one.occluded, 1, 2), 0)
    triples = [number for (x, y), v in zip(one.keypoints.tolist(), flags.tolist(), strict=True)
               for number in ((x, y, v) if v else (0, 0, 0))]
    seen, drawn = one.keypoints[labelled], np.isfinite(one.box).all()
    # The edges of a box are half a pixel beyond the centres of the pixels in its corners.
    box = one.box if drawn else np.concatenate([seen.min(0) + 0.5, np.ptp(seen, axis=0)])
    annotation = {"id": identity, "image_id": image, "category_id": category, "keypoints": triples,
                  "num_keypoints": int(labelled.sum()), "bbox": box.tolist(), "area": float(box[2] * box[3]),
                  "iscrowd": 0}
    if not drawn:
        annotation["bbox_from_points"] = True
    return {**annotation, "track": one.track} if one.track else annotation
