"""Pose labels of Ultralytics' YOLO: a data.yaml, folders of images, and a .txt beside for each
image.

A line is an animal: `class x y width height`, then `x y` or `x y visible` of each keypoint, in
shares of the image's width and height. visible: 0 unlabelled, 1 occluded, 2 visible; where none is
2, 1 means visible. `flip_idx` of data.yaml says what each keypoint is in a mirror. sleap-io's
reader is not used: it finds no label below `labels/train`, and leaves out wrong lines.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from kpjax import InputError, Skeleton
from kpjax.files import foreign, read_content
from kpjax.formats.names import found_by_trailing_parts, shown_files, skeleton_of, with_sessions
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Frame, Instance, Project, instance_of
from kpjax.formats.tables import number
from kpjax.images.reading import IMAGE_SUFFIXES, image_size

_FILE = "data.yaml"
_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}


def read(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads all splits.

    The option `category` is the name or number of a class, where there are several.
    """
    file, notes = files_of(path)[0], []
    with foreign(file.name, "correct it in an editor"):
        config = yaml.safe_load(read_content(file))
        count, dims = config["kpt_shape"]
        classes = config.get("names", ["animal"])
        classes = {
            int(key): str(name)
            for key, name in (classes.items() if isinstance(classes, dict) else enumerate(classes))
        }
        wanted = [key for key, name in classes.items() if options.category in ("", name, str(key))]
        if len(wanted) != 1:
            raise InputError(
                f"`category`: {file.name} has the classes {', '.join(classes.values())}; choose one"
            )
        skeleton = _skeleton(config, wanted[0], int(count), notes)
    frames, instances, twos, others = [], [], False, 0
    for key, split in _SPLITS.items():
        stored = config.get(key) or []
        # Folders, which are named from another place on another machine.
        roots = [Path(os.path.normpath(file.parent / str(config.get("path") or ""))), file.parent]
        named = [stored] if isinstance(stored, str) else stored
        folders = {one: found_by_trailing_parts(one, roots) for one in named}
        (notes if key == "test" else faults).extend(
            f"{file.name}, {key}: {one!r} is no folder below {file.parent}; name the folder of its images"
            for one, folder in folders.items()
            if folder is None or not folder.is_dir()
        )
        for image in [
            image
            for folder in filter(None, folders.values())
            for image in shown_files(folder, "*/*", "**/*")
            if image.suffix.lower() in IMAGE_SUFFIXES
        ]:
            name = image.relative_to(file.parent) if image.is_relative_to(file.parent) else image
            frames.append(Frame(name.as_posix(), image, None, image_size(image), "", split))
            for line, cells in enumerate(_lines(image), 1):
                if cells[0] not in map(str, wanted):
                    others += 1
                    continue
                one, flags = _animal(
                    cells,
                    len(frames) - 1,
                    frames[-1],
                    (int(count), int(dims)),
                    f"{image.stem}.txt line {line}",
                    faults,
                )
                instances += [one] if one is not None and one.visible.any() else []
                twos |= bool((flags == 2).any())
    if others:
        notes.append(f"{others} lines of other classes, left out")
    if not twos:
        instances = [one._replace(occluded=np.zeros_like(one.occluded)) for one in instances]
    return Project(
        file.parent,
        "ultralytics",
        skeleton,
        tuple(with_sessions(frames)),
        tuple(instances),
        tuple(notes),
    )


def files_of(path: Path) -> list[Path]:
    """Returns the data.yaml with `kpt_shape` at a path, or in the folder that it is."""
    return [
        file
        for file in shown_files(path, _FILE, f"*/{_FILE}")
        if file.suffix in (".yaml", ".yml") and b"kpt_shape" in read_content(file)
    ][:1]


def _skeleton(config: Mapping[str, Any], category: int, count: int, notes: list[str]) -> Skeleton:
    names = config.get("kpt_names") or {}
    names = names.get(category, ()) if isinstance(names, dict) else names
    names = tuple(map(str, names)) or tuple(f"point_{k}" for k in range(count))
    flip = tuple(config.get("flip_idx") or ())
    if flip and (
        sorted(flip) != list(range(count)) or any(flip[flip[k]] != k for k in range(count))
    ):
        raise InputError(
            f"{_FILE}, flip_idx: {list(flip)} is not its own inverse; two mirrored points name each other"
        )
    if len(names) != count:
        raise InputError(f"{_FILE}, kpt_names: {len(names)} names of {count} keypoints; name each")
    return skeleton_of(names, (), enumerate(flip) if flip else None, notes, _FILE)


def _lines(image: Path) -> list[list[str]]:
    """Returns the cells of the lines about an image, in the folder labels/ in place of the last
    images/ of its path.
    """
    parts = list(image.parts)
    at = max((place for place, part in enumerate(parts) if part == "images"), default=None)
    if at is not None:
        parts[at] = "labels"
    labels = Path(*parts).with_suffix(".txt")
    text = read_content(labels).decode(errors="replace") if labels.is_file() else ""
    return [line.split() for line in text.splitlines() if line.strip()]


def _animal(
    cells: list[str], at: int, frame: Frame, shape: tuple[int, int], where: str, faults: list[str]
) -> tuple[Instance | None, np.ndarray]:
    count, dims = shape
    if len(cells) != 5 + count * dims:
        faults.append(
            f"{where}: {len(cells)} numbers where 5 + {count} x {dims} belong; correct the line"
        )
        return None, np.zeros(0)
    before = len(faults)
    values = np.array([number(cell, where, faults) for cell in cells])
    box, points = values[1:5], values[5:].reshape(count, dims)
    flags = points[:, 2] if dims == 3 else np.where((points == 0).all(1), 0, 2)
    if len(faults) > before or not np.isfinite(values).all() or not np.isin(flags, (0, 1, 2)).all():
        faults.append(f"{where}: a cell is empty, or visible is not 0, 1 or 2; correct the line")
        return None, np.zeros(0)
    size = np.array(frame.size)
    edges = np.concatenate([(box[:2] - box[2:] / 2) * size, box[2:] * size])
    return instance_of(
        at,
        np.where(flags[:, None] > 0, points[:, :2] * size, np.nan),
        occluded=flags == 1,
        box=edges if (box[2:] > 0).all() else None,
    ), flags
