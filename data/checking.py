"""Readers and checks of annotation files.

Faults are collected, so that all are reported at once.
"""

import json
import math
import pickle
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from data.annotations import Annotation, Reference, diagonal, split_records
from data.prepared import Card, Dataset
from kpjax.errors import InputError, summarise
from kpjax.images.reading import BROKEN
from kpjax.structures import Skeleton

Splits = Mapping[str, Sequence[Annotation]]
Content = TypeVar("Content")
# (folder, faults): appends every fault, and leaves out the faulty entry
Read = Callable[[Path, list[str]], Splits]

# As a fraction of the image's longer side. No annotator slips this far: the labels are of an image
# of another size.
FAR_OUTSIDE = 0.5
# The classes and functions that numpy's pickles call, by module.
ARRAYS_ONLY = {
    "numpy": ("ndarray", "dtype"),
    "_codecs": ("encode",),
    **{f"numpy.{core}.multiarray": ("_reconstruct", "scalar") for core in ("core", "_core")},
    **{f"numpy.{core}.numeric": ("_frombuffer",) for core in ("core", "_core")},
}


def downloaded_dataset(
    name: str,
    read: Read,
    skeleton: Skeleton,
    card: Card,
    *,
    parts: Callable[[Splits], Splits] = dict,
    reference: Reference = diagonal,
    encoding: str = "jpeg",
    boxed: bool = False,
    tune: str = "tune",
) -> Dataset:
    """Declares a dataset of downloaded files; name, skeleton, card, encoding, boxed and tune are
    those of `Dataset`.

    read: whatever it appends to the faults stops the preparation. parts: makes the stored splits of
    those read, such as `data.parts.with_tune`. reference: the reference length of annotations that
    do not state one.
    """
    return Dataset(
        name,
        skeleton,
        card,
        lambda folder: split_records(parts(read_whole(read, folder, name)), reference),
        partial(all_faults, read),
        encoding,
        boxed,
        tune,
    )


def all_faults(read: Read, folder: Path) -> list[str]:
    """Returns every fault of a folder: of its annotation files, as found by `read`, and of the
    images they name.
    """
    faults: list[str] = []
    splits = read(folder, faults)
    for split, annotations in splits.items():
        repeated = [
            name for name, count in Counter(one.name for one in annotations).items() if count > 1
        ]
        faults += [
            f"{name} is listed twice in {split}; keep one of the entries" for name in repeated
        ]
    faults += _image_faults([one for annotations in splits.values() for one in annotations], folder)
    if not faults and not any(
        one.visible.any() for annotations in splits.values() for one in annotations
    ):
        faults.append(
            "no keypoint is visible in the whole set; label some, or check the visibility flags"
        )
    return faults


def read_whole(read: Callable[[Path, list[str]], Content], folder: Path, name: str) -> Content:
    """Reads the dataset of that name completely.

    Raises InputError if the annotation files have any fault.
    """
    faults: list[str] = []
    splits = read(folder, faults)
    if faults:
        raise InputError(f"{name}: {folder} has {len(faults)} faults: {summarise(faults)}")
    return splits


def faults_of(read: Callable[[Path, list[str]], Any], folder: Path) -> list[str]:
    """Returns the faults that a reader finds in a folder."""
    faults: list[str] = []
    read(folder, faults)
    return faults


def refusal_of(read: Callable[[Path], Any], folder: Path) -> list[str]:
    """Returns the message of the InputError that a reader raises, if it does."""
    try:
        read(folder)
    except InputError as error:
        return [str(error)]
    return []


def _image_faults(annotations: Sequence[Annotation], folder: Path) -> list[str]:
    """Returns faults of missing images and images of unexpected size. Reads file headers only."""
    faults, of_image = [], defaultdict(list)
    for one in annotations:
        of_image[one.image].append(one)
    for image, described in of_image.items():
        path = image.relative_to(folder) if image.is_relative_to(folder) else image
        if not image.is_file():
            faults.append(f"{path} is missing, but it has annotations; restore it")
            continue
        try:
            with Image.open(image) as pil_image:
                size = pil_image.size
        except BROKEN:
            continue  # the builder decodes every image, and reports or skips broken ones
        for one in described:
            if one.size is not None and size != one.size:
                faults.append(
                    f"{path} is {size[0]}x{size[1]}, but was annotated at "
                    f"{one.size[0]}x{one.size[1]}; restore the original"
                )
                break
            beyond = np.maximum(-one.keypoints, one.keypoints - (np.array(size) - 1)).max(1)
            beyond = np.where(one.visible, beyond, 0)
            if beyond.max() > FAR_OUTSIDE * max(size):
                farthest = int(beyond.argmax())
                x, y = one.keypoints[farthest]
                faults.append(
                    f"{path} is {size[0]}x{size[1]}, but keypoint {farthest} is at ({x:g}, {y:g}); it was "
                    "annotated at another size, restore the original"
                )
                break
    return faults


def copies_across(splits: Splits, folder: Path) -> list[str]:
    """Returns a fault for each image of one split that another split holds too, byte for byte."""
    seen: dict[int, tuple[str, Path]] = {}
    faults = []
    for split, annotations in splits.items():
        for one in annotations:
            if not one.image.is_file():
                continue
            first_split, first = seen.setdefault(hash(one.image.read_bytes()), (split, one.image))
            if first_split != split and first.read_bytes() == one.image.read_bytes():
                faults.append(
                    f"{one.image.relative_to(folder)} of {split} is the same image as "
                    f"{first.relative_to(folder)} of {first_split}; delete one"
                )
    return faults


def read_json(path: Path, faults: list[str]) -> Any:
    """Returns the content of a JSON file, None (and a fault) if it is missing or damaged."""
    if not exists(path, faults):
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        faults.append(f"{path.name} is not valid JSON: {error}; download it again")
        return None


def read_matlab(
    path: Path, variables: Sequence[str], faults: list[str], **options
) -> Mapping[str, Any] | None:
    """Reads variables of a MATLAB file by name, None (and a fault) if it is missing or damaged, or
    lacks one of them.

    options: of scipy.io.loadmat.
    """
    import scipy.io  # help texts of presets do not wait for it

    if not exists(path, faults):
        return None
    try:
        content = scipy.io.loadmat(path, variable_names=variables, **options)
    except Exception as error:  # scipy raises many kinds on a damaged file
        faults.append(f"{path.name} cannot be read: {error}; download it again")
        return None
    if absent := [name for name in variables if name not in content]:
        faults.append(f"{path.name}: variable {absent[0]} is missing; download it again")
        return None
    return content


class _ArraysOnly(pickle.Unpickler):
    """An unpickler of arrays, numbers, lists and mappings.

    It refuses everything else, since a pickle can run code.
    """

    def find_class(self, module: str, name: str):
        if name in ARRAYS_ONLY.get(module, ()):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, but only numpy arrays are allowed")


def read_pickle(path: Path, faults: list[str]) -> Any:
    """Returns the content of a pickle of arrays, None (and a fault) if it is missing, damaged or of
    anything else.
    """
    if not exists(path, faults):
        return None
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises many kinds
        faults.append(f"{path.name} cannot be read: {error}; download it again")
        return None


def exists(path: Path, faults: list[str], name: str | None = None) -> bool:
    """Returns whether a file exists; adds a fault if not.

    name: of it in the message, by default that of `path`.
    """
    if not path.is_file():
        faults.append(f"{name or path.name} is missing, expected at {path}")
        return False
    return True


def first_of(folder: Path, subfolders: Sequence[str], name: str) -> Path:
    """Returns the path of a file or folder in the first subfolder that has it, or in the first one
    if none does.

    subfolders: "" is the folder itself.
    """
    paths = [folder / subfolder / name for subfolder in subfolders]
    return next((path for path in paths if path.exists()), paths[0])


def entries(
    content: Any, fields: Sequence[str], where: str, faults: list[str]
) -> list[tuple[int, Mapping[str, Any]]]:
    """Returns the number and the content of each mapping in a list that has all fields; adds a
    fault for every other.

    content: anything but a list is a fault; None, for a file that could not be read, has no
    entries. where: file and list, for messages.
    """
    if content is None:
        return []
    if not isinstance(content, list):
        faults.append(
            f"{where}: expected a list of entries, found a {type(content).__name__}; download it again"
        )
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
    """Converts a number, nested lists or an array to finite float64 of a shape, None (and a fault)
    for anything else.

    where: file, entry and field, for messages.
    """
    if not isinstance(value, np.ndarray) and (text := _first_text(value)) is not None:
        faults.append(f"{where}: expected a number, found {text!r}")
        return None
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        faults.append(f"{where}: expected {_times(shape)} numbers, found rows of unequal length")
        return None
    if array.shape != shape:
        faults.append(f"{where}: expected {_times(shape)} numbers, found {_times(array.shape)}")
        return None
    if not np.isfinite(array).all():
        faults.append(f"{where}: expected a finite number, found {array[~np.isfinite(array)][0]}")
        return None
    return array


def number(cell: str, where: str, faults: list[str]) -> float:
    """Converts a table cell to a finite number, NaN (and a fault) if it is anything else.

    where: file, line and column, for messages.
    """
    try:
        value = float(cell)
    except ValueError:
        faults.append(f"{where}: expected a number, found {cell!r}")
        return math.nan
    if not math.isfinite(value):
        faults.append(f"{where}: expected a finite number, found {cell.strip()}")
        return math.nan
    return value


def row(cells: Iterable[str], where: str, faults: list[str]) -> np.ndarray | None:
    """Converts table cells to finite numbers, None (and a fault for each that is anything else).

    See `number`.
    """
    before = len(faults)
    values = np.array([number(cell, where, faults) for cell in cells])
    return values if len(faults) == before else None


def _first_text(value: Any) -> Any:
    """Returns the first leaf of nested lists that is not a number, None if all are numbers."""
    if isinstance(value, list | tuple):
        return next((text for item in value if (text := _first_text(item)) is not None), None)
    return (
        None
        if isinstance(value, int | float | np.number)
        else value
        if value is not None
        else "null"
    )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape) or "one"
