"""COCO keypoint files (Lin et al., Microsoft COCO: common objects in context, ECCV 2014), and the many like them.

Coordinates count from 0 at the centre of the first pixel. `keypoints` are x, y, v triples: v 0 not labelled (x = y = 0
is filler), 1 occluded, 2 visible; in files that know 0 and 1 only, 1 means visible. `skeleton` counts from 1, in some
files from 0. A crowd (`iscrowd`) and an annotation without a labelled keypoint are regions and no instances.
"""
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.projects.coco_annotations import Context, instance_of, only_zero_and_one
from kpjax.projects.coco_categories import read_category
from kpjax.projects.coco_files import (
    annotation_files,
    candidates,
    frame_of,
    images_of,
    named,
    picture_places,
)
from kpjax.projects.names import derived_flip, with_sessions
from kpjax.projects.project import Frame, Instance, Project
from kpjax.structures import Skeleton

FILE = "annotations.json"


def recognises(path: Path) -> bool:
    """Whether it is a json file, or a folder with one that has annotations."""
    return bool(candidates(path))


def read(path: Path, faults: list[str], *, category: str = "") -> Project | None:
    """The project in a json file, or in a folder that holds one (or one for each of train, val and test).

    category: the name of the one to read, where several have keypoints. Pictures lie where `file_name` says, below the
    file's folder, the one above it, or one of the folders in these.
    """
    files = annotation_files(path, faults)
    chosen = read_category([(file.path.name, file.content) for file in files], category, faults) if files else None
    if chosen is None:
        return None
    before = len(faults)
    images = [(file, image) for file in files for image in images_of(file, faults)]
    root, places = picture_places(path, files, [image for _, image in images])
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
    """Writes annotations.json and returns its path. `file_name` is a frame's name: pictures belong below `folder`.

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
