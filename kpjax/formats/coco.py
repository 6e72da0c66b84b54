"""COCO keypoint files (Lin et al., Microsoft COCO: common objects in context, ECCV 2014), and
similar ones.

Coordinates count from 0 at the centre of the first pixel, but in what Label Studio, CVAT and
Roboflow export, from its corner. `keypoints` are x, y, v triples: v = 0
unlabelled (x = y = 0 is filler), 1 occluded, 2 visible. In files that use 0 and 1 only, 1 means
visible. `skeleton` counts from 1, in some files from 0. Crowds (`iscrowd`) and annotations without
a labelled keypoint are not instances.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.files import foreign, strict, write_text
from kpjax.formats import names as naming
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Frame, Instance, Project, Report, instance_of
from kpjax.images.reading import spread

Json = Mapping[str, Any]
_IMAGES = "images"  # the usual name of a folder of images
_COMPARED = 20  # images that are looked for in another folder
_WORDS = (b'"images"', b'"annotations"', b'"keypoints"')

_FILE = "annotations.json"


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads a json file, or a folder that holds one, or one each for train, val and test.

    Images are searched where `file_name` says, below the file's folder, its parent, and the folders
    inside these. Raises InputError if no category can be read. The option `category` is a name or
    id, where several have keypoints.
    """
    files = _files(path)
    categories, skeleton, doubts = _read_category(files, options.category, report)
    images = [(file, image) for file in files for image in _images_of(file)]
    root, paths, copied = _image_paths(path, files, images)
    doubts += copied
    frames = []
    numbers = {}
    for (file, image), place in zip(images, paths, strict=True):
        numbers[file.path, image["id"]] = len(frames)
        name = naming.below(place, root)
        where = report.at(f"{file.label}, image {image['id']}")
        with foreign(where.place, "correct its width and height"):
            width = int(image.get("width") or 0)
            height = int(image.get("height") or 0)
        size = (width, height) if width and height else (0, 0)
        session = image.get("session")
        if session is None:
            session = image.get("video_id")
        session = "" if session is None else str(session)
        stated = str(image.get("split") or "")
        split = naming.split_of(stated, where) or file.split
        frames.append(Frame(name, place, None, size, session, split))
    instances = _read_instances(files, categories, skeleton.names, numbers, report)
    stored_names = [image["file_name"] for _, image in images]
    tool = _tool_of(files, stored_names)
    return Project(root, "coco", skeleton, frames, instances, doubts=doubts, tool=tool)


def _tool_of(files: Sequence["_File"], names: Sequence[str]) -> str:
    """Returns the tool that wrote files; CVAT fills in nothing of `info`, and calls them after its
    subsets as COCO calls its own after years."""
    facts = []
    for file in files:
        info = file.content.get("info")
        if isinstance(info, dict):
            facts += map(str, info.values())
    said = " ".join(facts)
    of_cvat = re.compile(r"person_keypoints_(?!\w+20\d\d$).+")
    if not said.strip() and all(of_cvat.fullmatch(file.path.stem) for file in files):
        return "CVAT"
    return naming.tool_of(said, names)


class _File(NamedTuple):
    path: Path
    content: Json
    split: str  # train, validation, test or ""
    label: str  # how messages call it


def files_of(path: Path) -> list[Path]:
    """Returns the files that look like annotations, two levels down; with some of the fields if
    none has all.
    """
    counts = {}
    for file in naming.shown_files(path, "*.json", "*/*.json", "*/*/*.json"):
        content = read_start(file)
        if content.lstrip().startswith(b"{"):
            counts[file] = sum(word in content for word in _WORDS)
    whole = [file for file, count in counts.items() if count == len(_WORDS)]
    if whole:
        return whole
    return [file for file, count in counts.items() if count]


def read_start(file: Path) -> bytes:
    """Returns what a json file holds; of another only its start, and nothing of one that cannot be
    read.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(100).removeprefix(b"\xef\xbb\xbf")
            if start.lstrip().startswith((b"{", b"[")):
                return start + stream.read()
            return start
    except OSError:
        return b""


def _files(path: Path) -> list[_File]:
    """Reads the annotation files of a project, each with its split.

    Raises InputError if they are ambiguous.
    """
    found = files_of(path)
    splits = [""]
    if len(found) > 1:
        # The split is in the files' names, or in that of their folders.
        file_names = [file.stem for file in found]
        folder_names = [file.parent.name for file in found]
        for names in (file_names, folder_names):
            splits, rests = zip(*map(_split_of, names), strict=True)
            differ_by_split = len({*splits}) == len(found) and len({*rests}) == 1
            if all(splits) and differ_by_split:
                break
        else:
            listed = ", ".join(naming.below(file, path) for file in found[:8])
            raise InputError(
                f"{path.name}: {len(found)} annotation files ({listed}), not one for each split; name one"
            )
    files = []
    for file, split in zip(found, splits, strict=True):
        label = naming.below(file, path) if len(found) > 1 else file.name
        content = naming.json_of(file)
        for field in ("images", "annotations", "categories"):
            stored = content.get(field)
            listed = stored if isinstance(stored, list) else [stored]
            wrong = [one for one in listed if not isinstance(one, dict)]
            if wrong:
                raise InputError(
                    f"{label}, {field}: {wrong[0]!r:.60} where a list of objects belongs; correct it"
                )
        files.append(_File(file, content, split, label))
    return files


def _split_of(name: str) -> tuple[str, str]:
    """Returns the split that a name contains ("" if none), and the rest of the name."""
    parts = re.split(r"([^a-zA-Z]+)", name)
    found = [part for part in parts if part.lower() in naming.SPLITS]
    if len(found) != 1:
        return "", name
    split = naming.SPLITS[found[0].lower()]
    rest = "".join(part for part in parts if part not in found)
    return split, rest


def _images_of(file: _File) -> list[Json]:
    """Returns the images of a file. Raises InputError for one without a name or an id of its own."""
    known: dict[Any, str] = {}
    for at, image in enumerate(file.content["images"]):
        place = f"{file.label}, images[{at}]"
        name = image.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise InputError(
                f"{place}, file_name: {name!r:.60} where the name of an image belongs; fill it in"
            )
        with foreign(f"{place}, id", "give every image a number of its own"):
            identity = image["id"]
            if identity in known:
                raise InputError(
                    f"{place}: {known[identity]!r} has the same id; give every image its own"
                )
            known[identity] = name
    return file.content["images"]


def _image_paths(
    path: Path, files: Sequence[_File], images: Sequence[tuple[_File, Json]]
) -> tuple[Path, list[Path], list[str]]:
    """Returns the project's root and the path of each image, found by one rule for the images of
    each file, and doubts about them.

    Searched are the folders of the project and its files, the parent of an annotations folder, and
    two levels of their subfolders, those called images first; with a file for each split, first the
    folders that are named as its split, and none that is of another.
    """
    homes = [path] if path.is_dir() else []
    for file in files:
        folder = file.path.parent
        homes.append(folder)
        if folder.name.lower().startswith(("anno", "label")):
            homes.append(folder.parent)
    homes = [Path(os.path.normpath(home)) for home in dict.fromkeys(homes)]

    def images_first(folder: Path) -> tuple[bool, bool, Path]:
        return folder.name.lower() != _IMAGES, folder.parent.name.lower() != _IMAGES, folder

    below = []
    for pattern in ("[!.]*", "[!.]*/[!.]*"):
        for home in homes:
            found = filter(Path.is_dir, home.glob(pattern))
            below += sorted(found, key=images_first)
    split_of_folder = {folder: _split_of(folder.name)[0] for folder in below}
    paths = []
    doubts = []
    for file in files:
        folders = [*homes, *below]
        if file.split:
            mine = [folder for folder in below if split_of_folder[folder] == file.split]
            others = [folder for folder in below if not split_of_folder[folder]]
            folders = [*mine, *homes, *others]
        names = [image["file_name"] for owner, image in images if owner is file]
        if not names:
            continue
        searched = list(dict.fromkeys(folders))
        folder, found = naming.image_paths(names, searched)
        paths += [Path(os.path.normpath(one)) for one in found]
        copies = _copies(folder, found, searched, file.split)
        if copies:
            here, *there = (naming.below(one, homes[0].parent) for one in (folder, *copies))
            doubts.append(
                f"{file.label}: images of these names are in {here}, and in {', '.join(there)}; those in {here} are "
                "read: move the others away, or call the right folder images"
            )
    holding = (home for home in homes if all(one.is_relative_to(home) for one in paths))
    return next(holding, homes[0]), paths, doubts


def _copies(
    folder: Path, found: Sequence[Path], searched: Sequence[Path], split: str
) -> list[Path]:
    """Returns the other folders with images of the same names, such as copies with labels drawn in;
    none if the folder is called images, and none of another split.
    """
    if _IMAGES in (folder.name.lower(), folder.parent.name.lower()):
        return []
    rests = [image.relative_to(folder) for image in spread(found, _COMPARED)]
    copies = []
    for place in searched:
        of_another = _split_of(place.name)[0] not in ("", split)
        if of_another or not all((place / rest).is_file() for rest in rests):
            continue
        if place.resolve() != folder.resolve():
            copies.append(place)
    return copies


def _read_category(
    files: Sequence[_File], wanted: str, report: Report
) -> tuple[dict[Path, Any], Skeleton, list[str]]:
    """Reads the category called `wanted`, or the only one with keypoints of each file: its id in each
    file, which numbers its own, its keypoints, and doubts. Raises InputError if it is unclear."""
    where = files[0].label
    counts = Counter()
    chosen = {}
    annotated = {}
    for file in files:
        with_points = [one for one in file.content["annotations"] if one.get("keypoints")]
        annotated[file.path] = Counter(one.get("category_id") for one in with_points)
    for file in files:
        known = {one.get("id"): one for one in file.content["categories"]}
        in_use = list(annotated[file.path])
        if not any(annotated.values()):  # so a project without labels still has a skeleton
            in_use = [identity for identity, one in known.items() if one.get("keypoints")]
        fitting = []
        for identity in in_use:
            with foreign(
                f"{file.label}, categories", "add the one with this id, which annotations have"
            ):
                name = _name_of(known[identity])
            counts[name] += annotated[file.path][identity]
            if wanted in ("", name, str(identity)):
                fitting.append(known[identity])
        by_name = [one for one in fitting if _name_of(one) == wanted]
        if fitting:
            chosen[file.path] = by_name or fitting
    if not counts:
        raise InputError(
            f"{where}, annotations: none has keypoints, they are boxes or outlines; export keypoints: "
            "'COCO Keypoints' of CVAT, a keypoint project of Roboflow, 'JSON' of Label Studio"
        )
    names = {_name_of(one) for found in chosen.values() for one in found}
    numbers = {one.get("id") for found in chosen.values() for one in found}
    several = any(len(found) > 1 for found in chosen.values())
    if several or not chosen or len(names) > 1 < len(numbers) + bool(wanted):
        found = f"{len(counts)} in {where} have keypoints"
        if wanted:
            found = f"{wanted!r} is no name of one with keypoints in {where}"
        listed = ", ".join(f"{name!r} ({count})" for name, count in counts.items())
        raise InputError(f"`category`: {found}; choose one of {listed}")
    first, *others = (one for (one,) in chosen.values())
    if any(one.get("keypoints") != first.get("keypoints") for one in others):
        raise InputError(
            f"{where}, category {_name_of(first)!r}: other keypoints in another file; give all files the same"
        )
    doubts = []
    if len(names) > 1 or len(numbers) > 1:
        doubts.append(
            f"files of splits call the category {' and '.join(sorted(names))}, with the ids "
            f"{' and '.join(sorted(map(str, numbers)))}: taken for one, each file numbers its own"
        )
    place = report.at(f"{where}, category {_name_of(first)!r}")
    skeleton = _skeleton(first, place)
    return {path: one.get("id") for path, (one,) in chosen.items()}, skeleton, doubts


def _name_of(category: Json) -> str:
    return str(category.get("name", category.get("id")))


def _skeleton(stored: Json, report: Report) -> Skeleton:
    names = stored.get("keypoints")
    lines = stored.get("skeleton") or []
    if not names or not isinstance(names, list):
        raise InputError(
            f"{report.place}, keypoints: {names!r:.60} where a list of names belongs; fill it in"
        )
    with foreign(f"{report.place}, skeleton", "give pairs of numbers, or delete it"):
        # the stored list counts from 1, or from 0 if it has a 0
        first = 0 if any(0 in edge for edge in lines) else 1
        places = {*range(first, len(names) + first)}
        edges = []
        for one, other in lines:
            if one != other and {one, other} <= places:
                edges.append((one - first, other - first))
    if len(edges) < len(lines):
        report.notes.append(
            f"{len(lines) - len(edges)} of {len(lines)} edges join no two keypoints, dropped"
        )
    pairs = None
    flip = stored.get("flip")  # as kpjax stored it
    if flip is not None and {*flip, *flip.values()} <= {*names}:
        pairs = [(names.index(a), names.index(b)) for a, b in flip.items()]
    return naming.skeleton_of(names, edges, pairs, report)


def _read_instances(
    files: Sequence[_File],
    categories: Mapping[Path, Any],
    names: Sequence[str],
    frames: Mapping[tuple[Path, Any], int],
    report: Report,
) -> list[Instance]:
    """Returns the instances of a category.

    categories: its id in each file that has it. frames: numbers by file and image id.
    """
    instances = []
    skipped = Counter()
    for file in files:
        mine = categories.get(file.path)
        for at, annotation in enumerate(file.content["annotations"]):
            if mine is None or annotation.get("category_id") != mine:
                skipped["of other categories, left out"] += 1
                continue
            if not annotation.get("keypoints"):
                skipped["without keypoints, left out"] += 1
                continue
            if annotation.get("iscrowd"):
                skipped["of crowds, left out"] += 1
                continue
            place = report.at(f"{file.label}, annotations[{at}]")
            with foreign(place.place, "correct or delete it"):
                image = annotation.get("image_id")
                frame = frames.get((file.path, image))
                if frame is None:
                    place.within("image_id").fault(
                        f"no image has the id {image!r:.60}; add the image or delete the annotation"
                    )
                    continue
                instances.append(_instance(annotation, frame, names, place))
    labelled = [one for one in instances if one.seen.any()]
    skipped["without a labelled keypoint, left out"] += len(instances) - len(labelled)
    for why, count in sorted(skipped.items()):
        if count:
            report.notes.append(f"annotations {why}: {count}")
    if labelled and all(one.occluded[one.seen].all() for one in labelled):
        report.notes.append("v is 0 or 1 everywhere: 1 is taken to mean visible, not occluded")
        return [one._replace(occluded=np.zeros_like(one.occluded)) for one in labelled]
    return labelled


def _instance(annotation: Json, frame: int, names: Sequence[str], report: Report) -> Instance:
    """Returns the animal of an annotation; without points, and with a fault, if they are wrong."""
    triples = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
    if len(triples) != len(names):
        raise InputError(
            f"{report.place}, keypoints: {triples.size} where 3 x {len(names)} numbers belong (x, y, v of each "
            "keypoint of the category); correct the list"
        )
    flags = triples[:, 2]
    labelled = flags > 0
    known_flag = np.isin(flags, (0, 1, 2))
    wrong = ~known_flag | (labelled & ~np.isfinite(triples).all(1))
    for k in np.flatnonzero(wrong).tolist():
        report.within(f"keypoints, {names[k]}").fault(
            f"{triples[k].tolist()} where x, y and v belong, v 0 (not labelled), 1 (occluded) or 2 (visible); scores "
            "are not labels"
        )
    # a box that was drawn around points of one line has no area
    box = np.array(annotation.get("bbox") or [0.0] * 4, np.float64)
    stated = (box[2:] != 0).all() and not annotation.get("bbox_from_points")
    track = annotation.get("track", annotation.get("track_id"))
    points = np.where(labelled[:, None], triples[:, :2], np.nan)
    found = instance_of(
        frame,
        points,
        occluded=flags == 1,
        box=box if stated else None,
        track="" if track is None else str(track),
    )
    return found._replace(area=float(annotation.get("area") or 0))


def write(project: Project, folder: Path) -> list[Path]:
    """Writes annotations.json and returns its path. `file_name` is a frame's name: images belong
    below `folder`.

    Ids count from 1. An instance without a box gets that of its points, marked by
    `bbox_from_points`. Split, session, track and flip pairs, which COCO lacks, are stored in fields
    of these names, which other readers ignore. A frame of a video is called `<video>/<number>.png`.
    """
    skeleton = project.skeleton
    names = skeleton.names
    category = {
        "id": 1,
        "name": "animal",
        "supercategory": "animal",
        "keypoints": list(names),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
    }
    if skeleton.flip != (naming.derived_flip(names) or ()):
        category["flip"] = {names[a]: names[b] for a, b in enumerate(skeleton.flip) if a < b}
    images = []
    for identity, frame in enumerate(project.frames, 1):
        name = frame.name if frame.number is None else f"{frame.name}.png"
        width, height = frame.size
        image = {"id": identity, "file_name": name, "width": width, "height": height}
        if frame.split:
            image["split"] = frame.split
        if frame.session:
            image["session"] = frame.session
        images.append(image)
    annotations = [_annotation_entry(one, k) for k, one in enumerate(project.instances, 1)]
    content = {
        "info": {"description": "written by kpjax"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [category],
    }
    text = json.dumps(strict(content), allow_nan=False)
    return [write_text(folder / _FILE, text)]


def _annotation_entry(one: Instance, identity: int) -> dict[str, Any]:
    """Returns the entry of an instance, which has the id."""
    flags = np.where(one.seen, np.where(one.occluded, 1, 2), 0).tolist()
    places = np.nan_to_num(one.keypoints).tolist()
    triples = []
    for (x, y), flag in zip(places, flags, strict=True):
        triples += [x, y, flag]
    points = one.keypoints[one.seen]
    box = one.box
    if not one.boxed:
        # The edges of a box are half a pixel beyond the centres of the pixels in its corners.
        box = np.concatenate([points.min(0) + 0.5, np.ptp(points, axis=0)])
    entry = {
        "id": identity,
        "image_id": one.frame + 1,
        "category_id": 1,
        "keypoints": triples,
        "num_keypoints": len(points),
        "bbox": box.tolist(),
        "area": float(box[2] * box[3]),
        "iscrowd": 0,
    }
    if not one.boxed:
        entry["bbox_from_points"] = True
    if one.track:
        entry["track"] = one.track
    return entry
