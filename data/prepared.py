"""The common part of all datasets: their stored records, and functions that check, build and open
them.

tensorflow-datasets stores and reads prepared sets. It is imported when one is prepared or opened:
synthetic data and people's own images need none of it, and an installed wheel has it as the extra
`datasets`.
"""

from __future__ import annotations

import io
import json
import math
import os
import pkgutil
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from etils import epath
from PIL import Image

from kpjax.errors import InputError, summarise
from kpjax.files import (
    absolute,
    atomic,
    cache_folder,
    in_bucket,
    make_folder,
    read_json,
    remove,
    writing,
)
from kpjax.images.transforms import Transform
from kpjax.input.source import TfdsSource, digest_of, labels_digest
from kpjax.structures import Skeleton, skeleton_from_json

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

Record = Mapping[str, Any]
DEFAULT_DATA_DIR = Path("~/kpjax_data")
BUILDER = "kpjax"  # all sets are its configs, as tfds names them
VERSION = "1.2.0"
RELEASE_NOTES = {
    "1.1.0": "Keypoints outside the image stay labelled.",
    "1.2.0": "Every set has images for tuning.",
}
AT_SIDE = "side-"  # folder of sets that were prepared at a size, below that of the others


class Card(NamedTuple):
    """What a dataset says of itself; it is stored with the prepared set."""

    about: str  # what it shows, and how it is stored: the text of its module
    where: str  # one line: where to download it
    licence: str  # or its terms, in a few words
    homepage: str = ""
    citation: str = ""


@dataclass(frozen=True)
class Counted:
    """The items of one split, made one by one, and their number."""

    count: int
    make: Callable[[], Iterable]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator:
        return iter(self.make())


class Dataset(NamedTuple):
    """A dataset as listed and prepared by `python -m data`."""

    name: str  # also the name of its folder under the data directory
    #: a function if they are the downloaded folder's own
    points: Skeleton | Callable[[Path | None], Skeleton]
    card: Card
    # The records of each split, read one by one, `Counted` if their number is known. A text in
    # place of a record is a fault of one that cannot be read.
    splits: Callable[[Path | None], Mapping[str, Iterable[Record | str]]]
    #: all faults of that folder; None: rendered by kpjax, nothing to download
    check: Callable[[Path], list[str]] | None
    #: encoding of images given as pixels, "jpeg" or "png"; files keep their bytes
    encoding: str = "jpeg"
    boxed: bool = False  # whether a record has a box
    #: the split on which settings are chosen; "" where training and test images are the same
    tune: str = "tune"

    @property
    def where(self) -> str:
        """Where to download it, and under which terms, in one line."""
        return f"{self.card.where}; {self.card.licence}"

    def skeleton(self, folder: Path | None) -> Skeleton:
        """Returns the skeleton of a downloaded folder. Raises InputError if it cannot be read."""
        return self.points if isinstance(self.points, Skeleton) else self.points(folder)


def tensorflow_datasets() -> types.ModuleType:
    """Imports tensorflow-datasets.

    Raises InputError, which names the extra, where it is not installed.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(
            f"prepared datasets need tensorflow-datasets ({error}); pip install 'kpjax[datasets]'"
        ) from error
    return tfds


def record(
    image: Path | bytes | np.ndarray, keypoints, visible, scale: float, name: str, box=None
) -> Record:
    """Builds one record to store. Raises InputError for a visible keypoint, a scale or a box that
    is not finite, and for a scale or a box that is not positive.

    image: a file, its bytes, or (H, W, 3) uint8 pixels, which are stored as PNG. keypoints: (K, 2)
    (x, y) in pixels of the image, the centre of its top-left pixel at (0, 0); arbitrary, even NaN,
    where not visible. visible: (K,), true where labelled. scale: the set's reference length in
    pixels of this image. name: unique within the split. box: (4,) x, y, width, height in pixels of
    the labelled object, for builders that are `boxed`.
    """
    visible = np.asarray(visible, np.float32) > 0
    keypoints = np.where(visible[:, None], np.asarray(keypoints, np.float32), np.float32(0))
    if not np.isfinite(keypoints).all():
        raise InputError(
            f"{name}: keypoint {int(np.argmin(np.isfinite(keypoints).all(1)))} is labelled, but its "
            "coordinates are not finite; correct them, or mark it as not labelled"
        )
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"{name}: expected a positive reference length in pixels, found {scale}")
    described = {
        "image": image,
        "keypoints": keypoints,
        "visible": visible.astype(np.float32),
        "scale": np.float32(scale),
        "id": name,
    }
    if box is None:
        return described
    box = np.asarray(box, np.float32)
    if not (np.isfinite(box).all() and (box[2:] >= 0).all() and box[2:].any()):
        raise InputError(
            f"{name}: expected a box of finite x, y and positive width, height, found {box.tolist()}"
        )
    return {**described, "box": box}


def png(image: np.ndarray) -> bytes:
    """Encodes an (H, W, 3) uint8 image as a PNG file."""
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "PNG", compress_level=1)
    return stored.getvalue()


def jpeg(image: Image.Image, **options: Any) -> bytes:
    """Encodes an RGB image as a JPEG file of quality 95. options: of Pillow."""
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=95, **options)
    return stored.getvalue()


def encode(image: Image.Image, lossless: bool) -> bytes:
    """Encodes a changed image: a JPEG as JPEG without chroma subsampling, all else as PNG."""
    image = image.convert("RGB")
    return png(np.asarray(image)) if lossless else jpeg(image, subsampling=0)


def as_rgb(image: Path | bytes | np.ndarray) -> bytes:
    """Returns the bytes of an image file of three channels.

    Raises OSError if it does not decode.
    """
    if isinstance(image, np.ndarray):
        return png(image)
    stored = image if isinstance(image, bytes) else Path(image).read_bytes()
    with Image.open(io.BytesIO(stored)) as pil_image:
        pil_image.load()
        return stored if pil_image.mode == "RGB" else png(np.asarray(pil_image.convert("RGB")))


def at_side(stored: Record, side: int) -> Record:
    """Returns a record whose image is resized for crops of `side` pixels; it is never enlarged.

    What a crop shows is at least as long as the image's shorter side, its box's longer side or that
    of the labelled keypoints' box, whichever is the shortest: that becomes `side` pixels.
    Keypoints, box and scale are moved with the image, edge to edge. A JPEG file stays one, all
    others become PNG files.

    stored: image as the bytes of its file.
    """
    with Image.open(io.BytesIO(stored["image"])) as image:
        width, height = image.size
        lengths = [width, height, *([max(stored["box"][2:])] if "box" in stored else [])]
        if (labelled := stored["visible"] > 0).any():
            lengths.append(max(np.ptp(stored["keypoints"][labelled], axis=0)))
        # a single point is in no crop of its own
        factor = side / min(length for length in lengths if length > 0)
        if factor >= 1:
            return stored
        size = math.ceil(factor * width), math.ceil(factor * height)
        small = encode(
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS), image.format != "JPEG"
        )
    growth = np.array(size) / (width, height)

    def moved(points: np.ndarray) -> np.ndarray:
        return (points + 0.5) * growth - 0.5

    numbers = {
        "keypoints": np.where(labelled[:, None], moved(stored["keypoints"]), 0),
        "scale": stored["scale"] * np.sqrt(growth.prod()),
    }
    if "box" in stored:
        numbers["box"] = np.concatenate([moved(stored["box"][:2]), stored["box"][2:] * growth])
    return {
        **stored,
        "image": small,
        **{name: np.float32(number) for name, number in numbers.items()},
    }


def rendered_dataset(
    name: str, skeleton: Skeleton, about: str, parts: Mapping[str, Counted]
) -> Dataset:
    """Declares a dataset that is rendered by kpjax, with nothing to download.

    It is for programs that only read prepared datasets; all others render any number at any size in
    memory.

    about: of its card. parts: the name and the example of each image of each split.
    """

    def records(examples: Counted) -> Iterator[Record]:
        for title, one in examples:
            yield record(one.image, one.keypoints, one.visible, float(one.scale), title)

    return Dataset(
        name,
        skeleton,
        Card(
            about,
            "rendered by kpjax, nothing to download",
            "Apache-2.0",
            citation="Rendered by kpjax, see CITATION.cff.",
        ),
        lambda folder: {
            part: Counted(len(examples), partial(records, examples))
            for part, examples in parts.items()
        },
        None,
        "png",
    )


def builder_of(dataset: Dataset, **options: Any) -> tfds.core.GeneratorBasedBuilder:
    """Makes the tfds builder of a dataset, by the class that `data.builders` registers with tfds.

    options: as for any builder of tfds, such as `data_dir`.
    """
    return tensorflow_datasets().builder_cls(BUILDER).of(dataset, **options)


def datasets() -> dict[str, Dataset]:
    """Returns every dataset of this package, by name."""
    modules = (
        import_module(f"data.{module.name}")
        for module in pkgutil.iter_modules([str(Path(__file__).parent)])
        if not module.name.startswith("_") and module.name != "builders"  # which imports tfds
    )
    found = [module.DATASET for module in modules if hasattr(module, "DATASET")]
    return {dataset.name: dataset for dataset in sorted(found, key=lambda dataset: dataset.name)}


def dataset_named(name: str) -> Dataset:
    """Returns a dataset. Raises InputError for an unknown one."""
    known = datasets()
    if name not in known:
        raise InputError(f"dataset {name!r} is unknown; choose among {', '.join(known)}")
    return known[name]


def tuning_split(name: str) -> str:
    """Returns the split of a set on which settings are chosen, "<dataset>/<split>"; "" of a set
    without one.

    name: of the set, or of any split of it. Raises InputError for an unknown set.
    """
    dataset = dataset_named(name.partition("/")[0])
    return dataset.tune and f"{dataset.name}/{dataset.tune}"


def check(dataset: Dataset, folder: Path | None) -> None:
    """Checks a downloaded folder against its format.

    Raises InputError with all faults in one line.
    """
    if dataset.check is None:
        return
    if folder is None:
        raise InputError(
            f"{dataset.name}: --manual-dir is missing; give the folder of the dataset ({dataset.where})"
        )
    if not folder.is_dir():
        raise InputError(
            f"{dataset.name}: {folder} is not a folder; download the dataset first ({dataset.where})"
        )
    if not any(folder.iterdir()):
        raise InputError(
            f"{dataset.name}: {folder} is empty; download the dataset first ({dataset.where})"
        )
    if faults := dataset.check(folder):
        raise InputError(
            f"{dataset.name}: {folder} has {len(faults)} fault{'s' * (len(faults) > 1)}: "
            f"{summarise(faults)} ({dataset.where})"
        )


def prepare(
    dataset: Dataset,
    manual_dir: Path | None = None,
    data_dir: Path = DEFAULT_DATA_DIR,
    *,
    on_bad_image: str = "stop",
    reduced_decoding: bool = False,
    side: int | None = None,
) -> tfds.core.GeneratorBasedBuilder:
    """Checks a downloaded folder and builds the dataset from it; on success it replaces an earlier
    build.

    Returns the builder: `builder.info.splits` has the counts, `builder.skipped` the skipped images.
    Raises InputError as `check` does, and for images that cannot be read.

    manual_dir: the downloaded folder, None for datasets that kpjax renders. data_dir: of prepared
    datasets.
    on_bad_image: "stop" builds nothing and reports all images that cannot be read, "skip" leaves
    them out.
    reduced_decoding: whether sources of the set are `reduced` (see
    `kpjax.input.source.TfdsSource`). It is stored with the set: whoever opens it sees the same
    pixels, and no run can be resumed with others. side: resizes images for crops of so many pixels
    (see `at_side`). Such a set lies in the folder `side-<side>` of `data_dir`, which is then the
    `data_dir` to open it. Errors in pixels are those of the resized images.
    """
    if on_bad_image not in ("stop", "skip"):
        raise InputError(f"on_bad_image is {on_bad_image!r}; choose stop or skip")
    if side is not None and side < 1:
        raise InputError("side", f"{side}; must be at least 1")
    folder = None if manual_dir is None else Path(manual_dir).expanduser().resolve()
    check(dataset, folder)
    tfds = tensorflow_datasets()
    tfds.disable_progress_bar()  # the builder has its own, with totals
    data_dir = absolute(data_dir) if side is None else absolute(data_dir) / f"{AT_SIDE}{side}"
    make_folder(data_dir)
    beside = None if in_bucket(data_dir) else data_dir
    with tempfile.TemporaryDirectory(dir=beside, prefix=f".{dataset.name}-") as building:
        builder = builder_of(dataset, data_dir=building)
        builder.on_bad_image, builder.resized_for, builder.bar = on_bad_image, side, True
        config = tfds.download.DownloadConfig(
            **({} if folder is None else {"manual_dir": str(folder)})
        )
        with redirect_stdout(io.StringIO()):  # tfds prints the temporary folder
            builder.download_and_prepare(download_config=config)
        built, final = (
            Path(builder.data_dir),
            data_dir / Path(builder.data_dir).relative_to(building),
        )
        described = described_skeleton(dataset.skeleton(folder))
        described["labels"] = {
            split: labels_digest(_records(builder, split)) for split in builder.info.splits
        }
        if side is not None:  # other pixels, also where nothing is labelled
            described["labels"] = {
                split: digest_of(known, f"side {side}")
                for split, known in described["labels"].items()
            }
        if reduced_decoding:
            described["decoding"] = "reduced"
        (built / "skeleton.json").write_text(json.dumps(described, indent=1))
        if in_bucket(final):
            remove(final)
            # skeleton.json comes last: it says that a set is whole.
            for file in sorted(built.iterdir(), key=lambda file: file.name == "skeleton.json"):
                with writing(final):
                    (final / file.name).write_bytes(file.read_bytes())
        else:
            make_folder(final.parent)
            if final.exists():
                final.rename(Path(building) / "replaced")
            built.rename(final)
    finished = builder_of(dataset, data_dir=str(data_dir))
    finished.skipped = builder.skipped
    return finished


def described_skeleton(skeleton: Skeleton) -> dict[str, Any]:
    """Returns a skeleton as skeleton.json describes it."""
    return {
        "names": skeleton.names,
        "edges": skeleton.edges,
        "flip": skeleton.flip,
        "groups": skeleton.groups,
    }


def _records(builder: Any, split: str) -> Any:
    """Returns the records of a split, images as the bytes of their files."""
    return builder.as_data_source(
        split=split, decoders={"image": tensorflow_datasets().decode.SkipDecoding()}
    )


def _local(folder: epath.Path) -> epath.Path:
    """Returns a folder of this machine with a prepared set.

    One in a bucket is copied: records are read at random.
    """
    if not in_bucket(folder):
        return folder
    described = [(folder / name).read_bytes() for name in ("dataset_info.json", "skeleton.json")]
    version = sha256(b"".join([os.fspath(folder).encode(), *described])).hexdigest()[:16]
    copy = epath.Path(cache_folder()) / "data" / version
    if not copy.exists():
        with atomic(copy) as partial:
            partial.mkdir()
            for file in folder.iterdir():
                (partial / file.name).write_bytes(file.read_bytes())
    return copy


def open_source(
    dataset: Dataset | str, split: str, *, data_dir: Path = DEFAULT_DATA_DIR, transform: Transform
) -> TfdsSource:
    """Opens a prepared dataset, perhaps by its name. Raises InputError if it is unknown or not
    prepared, or has no such split.

    split: in tfds's notation, for example "train", "train[:90%]" or "train+test". data_dir: of
    prepared datasets.
    transform: brings images of any size to a fixed one (see `kpjax.images.transforms`).
    """
    if isinstance(dataset, str):
        dataset = dataset_named(dataset)
    folder = epath.Path(absolute(data_dir)) / BUILDER / dataset.name / VERSION
    parent, _, side = os.fspath(data_dir).rpartition(f"/{AT_SIDE}")
    where = (
        f"--data-dir {parent} --side {side}"
        if parent and side.isdecimal()
        else f"--data-dir {data_dir}"
    )
    command = f"python -m data {dataset.name} {where}" + " --manual-dir PATH" * (
        dataset.check is not None
    )
    if not (folder / "skeleton.json").exists():
        raise InputError(
            f"{dataset.name}: nothing prepared at {folder}; run {command} ({dataset.where})"
        )
    folder = _local(folder)
    try:
        prepared = tensorflow_datasets().builder_from_directory(str(folder))
    except Exception as error:  # tfds and protobuf raise many kinds for damaged descriptions
        raise InputError(
            f"{folder}: dataset_info.json and features.json cannot be read "
            f"({' '.join(str(error).split())[:200]}); prepare the set again: {command}"
        ) from None
    try:
        records = _records(prepared, split)
    except ValueError as error:
        raise InputError(
            f"{dataset.name}: split {split!r} is unknown; choose among "
            f"{', '.join(prepared.info.splits)}"
        ) from error
    stored = read_json(folder / "skeleton.json")
    # A part of a split has the digest of its set and its own description.
    known = digest_of(json.dumps(stored["labels"]), split) if "labels" in stored else ""
    return TfdsSource(
        records,
        skeleton_from_json(stored, str(folder / "skeleton.json")),
        transform,
        f"{dataset.name}/{split}",
        known,
        reduced=stored.get("decoding") == "reduced",
    )
