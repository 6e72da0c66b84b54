"""What all datasets of this package share: the record that they store, how they are built, and how they are opened.

A module of this package is a dataset if it defines `DATASET = Dataset(...)`. Its builder derives from `KeypointBuilder`
and says in `splits` which records each split has; `record` makes one.
"""
import io
import json
import math
import pkgutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

import data
from kpjax.errors import InputError, summarise
from kpjax.images.transforms import Transform
from kpjax.input.source import TfdsSource
from kpjax.structures import Skeleton

Record = Mapping[str, Any]
DEFAULT_DATA_DIR = Path("~/kpjax_data")


class Dataset(NamedTuple):
    """A dataset as `python -m data` knows it."""

    name: str  # also the name of its folder under the data directory
    builder: type["KeypointBuilder"]
    skeleton: Callable[[Path | None], Skeleton]  # of the folder that a person fetched; most sets ignore it
    where: str  # one line: where a person gets it, and under which terms
    check: Callable[[Path], list[str]]  # all faults of that folder at once, none if it is as the format promises
    needs_folder: bool = True  # False: drawn by kpjax, nothing to fetch


def features(keypoints: int | None, encoding: str = "jpeg", boxed: bool = False) -> tfds.features.FeaturesDict:
    """The schema of every prepared record.

    keypoints: their count, None if it is known from the data only. encoding: of the stored image, jpeg or png (the
    bytes of a file are stored as they are, whatever this says). boxed: whether a record has a box.
    """
    box = {"box": tfds.features.Tensor(shape=(4,), dtype=np.float32)} if boxed else {}
    return tfds.features.FeaturesDict({
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format=encoding),
        "keypoints": tfds.features.Tensor(shape=(keypoints, 2), dtype=np.float32),
        "visible": tfds.features.Tensor(shape=(keypoints,), dtype=np.float32),
        "scale": tfds.features.Scalar(dtype=np.float32),
        "id": tfds.features.Text(),
        **box,
    })


def record(image: Path | bytes | np.ndarray, keypoints, visible, scale: float, name: str, box=None) -> Record:
    """One example to store.

    image: a file, its bytes, or (H, W, 3) uint8 pixels, which are stored as PNG. keypoints: (K, 2) (x, y) in pixels of
    the image, the centre of its top-left pixel at (0, 0); anything, even NaN, where not visible. visible: (K,), true
    where labelled. scale: the set's reference length in pixels of this image. name: unique within the split. box: (4,)
    x, y, width, height in pixels of what is labelled, for the sets whose builder is `boxed`.
    Raises InputError for a visible keypoint, a scale or a box that is not of finite numbers, or a box of no extent.
    """
    visible = np.asarray(visible, np.float32) > 0
    keypoints = np.where(visible[:, None], np.asarray(keypoints, np.float32), np.float32(0))
    if not np.isfinite(keypoints).all():
        raise InputError(f"{name}: keypoint {int(np.argmin(np.isfinite(keypoints).all(1)))} is labelled, but its "
                         "coordinates are not finite; mark it as not labelled or mend them")
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"{name}: the reference length is {scale}; it must be a positive number of pixels")
    described = {"image": image, "keypoints": keypoints, "visible": visible.astype(np.float32),
                 "scale": np.float32(scale), "id": name}
    if box is None:
        return described
    box = np.asarray(box, np.float32)
    if not (np.isfinite(box).all() and (box[2:] >= 0).all() and box[2:].any()):
        raise InputError(f"{name}: the box is {box.tolist()}; finite x, y, width, height with an extent are needed")
    return {**described, "box": box}


def png(image: np.ndarray) -> bytes:
    """An (H, W, 3) uint8 image as the bytes of a PNG file."""
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "PNG", compress_level=1)
    return stored.getvalue()


def _as_rgb(image: Path | bytes | np.ndarray) -> bytes:
    """The bytes of an image file of three channels. Raises OSError if it does not decode to the end."""
    if isinstance(image, np.ndarray):
        return png(image)
    stored = image if isinstance(image, bytes) else Path(image).read_bytes()
    with Image.open(io.BytesIO(stored)) as pil_image:
        pil_image.load()
        return stored if pil_image.mode == "RGB" else png(np.asarray(pil_image.convert("RGB")))


class KeypointBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A tfds builder of keypoint records, written as array_record files without TensorFlow.

    A subclass sets `name`, `VERSION`, `keypoints`, `encoding`, `boxed` and defines `splits(folder)`: the records of
    each split, read one by one. Images that do not decode are collected while building and named together in one
    InputError; with `on_bad_image = "skip"` they are left out and listed in `skipped`.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "python -m data lists where a person gets this dataset."
    keypoints: int | None = None
    encoding = "jpeg"
    boxed = False
    on_bad_image = "stop"

    def __init__(self, **options):
        options.setdefault("file_format", "array_record")  # the default of tfds needs TensorFlow
        super().__init__(**options)
        self.skipped: list[str] = []

    def splits(self, folder: Path | None) -> Mapping[str, Iterator[Record]]:
        raise NotImplementedError

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=features(self.keypoints, self.encoding, self.boxed))

    def _split_generators(self, dl_manager):
        folder = Path(dl_manager.manual_dir) if self.MANUAL_DOWNLOAD_INSTRUCTIONS else None
        return {name: self._generate_examples(name, records) for name, records in self.splits(folder).items()}

    def _generate_examples(self, split, records):
        bad, seen = [], set()
        for example in records:
            if example["id"] in seen:
                raise InputError(f"{self.name}, split {split}: {example['id']} occurs twice; name each image once")
            seen.add(example["id"])
            try:
                image = _as_rgb(example["image"])
            except OSError as error:
                bad.append(f"{example['id']}: {error}")
                continue
            yield example["id"], {**example, "image": image}
        self.skipped += bad
        if bad and self.on_bad_image == "stop":
            raise InputError(f"{self.name}, split {split}: {len(bad)} of {len(seen)} images cannot be read: "
                             f"{summarise(bad)}; replace them, or leave them out with --on-bad-image skip")


def datasets() -> dict[str, Dataset]:
    """Every dataset of this package, by name."""
    modules = (import_module(f"data.{module.name}") for module in pkgutil.iter_modules(data.__path__)
               if not module.name.startswith("_"))
    found = [module.DATASET for module in modules if hasattr(module, "DATASET")]
    return {dataset.name: dataset for dataset in sorted(found, key=lambda dataset: dataset.name)}


def check(dataset: Dataset, folder: Path | None) -> None:
    """Compares a fetched folder with what the format promises. Raises InputError with all faults in one line."""
    if not dataset.needs_folder:
        return
    if folder is None:
        raise InputError(f"{dataset.name}: --manual-dir is missing; name the folder of the set ({dataset.where})")
    if not folder.is_dir():
        raise InputError(f"{dataset.name}: {folder} is no folder; fetch the set first ({dataset.where})")
    if not any(folder.iterdir()):
        raise InputError(f"{dataset.name}: {folder} is empty; fetch the set first ({dataset.where})")
    if faults := dataset.check(folder):
        raise InputError(f"{dataset.name}: {folder} has {len(faults)} fault{'s' * (len(faults) > 1)}: "
                         f"{summarise(faults)} ({dataset.where})")


def prepare(
    dataset: Dataset, manual_dir: Path | None = None, data_dir: Path = DEFAULT_DATA_DIR, *, on_bad_image: str = "stop"
) -> KeypointBuilder:
    """Checks a fetched folder and builds the dataset from it, replacing what was built before once all is well.

    on_bad_image: "stop" names all images that cannot be read and builds nothing, "skip" leaves them out.
    Returns the builder: `builder.info.splits` has the counts, `builder.skipped` what was left out.
    Raises InputError as `check` does.
    """
    if on_bad_image not in ("stop", "skip"):
        raise InputError(f"on_bad_image is {on_bad_image!r}; choose stop or skip")
    folder = None if manual_dir is None else Path(manual_dir).expanduser().resolve()
    check(dataset, folder)
    tfds.disable_progress_bar()
    data_dir = Path(data_dir).expanduser().resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir, prefix=f".{dataset.name}-") as building:
        builder = dataset.builder(data_dir=building)
        builder.on_bad_image = on_bad_image
        settings = {} if folder is None else {"manual_dir": str(folder)}
        with redirect_stdout(io.StringIO()):  # what tfds prints names the temporary folder
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(**settings))
        built, final = Path(builder.data_dir), data_dir / Path(builder.data_dir).relative_to(building)
        skeleton = dataset.skeleton(folder)
        described = {"names": skeleton.names, "edges": skeleton.edges, "flip": skeleton.flip, "groups": skeleton.groups}
        (built / "skeleton.json").write_text(json.dumps(described, indent=1))
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            final.rename(Path(building) / "replaced")
        built.rename(final)
    finished = dataset.builder(data_dir=str(data_dir))
    finished.skipped = builder.skipped
    return finished


def _read_skeleton(path: Path) -> Skeleton:
    stored = json.loads(path.read_text())
    return Skeleton(tuple(stored["names"]), tuple((a, b) for a, b in stored["edges"]), tuple(stored["flip"]),
                    {name: tuple(members) for name, members in stored["groups"].items()})


def open_source(
    dataset: Dataset | str, split: str, *, data_dir: Path = DEFAULT_DATA_DIR, transform: Transform
) -> TfdsSource:
    """A prepared dataset as a source of examples.

    split: as tfds writes it, for example "train", "train[:90%]", "train+test". transform: brings images of any size to
    the fixed one (see `kpjax.images.transforms`). Raises InputError if the set is unknown or was not prepared.
    """
    if isinstance(dataset, str):
        known = datasets()
        if dataset not in known:
            raise InputError(f"dataset {dataset!r} is unknown; there are {', '.join(known)}")
        dataset = known[dataset]
    folder = Path(dataset.builder(data_dir=str(Path(data_dir).expanduser().resolve())).data_dir)
    command = f"python -m data {dataset.name} --data-dir {data_dir}" + " --manual-dir PATH" * dataset.needs_folder
    if not (folder / "skeleton.json").exists():
        raise InputError(f"{dataset.name}: nothing prepared at {folder}; run {command} ({dataset.where})")
    prepared = tfds.builder_from_directory(str(folder))
    try:
        records = prepared.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    except ValueError as error:
        raise InputError(f"{dataset.name}: split {split!r} cannot be read, there are "
                         f"{', '.join(prepared.info.splits)}") from error
    return TfdsSource(records, _read_skeleton(folder / "skeleton.json"), transform, f"{dataset.name}/{split}")


def missing(folder: Path, names: Sequence[str]) -> list[str]:
    """A fault for each file or folder that a format promises and `folder` has not."""
    return [f"{name} is missing" for name in names if not (folder / name).exists()]
