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
from collections.abc import Mapping
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
    tool_of,
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
        shape = tuple(map(int, config["kpt_shape"]))
        classes = config.get("names", ["animal"])
        if not isinstance(classes, dict):
            classes = dict(enumerate(classes))
        names = {int(key): str(name) for key, name in classes.items()}
        wanted = [key for key, name in names.items() if options.category in ("", name, str(key))]
        if len(wanted) != 1:
            raise InputError(
                f"`category`: {file.name} has the classes {', '.join(names.values())}; choose one"
            )
        (category,) = wanted
        skeleton = _skeleton(config, category, shape[0], report)
        images, from_cvat = _images_of(stated, file, report)
    frames = []
    instances = []
    others = 0
    unheard = Report("", [], [])  # a line that names no class is of others
    for image, split in images.items():
        # that an image is missing is a fault of every format
        size = image_size(image) if image.is_file() else (0, 0)
        labels = _labels_of(image)
        lines = _lines(labels) if any(size) else []
        for line_number, cells in enumerate(lines, 1):
            if number(cells[0], unheard) != category:
                others += 1
                continue
            place = report.at(f"{below(labels, root)} line {line_number}")
            instances += _animal(cells, len(frames), size, shape, place)
        frames.append(Frame(below(image, root), image, size=size, split=split))
    if others:
        report.notes.append(f"{others} lines of other classes, left out")
    # where none is 2, 1 means visible
    if all(one.occluded[one.seen].all() for one in instances):
        instances = [one._replace(occluded=np.zeros_like(one.occluded)) for one in instances]
    beside = root / "notes.json"
    said = read_content(beside).decode(errors="replace") if beside.is_file() else ""
    image_names = [frame.name for frame in frames]
    tool = tool_of(" ".join([*config, said]), image_names)
    if from_cvat:
        tool = "CVAT"
    return Project(root, "ultralytics", skeleton, frames, instances, tool=tool)


def files_of(path: Path) -> list[Path]:
    """Returns the yaml files with `kpt_shape` at a path, in the folder that it is, or else in those
    in it: the data.yaml if there are several, and none that describes a network.
    """
    found = []
    for file in shown_files(path, "*.y*ml", "*/*.y*ml"):
        if file.suffix.lower() not in (".yaml", ".yml"):
            continue
        content = read_content(file).lower()
        describes_a_network = re.search(rb"^backbone\s*:", content, re.MULTILINE)
        if b"kpt_shape" in content and not describes_a_network:
            found.append(file)
    at_the_top = [file for file in found if file.parent == path]
    if at_the_top:
        found = at_the_top
    named = [file for file in found if file.name.lower() == _FILE]
    return named if len(named) == 1 else found


def _images_of(
    stated: Mapping[str, Any], file: Path, report: Report
) -> tuple[dict[Path, str], bool]:
    """Returns the split of every image, and whether the lists are as CVAT writes them.

    Faults name the keys of a split whose images are not found; where there is none at all, also
    those keys that name a place and were not read.
    """
    base = next((stored for key, stored in stated.items() if key.lower() == "path"), "")
    stated_root = file.parent / forward(str(base or ""))
    roots = [Path(os.path.normpath(stated_root)), file.parent]
    images: dict[Path, str] = {}
    again = Counter()
    lists = []
    unread = []
    for key, stored in stated.items():
        if key.lower() in _FACTS:
            continue
        split = SPLITS.get(key.lower())
        for one in stored if isinstance(stored, list) else [stored]:
            if not isinstance(one, str) or not one.strip():
                continue
            place = found_by_trailing_parts(one, roots)
            if place and place.is_dir():
                files = shown_files(place, "**/*")
                found = [image for image in files if image.suffix.lower() in IMAGE_SUFFIXES]
            elif place and place.suffix.lower() == ".txt":
                text = read_content(place).decode("utf-8-sig", errors="replace")
                lines = [line.strip() for line in text.splitlines() if line.strip()]
                # CVAT calls a list after its subset, in which its images are.
                inside = re.compile(rf"(\./|data/)?images/{re.escape(key)}/")
                lists.append(one == f"{key}.txt" and all(map(inside.match, lines)))
                found = []
                if lines:
                    _, found = image_paths(lines, [*roots, place.parent])
            elif split is None:
                unread.append(f"{key}: {one}")
                continue
            else:
                told = report.notes if split == "test" else report.faults
                told.append(
                    f"{file.name}, {key}: {one!r} is no folder below {file.parent}, and no list of images; name "
                    "the folder of its images"
                )
                continue
            for stored_path in found:
                image = Path(os.path.normpath(stored_path))
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
    return images, bool(lists) and all(lists)


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


def _lines(labels: Path) -> list[list[str]]:
    """Returns the cells of the lines of a file; none if it is not there."""
    if not labels.is_file():
        return []
    text = read_content(labels).decode(errors="replace")
    return [line.split() for line in text.splitlines() if line.strip()]


def _animal(
    cells: list[str], at: int, size: tuple[int, int], shape: tuple[int, ...], report: Report
) -> list[Instance]:
    """Returns the animal of a line; none, with a fault, if it is damaged."""
    count, dims = shape
    if len(cells) != 5 + count * dims:
        report.fault(f"{len(cells)} numbers where 5 + {count} x {dims} belong; correct the line")
        return []
    before = len(report.faults)
    values = np.array([number(cell, report) for cell in cells])
    box = values[1:5] * (*size, *size)
    points = values[5:].reshape(count, dims)
    # Without a third number Ultralytics marks an unlabelled point by a negative one, others by zeros.
    shares = points[:, :2]
    unmarked = (shares < 0).any(1) | (shares == 0).all(1)
    flags = np.maximum(points[:, 2], 0) if dims == 3 else np.where(unmarked, 0, 2)
    whole = len(report.faults) == before and not np.isnan(values).any()
    if not whole or not np.isin(flags, (0, 1, 2)).all():
        report.fault("a cell is empty, or visible is not -1, 0, 1 or 2; correct the line")
        return []
    box[:2] -= box[2:] / 2
    places = np.where(flags[:, None] > 0, shares * size, np.nan)
    stated_box = box if is_box(box) else None
    return [instance_of(at, places, occluded=flags == 1, box=stated_box)]
