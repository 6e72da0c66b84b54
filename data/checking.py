"""Comparing annotation files with what their format promises. Faults are collected, so that all come at once."""
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from data.annotations import Annotation
from kpjax.errors import InputError, summarise

Splits = Mapping[str, Sequence[Annotation]]
Read = Callable[[Path, list[str]], Splits]  # (folder, faults): what is wrong is appended, and left out of the result

FAR_OUTSIDE = 0.5  # of the image's longer side: no annotator's slip, but labels of an image of another size


def all_faults(read: Read, folder: Path) -> list[str]:
    """Every fault of a folder: of its annotation files as `read` finds them, and of the images they name."""
    faults: list[str] = []
    splits = read(folder, faults)
    for split, annotations in splits.items():
        repeated = [name for name, count in Counter(one.name for one in annotations).items() if count > 1]
        faults += [f"{name} is listed twice in {split}; keep one of its labels" for name in repeated]
    faults += _image_faults([one for annotations in splits.values() for one in annotations], folder)
    if not faults and not any(one.visible.any() for annotations in splits.values() for one in annotations):
        faults.append("no keypoint is visible in the whole set; label some, or look at the column of flags")
    return faults


def read_whole(read: Read, folder: Path, name: str) -> Splits:
    """What `read` finds. Raises InputError if anything is wrong with the annotation files."""
    faults: list[str] = []
    splits = read(folder, faults)
    if faults:
        raise InputError(f"{name}: {folder} has {len(faults)} faults: {summarise(faults)}")
    return splits


def _image_faults(annotations: Sequence[Annotation], folder: Path) -> list[str]:
    """Missing images and images of another size than their annotations say, from the files' headers only."""
    faults, of_image = [], defaultdict(list)
    for one in annotations:
        of_image[one.image].append(one)
    for image, described in of_image.items():
        path = image.relative_to(folder) if image.is_relative_to(folder) else image
        if not image.is_file():
            faults.append(f"{path} is missing, though it has annotations")
            continue
        try:
            with Image.open(image) as pil_image:
                size = pil_image.size
        except OSError:
            continue  # the builder decodes every image, and names or leaves out those that it cannot
        for one in described:
            if one.size is not None and size != one.size:
                faults.append(f"{path} is {size[0]}x{size[1]}, its annotation is of an image of "
                              f"{one.size[0]}x{one.size[1]}; restore the original")
                break
            beyond = np.maximum(-one.keypoints, one.keypoints - (np.array(size) - 1)).max(1)
            beyond = np.where(one.visible, beyond, 0)
            if beyond.max() > FAR_OUTSIDE * max(size):
                farthest = int(beyond.argmax())
                x, y = one.keypoints[farthest]
                faults.append(f"{path} is {size[0]}x{size[1]}, but keypoint {farthest} lies at ({x:g}, {y:g}): its "
                              "labels are of an image of another size; restore the original")
                break
    return faults


def copies_across(splits: Splits, folder: Path) -> list[str]:
    """Images that are the same byte for byte under two names, one of them for training and one for testing."""
    seen: dict[int, tuple[str, Path]] = {}
    faults = []
    for split, annotations in splits.items():
        for one in annotations:
            if not one.image.is_file():
                continue
            first_split, first = seen.setdefault(hash(one.image.read_bytes()), (split, one.image))
            if first_split != split and first.read_bytes() == one.image.read_bytes():
                faults.append(f"{one.image.relative_to(folder)} is the same image as {first.relative_to(folder)}, "
                              "one trains and one tests; delete one")
    return faults


def read_json(path: Path, faults: list[str]) -> Any:
    """The content of a JSON file, None (and a fault) if there is none or it is damaged."""
    if not path.is_file():
        faults.append(f"{path.name} is missing, expected at {path}")
        return None
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        faults.append(f"{path.name} is no JSON: {error}; fetch it again")
        return None


def read_matlab(path: Path, variables: Sequence[str], faults: list[str], **options) -> Mapping[str, Any] | None:
    """The variables of a MATLAB file, None (and a fault) if there is no such file, it is damaged, or it lacks one.

    options: of scipy.io.loadmat.
    """
    if not path.is_file():
        faults.append(f"{path.name} is missing, expected at {path}")
        return None
    try:
        content = scipy.io.loadmat(path, variable_names=variables, **options)
    except Exception as error:  # scipy raises many kinds on a damaged file
        faults.append(f"{path.name} cannot be read: {error}; fetch it again")
        return None
    if absent := [name for name in variables if name not in content]:
        faults.append(f"{path.name}: variable {absent[0]} is missing")
        return None
    return content


def first_of(folder: Path, homes: Sequence[str], name: str) -> Path:
    """Where `name` is: in the first of some folders of `folder` that has it; in the first of all if none has."""
    places = [folder / home / name for home in homes]
    return next((place for place in places if place.exists()), places[0])


def entries(content: Any, fields: Sequence[str], where: str, faults: list[str]) -> list[tuple[int, Mapping[str, Any]]]:
    """The numbered entries of a list of mappings that have all `fields`; a fault for each of the others."""
    if content is None:
        return []
    if not isinstance(content, list):
        faults.append(f"{where}: a {type(content).__name__} where a list of entries belongs")
        return []
    whole = []
    for number, entry in enumerate(content):
        absent = [field for field in fields if not isinstance(entry, Mapping) or field not in entry]
        if absent:
            faults.append(f"{where} entry {number}: field {absent[0]} is missing")
        else:
            whole.append((number, entry))
    return whole


def numbers(value: Any, shape: tuple[int, ...], where: str, faults: list[str]) -> np.ndarray | None:
    """`value` as float64 numbers of a shape, None (and a fault) if it is not that or one of them is not finite."""
    if not isinstance(value, np.ndarray) and (text := _first_text(value)) is not None:
        faults.append(f"{where}: {text!r} where a number belongs")
        return None
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        faults.append(f"{where}: rows of unequal length where {_times(shape)} numbers belong")
        return None
    if array.shape != shape:
        faults.append(f"{where}: {_times(array.shape)} numbers where {_times(shape)} belong")
        return None
    if not np.isfinite(array).all():
        faults.append(f"{where}: {array[~np.isfinite(array)][0]} where a finite number belongs")
        return None
    return array


def number(cell: str, where: str, faults: list[str]) -> float:
    """A cell of a table as a finite number, NaN (and a fault) if it is not one."""
    try:
        value = float(cell)
    except ValueError:
        faults.append(f"{where}: {cell!r} where a number belongs")
        return math.nan
    if not math.isfinite(value):
        faults.append(f"{where}: {cell.strip()} where a finite number belongs; leave the cell empty if there is none")
        return math.nan
    return value


def _first_text(value: Any) -> Any:
    """The first leaf of nested lists that is no number, None if all are."""
    if isinstance(value, list | tuple):
        return next((text for item in value if (text := _first_text(item)) is not None), None)
    return None if isinstance(value, int | float | np.number) else value if value is not None else "null"


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape) or "one"
