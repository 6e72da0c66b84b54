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
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.files import strict, write_text
from kpjax.formats import names as naming
from kpjax.formats.names import forward
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Frame, Instance, Project, instance_of

_FILE = "annotations.json"
_WORDS = (b'"images"', b'"annotations"', b'"keypoints"')


def read(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads a json file, or a folder that holds one, or one each for train, val and test.

    Images are searched where `file_name` says, below the file's folder, its parent, and the folders
    inside these. Raises InputError if no category can be read. The option `category` is a name or
    id, where several have keypoints.
    """
    files = _files(path)
    category, skeleton, notes = _read_category(files, options.category, faults)
    before = len(faults)
    images = [(file, image) for file in files for image in _images_of(file, faults)]
    root, paths = _image_paths(path, files, images)
    frames, numbers = [], {}
    for (file, image), image_path in zip(images, paths, strict=True):
        numbers[file.path, image["id"]] = len(frames)
        size = tuple(int(image.get(side) or 0) for side in ("width", "height"))
        name = (
            image_path.relative_to(root) if image_path.is_relative_to(root) else image_path
        ).as_posix()
        if (said := str(image.get("split") or "").lower()) not in ("", *naming.SPLITS):
            faults.append(
                f"{file.path.name}, image {name}, split: {said!r} where train, validation or test belongs"
            )
        split = naming.SPLITS.get(said, file.split)
        session = next(
            (image[field] for field in ("session", "video_id") if image.get(field) is not None), ""
        )
        frames.append(
            Frame(name, image_path, None, size if all(size) else (0, 0), str(session), split)
        )
    instances, more = _read_instances(
        files, category, skeleton.names, numbers, len(faults) == before, faults
    )
    return Project(
        root,
        "coco",
        skeleton,
        tuple(naming.with_sessions(frames)),
        tuple(instances),
        (*notes, *more),
        tool=_tool_of(files, [image["file_name"] for _, image in images]),
    )


def _tool_of(files: Sequence["_File"], names: Sequence[str]) -> str:
    """Returns the tool that wrote files; CVAT fills in nothing of `info`, and calls them after its
    subsets as COCO calls its own after years."""
    infos = [file.content.get("info") for file in files]
    said = " ".join(str(one) for info in infos if isinstance(info, dict) for one in info.values())
    of_cvat = not said.strip() and all(
        re.fullmatch(r"person_keypoints_(?!\w+20\d\d$).+", file.path.stem) for file in files
    )
    return "CVAT" if of_cvat else naming.tool_of(said, names)


class _File(NamedTuple):
    path: Path
    content: Mapping[str, Any]
    split: str  # train, validation, test or ""


def files_of(path: Path) -> list[Path]:
    """Returns the files that look like annotations, two levels down; with some of the fields if
    none has all.
    """
    counts = {}
    for file in naming.shown_files(path, "*.json", "*/*.json", "*/*/*.json"):
        content = read_start(file)
        is_object = content.lstrip()[:1] == b"{"
        counts[file] = (
            sum(word in content for word in _WORDS)
            if is_object
            # what is wrong with it, the reader says
            else (path.is_file() and file.suffix.lower() == ".json")
        )
    most = [file for file, count in counts.items() if count == len(_WORDS)]
    return most or [file for file, count in counts.items() if count]


def read_start(file: Path) -> bytes:
    """Returns what a json file holds; of another only its start, and nothing of one that cannot be
    read.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(100).removeprefix(b"\xef\xbb\xbf")
            return start + stream.read() if start.lstrip()[:1] in (b"{", b"[") else start
    except OSError:
        return b""


def _files(path: Path) -> list[_File]:
    """Reads the annotation files of a project, each with its split.

    Raises InputError if they are ambiguous.
    """
    found, splits = files_of(path), []
    # The split is in the files' names, or in that of their folders.
    for named in (lambda file: file.stem, lambda file: file.parent.name) if len(found) > 1 else ():
        of_files, rests = zip(*(_split_of(named(file)) for file in found), strict=True)
        if not splits and all(of_files) and len({*of_files}) == len(found) and len({*rests}) == 1:
            splits = of_files
    if len(found) > 1 and not splits:
        names = ", ".join(file.relative_to(path).as_posix() for file in found[:8])
        raise InputError(
            f"{path.name}: {len(found)} annotation files ({names}), not one for each split; name one"
        )
    files = []
    for file, split in zip(found, splits or ("",), strict=True):
        content = naming.json_of(file)
        if not isinstance(content, dict):
            what = "a list" if isinstance(content, list) else _excerpt(content)
            raise InputError(
                f"{file.name}: {what} where an object belongs; name the file with the labels"
            )
        for field in ("images", "annotations", "categories"):
            if not isinstance(stored := content.get(field), list):
                raise InputError(
                    f"{file.name}, {field}: {_excerpt(stored)} where a list belongs; save it again"
                )
        files.append(_File(file, content, split))
    return files


def _split_of(name: str) -> tuple[str, str]:
    """Returns the split that a name contains ("" if none), and the rest of the name."""
    parts = re.split(r"([^a-zA-Z]+)", name)
    found = [part for part in parts if part.lower() in naming.SPLITS]
    if len(found) != 1:
        return "", name
    return naming.SPLITS[found[0].lower()], "".join(part for part in parts if part not in found)


def _images_of(file: _File, faults: list[str]) -> list[Mapping[str, Any]]:
    """Returns the images of a file that have a unique id and a unique name."""
    known: dict[Any, str] = {}
    names, images = set(), []
    for at, image in enumerate(file.content["images"]):
        where = f"{file.path.name}, image {_name_of(image, at)}"
        identity = image.get("id")
        # some sets use the latter
        image["file_name"] = name = image.get("file_name", image.get("filename"))
        if not isinstance(identity, int | str) or isinstance(identity, bool):
            faults.append(
                f"{where}, id: {_excerpt(identity)} where a number belongs; give every image its own"
            )
        elif not isinstance(name, str) or not name.strip():
            faults.append(
                f"{where}, file_name: {_excerpt(name)} where the name of an image belongs; fill it in"
            )
        elif identity in known:
            faults.append(f"{where}: {known[identity]!r} has the same id; give every image its own")
        elif forward(name) in names:
            faults.append(
                f"{where}, file_name: {name!r} is listed twice; join the two images under one id"
            )
        else:
            known[identity] = name
            names.add(forward(name))
            images.append(image)
    return images


def _image_paths(
    path: Path, files: Sequence[_File], images: Sequence[tuple[_File, Mapping[str, Any]]]
) -> tuple[Path, list[Path]]:
    """Returns the project's root and the path of each image, found by one rule for the images of
    each file.

    Searched are the folders of the project and its files, the parent of an annotations folder, and
    two levels of their subfolders; with a file for each split, first the folders that are named as
    its split, and none that is of another.
    """
    homes = [path] if path.is_dir() else []
    for folder in (file.path.parent for file in files):
        homes += (
            [folder, folder.parent]
            if folder.name.lower().startswith(("anno", "label"))
            else [folder]
        )
    homes = [Path(os.path.normpath(home)) for home in dict.fromkeys(homes)]
    below = [
        folder
        for pattern in ("[!.]*", "[!.]*/[!.]*")
        for home in homes
        for folder in sorted(
            home.glob(pattern), key=lambda found: (found.name.lower() != "images", found)
        )
        if folder.is_dir()
    ]
    paths = []
    for file in files:
        mine = [
            folder for folder in below if not file.split or _split_of(folder.name)[0] == file.split
        ]
        others = [folder for folder in below if not _split_of(folder.name)[0]] if file.split else []
        own = [file.path.parent] if _split_of(file.path.parent.name)[0] == file.split != "" else []
        folders = dict.fromkeys((*own, *mine, *homes, *others) if file.split else (*homes, *mine))
        names = [image["file_name"] for owner, image in images if owner is file]
        paths += naming.image_paths(names, list(folders))[1] if names else []
    paths = [Path(os.path.normpath(one)) for one in paths]
    return next(
        (home for home in homes if all(one.is_relative_to(home) for one in paths)), homes[0]
    ), paths


def _read_category(
    files: Sequence[_File], wanted: str, faults: list[str]
) -> tuple[Any, Skeleton, list[str]]:
    """Reads the category called `wanted`, or the only one with keypoints: its id in the files and
    its keypoints, with notes. Raises InputError if it is unclear."""
    where, labelled = files[0].path.name, defaultdict(list)
    for annotation in (
        one for file in files for one in file.content["annotations"] if one.get("keypoints")
    ):
        labelled[annotation.get("category_id")].append(annotation)
    known = {
        category.get("id"): category
        for file in reversed(files)
        for category in file.content["categories"]
    }
    if unknown := [identity for identity in labelled if identity not in known]:
        raise InputError(
            f"{where}, categories: none has the id {json.dumps(unknown[0])}, which "
            f"{len(labelled[unknown[0]])} annotations with keypoints name; add it"
        )
    if differing := [
        file.path.name
        for file in files
        for category in file.content["categories"]
        if category.get("keypoints") != known[category.get("id")].get("keypoints")
    ]:
        raise InputError(
            f"{differing[0]}, categories: other keypoints than in {where}; give all files the same"
        )
    # Categories without annotations count only if no other has any: so a project without labels
    # still has a skeleton.
    usable = list(labelled) or [identity for identity, one in known.items() if one.get("keypoints")]
    names = {identity: str(known[identity].get("name", identity)) for identity in usable}
    if not names:
        raise InputError(
            f"{where}, annotations: none has keypoints, they are boxes or outlines; export keypoints: "
            "'COCO Keypoints' of CVAT, a keypoint project of Roboflow, 'JSON' of Label Studio"
        )
    usable = [
        identity for identity in usable if not wanted or wanted in (names[identity], str(identity))
    ]
    if len(usable) != 1:
        found = (
            f"{wanted!r} has no keypoints in {where}"
            if wanted
            else f"{len(names)} in {where} have keypoints"
        )
        listed = ", ".join(
            f"{name!r} ({len(labelled[identity])})" for identity, name in names.items()
        )
        raise InputError(f"`category`: {found}; choose one of {listed}")
    identity, notes = usable[0], []
    stored, name = known[identity], names[identity]
    skeleton = _skeleton(
        stored, name, labelled[identity], f"{where}, category {name!r}", notes, faults
    )
    return identity, skeleton, notes


def _skeleton(
    stored: Mapping[str, Any],
    name: str,
    annotations: Sequence[Mapping[str, Any]],
    where: str,
    notes: list[str],
    faults: list[str],
) -> Skeleton:
    names = stored.get("keypoints") or []
    if not isinstance(names, list):
        raise InputError(
            f"{where}, keypoints: {_excerpt(names)} where a list of names belongs; correct the list"
        )
    if not names:  # as many as most annotations have
        counts = Counter(len(found) for one in annotations if (found := _triples(one)) is not None)
        names = [f"point_{number}" for number in range(max(counts, key=counts.get, default=0))]
        notes.append(
            f"category {name!r} names no keypoints: they are called point_0 to point_{len(names) - 1}"
        )
    if wrong := [one for one in names if not isinstance(one, str) or not one.strip()]:
        raise InputError(
            f"{where}, keypoints: {_excerpt(wrong[0])} where a name belongs; correct the list"
        )
    edges, lines = [], stored.get("skeleton") or []
    if isinstance(lines, list) and all(
        isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, int) for end in edge)
        for edge in lines
    ):
        # the stored list counts from 1, or from 0 if it has a 0
        first = 0 if any(0 in edge for edge in lines) else 1
        notes += ["the skeleton counts keypoints from 0, unlike COCO's own"] * (not first)
        edges = [
            (a - first, b - first)
            for a, b in lines
            if a != b and all(0 <= end - first < len(names) for end in (a, b))
        ]
        if len(edges) < len(lines):
            notes.append(
                f"{len(lines) - len(edges)} of {len(lines)} edges join no two keypoints, dropped"
            )
    else:
        faults.append(
            f"{where}, skeleton: {_excerpt(lines)} where pairs of numbers belong; correct or delete it"
        )
    places = {name: place for place, name in enumerate(names)}
    pairs = (
        [tuple(map(places.get, pair)) for pair in stored["flip"].items()]
        if "flip" in stored
        else None
    )
    known = pairs is not None and all(None not in pair for pair in pairs)  # as `write` stores it
    return naming.skeleton_of(names, edges, pairs if known else None, notes, where)


def _read_instances(
    files: Sequence[_File],
    category: Any,
    names: Sequence[str],
    frames: Mapping[tuple[Path, Any], int],
    whole: bool,
    faults: list[str],
) -> tuple[list[Instance], list[str]]:
    """Returns the instances of a category by its id, and notes.

    frames: numbers by file and image id.
    """
    stored = [
        (one.path, at, found)
        for one in files
        for at, found in enumerate(one.content["annotations"])
    ]
    known = [
        found
        for *_, one in stored
        if one.get("category_id") == category and (found := _triples(one)) is not None
    ]
    flags = {flag for triples in known for flag in triples[:, 2].tolist()}
    binary = 1.0 in flags and flags <= {0.0, 1.0}
    instances, skipped = [], Counter()
    for path, at, annotation in stored:
        where = f"{path.name}, annotation {_name_of(annotation, at)}"
        if annotation.get("category_id") != category:
            skipped["of other categories, left out"] += 1
            continue
        if not annotation.get("keypoints"):
            skipped["without keypoints, left out"] += 1
            continue
        triples = _checked_triples(annotation, names, where, faults)
        if triples is None:
            continue
        frame = frames.get((path, annotation.get("image_id")))
        if frame is None:
            if whole:
                faults.append(
                    f"{where}, image_id: no image has the id {_excerpt(annotation.get('image_id'))}; add the "
                    "image or delete the annotation"
                )
        elif annotation.get("iscrowd"):
            skipped["of crowds, left out"] += 1
        elif not triples[:, 2].any():
            skipped["without a labelled keypoint, left out"] += 1
        else:
            labelled, box = triples[:, 2] > 0, None
            if annotation.get("bbox") and not annotation.get("bbox_from_points"):
                stated = _numbers(annotation["bbox"])
                if stated is None or stated.shape != (4,) or not np.isfinite(stated).all():
                    faults.append(
                        f"{where}, bbox: {_excerpt(annotation['bbox'])} where x, y, width and height belong; "
                        "correct or delete it"
                    )
                elif not (stated[2:] > 0).all():
                    skipped["with a box of no area, which is ignored"] += 1
                else:
                    box = stated
            instances.append(
                instance_of(
                    frame,
                    np.where(labelled[:, None], triples[:, :2], np.nan),
                    occluded=(triples[:, 2] == 1) & (not binary),
                    box=box,
                    track=str(found)
                    if (found := annotation.get("track", annotation.get("track_id"))) is not None
                    else "",
                )
            )
    for file in files:
        counts = Counter(annotation.get("id") for annotation in file.content["annotations"])
        faults += [
            f"{file.path.name}, annotation id {identity}: the id occurs {count} times; give every annotation "
            "its own"
            for identity, count in counts.items()
            if count > 1 and identity is not None
        ]
    notes = [f"annotations {why}: {count}" for why, count in sorted(skipped.items())]
    return instances, notes + [
        "v is 0 or 1 everywhere: 1 is taken to mean visible, not occluded"
    ] * binary


def _numbers(stored: Any) -> np.ndarray | None:
    """Returns lists of numbers as float64; None for anything else."""
    try:
        return np.asarray(stored, np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def _triples(annotation: Mapping[str, Any]) -> np.ndarray | None:
    """Returns (n, 3) float64 of x, y, v, from a flat list or a list of triples; None if it is
    neither.
    """
    found = _numbers(annotation.get("keypoints"))
    if found is not None and found.ndim == 1 and found.size % 3 == 0:
        return found.reshape(-1, 3)
    return found if found is not None and found.ndim == 2 and found.shape[1] == 3 else None


def _checked_triples(
    annotation: Mapping[str, Any], names: Sequence[str], where: str, faults: list[str]
) -> np.ndarray | None:
    """Returns (K, 3) float64 of x, y, v; None, with a fault, for a wrong number of values or a
    wrong value.
    """
    triples = _triples(annotation)
    if triples is None or len(triples) != len(names):
        found = _excerpt(annotation["keypoints"]) if triples is None else f"{triples.size}"
        faults.append(
            f"{where}, keypoints: {found} where 3 x {len(names)} numbers belong (x, y, v of each "
            "keypoint of the category); correct the list"
        )
        return None
    flags = triples[:, 2]
    if wrong := np.flatnonzero(~np.isin(flags, (0, 1, 2))).tolist():
        faults.append(
            f"{where}, keypoints, v of {names[wrong[0]]}: {flags[wrong[0]]:g} where 0 (not labelled), 1 "
            "(occluded) or 2 (visible) belongs; scores are not labels"
        )
        return None
    if wrong := np.flatnonzero((flags > 0) & ~np.isfinite(triples[:, :2]).all(1)).tolist():
        faults.append(
            f"{where}, keypoints, {names[wrong[0]]}: x or y is not finite; give both, or v = 0"
        )
        return None
    return triples


def _name_of(one: Mapping[str, Any], at: int) -> str:
    return f"number {at}" if one.get("id") is None else f"id {_excerpt(one['id']).strip(chr(34))}"


def _excerpt(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def write(project: Project, folder: Path) -> list[Path]:
    """Writes annotations.json and returns its path. `file_name` is a frame's name: images belong
    below `folder`.

    Ids count from 1. An instance without a box gets that of its points, marked by
    `bbox_from_points`. Split, session, track and flip pairs, which COCO lacks, are stored in fields
    of these names, which other readers ignore. A frame of a video is called `<video>/<number>.png`.
    """
    skeleton, names = project.skeleton, project.skeleton.names
    category = {
        "id": 1,
        "name": "animal",
        "supercategory": "animal",
        "keypoints": list(names),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
    }
    if skeleton.flip != (naming.derived_flip(names) or ()):
        category["flip"] = {names[a]: names[b] for a, b in enumerate(skeleton.flip) if a < b}
    content = {
        "info": {"description": "written by kpjax"},
        "licenses": [],
        "images": [
            {
                "id": identity,
                "file_name": frame.name if frame.number is None else f"{frame.name}.png",
                "width": frame.size[0],
                "height": frame.size[1],
                **{
                    field: value
                    for field in ("split", "session")
                    if (value := getattr(frame, field))
                },
            }
            for identity, frame in enumerate(project.frames, 1)
        ],
        "annotations": [
            _annotation_entry(one, identity, category["id"])
            for identity, one in enumerate(project.instances, 1)
        ],
        "categories": [category],
    }
    return [write_text(folder / _FILE, json.dumps(strict(content), allow_nan=False))]


def _annotation_entry(one: Instance, identity: int, category: int) -> dict[str, Any]:
    """Returns the entry of an instance. identity, category: their ids."""
    labelled = one.visible > 0
    flags = np.where(labelled, np.where(one.occluded, 1, 2), 0)
    triples = np.where(labelled[:, None], one.keypoints, 0).tolist()
    points, boxed = one.keypoints[labelled], np.isfinite(one.box).all()
    # The edges of a box are half a pixel beyond the centres of the pixels in its corners.
    box = one.box if boxed else np.concatenate([points.min(0) + 0.5, np.ptp(points, axis=0)])
    return {
        "id": identity,
        "image_id": one.frame + 1,
        "category_id": category,
        "keypoints": [
            value for (x, y), v in zip(triples, flags.tolist(), strict=True) for value in (x, y, v)
        ],
        "num_keypoints": int(labelled.sum()),
        "bbox": box.tolist(),
        "area": float(box[2] * box[3]),
        "iscrowd": 0,
        **({} if boxed else {"bbox_from_points": True}),
        **({"track": one.track} if one.track else {}),
    }
