"""Pose labels of Ultralytics' YOLO in its four dialects: a yaml with `kpt_shape`, which names for
each split a folder of images or a list of them, and a .txt for each image.

The yaml is Ultralytics' own (data.yaml, or any name), Roboflow's (folders beside it, called
`../train/images`), CVAT's (`Train: Train.txt`, a list of `data/images/Train/1.png`) or Label
Studio's (a notes.json beside it). A line is an animal: `class x y width height`, then `x y` or `x y
visible` of each keypoint, in shares of the image's width and height. visible: 0 or less unlabelled,
1 occluded, 2 visible; where none is 2, 1 means visible. `flip_idx` says what each keypoint is in a
mirror. sleap-io's reader (0.9) is not used: it finds data.yaml alone, no frame in lists or CVAT's
folders, no image below `../train`, no point without a third number, and measures images that EXIF
turns as they are stored.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from kpjax import InputError, Skeleton
from kpjax.errors import count_text
from kpjax.files import foreign, read_content
from kpjax.formats.names import (
    SPLITS,
    below,
    forward,
    found_by_trailing_parts,
    image_paths,
    only_file,
    shown_files,
    skeleton_of,
)
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Frame, Instance, Project, Report, instance_of, is_box
from kpjax.formats.tables import number
from kpjax.images.reading import IMAGE_SUFFIXES, image_size

_FILE = "data.yaml"
# Its keys that name no images.
_FACTS = {"path", "names", "nc", "kpt_shape", "kpt_names", "flip_idx", "download", "roboflow"}


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads all splits; images of a key that is no split belong to none.

    An image that several keys name belongs to the first of them, with a note. The option `category`
    is the name or number of a class, where there are several.
    """
    file = only_file(path, files_of(path), "yaml files with kpt_shape")
    root = file.parent
    report = report.at(file.name)
    with foreign(file.name, "correct it in an editor"):
        stated = {str(key): value for key, value in yaml.safe_load(read_content(file)).items()}
        config = {key.lower(): value for key, value in stated.items()}
        count, dims = map(int, config["kpt_shape"])
        classes = config.get("names", ["animal"])
        if not isinstance(classes, dict):
            classes = dict(enumerate(classes))
        wanted = [
            int(key)
            for key, name in classes.items()
            if options.category in ("", str(name), str(key))
        ]
        if len(wanted) != 1:
            raise InputError(
                f"`category`: {file.name} has the classes {', '.join(map(str, classes.values()))}; choose one"
            )
        skeleton = _skeleton(config, wanted[0], count, report)
        images = _images_of(stated, file, report)
    frames = []
    instances = []
    others = 0
    for image, split in images.items():
        # that an image is missing is a fault of every format
        size = image_size(image) if image.is_file() else (0, 0)
        labels = _labels_of(image)
        text = ""
        if any(size) and labels.is_file():
            text = read_content(labels).decode(errors="replace")
        for line_number, line in enumerate(text.splitlines(), 1):
            of_class, *cells = line.split() or [""]
            if of_class.partition(".")[0] == str(wanted[0]):  # tools write 0.0, too
                place = report.at(f"{below(labels, root)} line {line_number}")
                instances += _animal(cells, len(frames), size, (count, dims), place)
            elif of_class:
                others += 1
        frames.append(Frame(below(image, root), image, size=size, split=split))
    if others:
        report.notes.append(f"{others} lines of other classes, left out")
    # where none is 2, 1 means visible
    if all(one.occluded[one.seen].all() for one in instances):
        instances = [one._replace(occluded=np.zeros_like(one.occluded)) for one in instances]
    return Project(root, "ultralytics", skeleton, frames, instances)


def files_of(path: Path) -> list[Path]:
    """Returns the yaml files with `kpt_shape` at a path, in the folder that it is, or else in those
    in it: the data.yaml if there are several, and none that describes a network.
    """
    found = []
    for file in shown_files(path, "*.y*ml", "*/*.y*ml"):
        content = read_content(file).lower()
        describes_a_network = re.search(rb"^backbone\s*:", content, re.MULTILINE)
        if b"kpt_shape" in content and not describes_a_network:
            found.append(file)
    found = [file for file in found if file.parent == path] or found
    named = [file for file in found if file.name.lower() == _FILE]
    return named if len(named) == 1 else found


def _images_of(stated: Mapping[str, Any], file: Path, report: Report) -> dict[Path, str]:
    """Returns the split of every image.

    Faults name the keys of a split whose images are not found; where there is none at all, also
    those keys that name a place and were not read.
    """
    base = next((stored for key, stored in stated.items() if key.lower() == "path"), "")
    stated_root = file.parent / forward(str(base or ""))
    roots = [Path(os.path.normpath(stated_root)), file.parent]
    images: dict[Path, str] = {}
    again = Counter()
    unread = []
    for key, one in _places_in(stated):
        split = SPLITS.get(key.lower())
        found = _images_at(one, roots)
        if found is None and split is None:
            unread.append(f"{key}: {one}")
        elif found is None:
            told = report.notes if split == "test" else report.faults
            told.append(
                f"{file.name}, {key}: {one!r} is no folder below {file.parent}, and no list of images; name "
                "the folder of its images"
            )
        for image in found or ():
            again[key] += image in images
            images.setdefault(image, split or "")
    for key, named in again.items():
        if named:
            report.notes.append(
                f"{key}: {count_text(named, 'image')} of an earlier split, too: taken once, in that split"
            )
    if not images and not report.faults:
        report.fault(
            f"no image is found by its keys {', '.join(unread or stated)}; name folders of images or lists of them "
            "as train, val and test"
        )
    return images


def _places_in(stated: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the keys that may name images, each with a place that it names."""
    for key, stored in stated.items():
        for one in stored if isinstance(stored, list) else [stored]:
            if key.lower() not in _FACTS and isinstance(one, str) and one.strip():
                yield key, one


def _images_at(stored: str, roots: Sequence[Path]) -> list[Path] | None:
    """Returns the images of a folder or a list; None of neither."""
    place = found_by_trailing_parts(stored, roots)
    if place and place.is_dir():
        found = [
            file for file in shown_files(place, "**/*") if file.suffix.lower() in IMAGE_SUFFIXES
        ]
    elif place and place.suffix.lower() == ".txt":
        lines = read_content(place).decode("utf-8-sig", errors="replace").split("\n")
        named = [line.strip() for line in lines if line.strip()]
        found = image_paths(named, [*roots, place.parent])[1] if named else []
    else:
        return None
    return [Path(os.path.normpath(image)) for image in found]


def _skeleton(config: Mapping[str, Any], category: int, count: int, report: Report) -> Skeleton:
    names = config.get("kpt_names") or {}
    if isinstance(names, dict):  # those of each class
        names = names.get(category, ())
    names = [str(name) for name in names]
    if not names:
        names = [f"point_{k}" for k in range(count)]
    flip = config.get("flip_idx") or []
    if len(names) != count or len(flip) not in (0, count):
        raise InputError(
            f"{report.place}: {len(names)} kpt_names and {len(flip)} numbers in flip_idx, of {count} keypoints; "
            "correct them"
        )
    return skeleton_of(names, (), enumerate(flip) if flip else None, report)


def _labels_of(image: Path) -> Path:
    """Returns the file about an image, in the folder labels/ in place of the last images/ of its
    path.
    """
    parts = list(image.parts)
    places = [place for place, part in enumerate(parts) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _animal(
    cells: list[str], at: int, size: tuple[int, int], shape: tuple[int, int], report: Report
) -> list[Instance]:
    """Returns the animal of a line behind its class; none, with a fault, if it is damaged."""
    count, dims = shape
    before = len(report.faults)
    values = np.array([number(cell, report) for cell in cells])
    if len(values) != 4 + count * dims:
        report.fault(
            f"{len(cells) + 1} numbers where 5 + {count} x {dims} belong; correct the line"
        )
    if len(report.faults) > before:
        return []
    box = values[:4] * (*size, *size)
    box[:2] -= box[2:] / 2
    points = values[4:].reshape(count, dims)
    # Without a third number Ultralytics marks an unlabelled point by a negative one, others by zeros.
    shares = points[:, :2]
    unmarked = (shares < 0).any(1) | (shares == 0).all(1)
    flags = np.maximum(points[:, 2], 0) if dims == 3 else np.where(unmarked, 0, 2)
    if np.isnan(values).any() or not np.isin(flags, (0, 1, 2)).all():
        report.fault("a cell is empty, or visible is not -1, 0, 1 or 2; correct the line")
        return []
    places = np.where(flags[:, None] > 0, shares * size, np.nan)
    return [instance_of(at, places, occluded=flags == 1, box=box if is_box(box) else None)]
