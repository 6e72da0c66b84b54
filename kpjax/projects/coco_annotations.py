"""One annotation of a COCO file as an instance."""
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax.projects.coco_categories import Category
from kpjax.projects.coco_files import AnnotationFile, key_of, shown
from kpjax.projects.project import Instance


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
