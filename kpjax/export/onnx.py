"""Export of a predictor's folder with an ONNX model, which runs without JAX, and its comparison with the run."""
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from kpjax.errors import InputError
from kpjax.export import standalone
from kpjax.export.writing import Provenance, check_free, input_of, without_labels, write_described
from kpjax.images.transforms import Transform
from kpjax.platforms import form_of
from kpjax.structures import Method, Trained

OPSET = 23  # of the operators; ONNX Runtime 1.23 and later know it
# No extra of kpjax: the converter wants an older orbax-checkpoint, which the lock would then give to everyone.
INSTALL = "pip install 'jax2onnx>=0.17' 'onnxruntime>=1.23'"
HEATMAPS = 1e-4  # of their peak: the largest difference between the run and the model
POINTS = 0.05  # px, the same of points, where a map has one highest cell


class Outputs(NamedTuple):
    """What a run or a model returns for a batch, numpy."""

    keypoints: np.ndarray  # (B, K, 2)
    scores: np.ndarray  # (B, K)
    heatmaps: tuple[np.ndarray, ...]  # (B, h, w, k) each, together K channels; () if the method has none


class Difference(NamedTuple):
    """The largest differences between a run and a model."""

    heatmaps: float  # of the peak of a map
    points: float  # px, of points without a tie
    ties: tuple[str, ...]  # "image 3, left hand": two cells are highest, and either may be taken

    @property
    def small(self) -> bool:
        """Whether both are within their bounds."""
        return self.heatmaps <= HEATMAPS and self.points <= POINTS


def outputs_of(method: Method, trained: Trained, images: jax.Array) -> tuple[jax.Array, ...]:
    """Returns keypoints, scores and heatmaps of images (B, S, S, 3) uint8, as a model's outputs are ordered."""
    found = method.predict(trained, without_labels(images, len(method.skeleton.names)))
    return found.keypoints.astype(np.float32), found.scores.astype(np.float32), *found.heatmaps


def convert(method: Method, trained: Trained, side: int) -> bytes:
    """Returns an ONNX model: images (1, S, S, 3) uint8 -> keypoints, scores and heatmaps_0, heatmaps_1 ...

    Raises InputError if the converter is not installed, or does not know an operation.
    """
    try:
        from jax2onnx import to_onnx
    except ImportError as error:
        raise InputError("to", f"onnx needs a converter that is not here ({error}); {INSTALL}") from None
    given = jax.ShapeDtypeStruct((1, side, side, 3), np.uint8)  # batches of any size are beyond the converter
    # Traced before the converter looks: it would take functions of jax.nn as a whole, and knows not all their options.
    traced = jax.make_jaxpr(lambda images: outputs_of(method, trained, images))(given)
    maps = len(traced.out_avals) - 2
    try:
        model = to_onnx(
            form_of("cpu", traced), opset=OPSET, model_name="kpjax", inputs=[given], input_names=["images"],
            output_names=["keypoints", "scores", *(f"heatmaps_{number}" for number in range(maps))])
    except Exception as error:  # the converter raises errors of many kinds for what it does not know
        raise InputError("to", f"jax2onnx {version('jax2onnx')} cannot convert this method ({type(error).__name__}: "
                         f"{(str(error).splitlines() or [''])[0]}); export without --to onnx") from error
    return model.SerializeToString()


def write_onnx(
    folder: Path, method: Method, trained: Trained, transform: Transform, provenance: Provenance, *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes predict.onnx, run.py and predictor.json, whole or not at all; returns the content of the latter.

    Arguments and errors are those of `kpjax.export.writing.write_predictor`; also raises as `convert`.
    """
    check_free(folder, overwrite)
    model = convert(method, trained, input_of(transform)["shape"][1])
    return write_described(
        folder, {standalone.ONNX: model}, method, trained, transform, provenance,
        versions={"jax2onnx": version("jax2onnx"), "opset": OPSET}, platforms=("onnxruntime",))


def run_model(path: Path, images: np.ndarray) -> Outputs:
    """Runs a model by ONNX Runtime on a CPU. Raises InputError if that is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("to", f"the model cannot be tried ({error}); {INSTALL}") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of every constant that no operation reads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = [session.run(None, {"images": image[None]}) for image in images]
    keypoints, scores, *heatmaps = map(np.concatenate, zip(*found, strict=True))
    return Outputs(keypoints, scores, tuple(heatmaps))


def difference(run: Outputs, model: Outputs, names: tuple[str, ...]) -> Difference:
    """Compares a model with its run on the same images.

    A point is a tie where a cell beyond the neighbours of the highest one is as high, up to the bound of heatmaps: the
    order of sums decides which is taken, so these points are named and not measured. names: of the keypoints.
    """
    apart = np.linalg.norm(run.keypoints - model.keypoints, axis=-1)
    tied = np.concatenate([_tied(maps) for maps in run.heatmaps], -1) if run.heatmaps else np.zeros(apart.shape, bool)
    tied &= apart > POINTS
    peaks = [np.abs(maps).max((1, 2), keepdims=True) for maps in run.heatmaps]
    relative = [np.abs(ours - theirs) / np.maximum(peak, np.finfo(np.float32).tiny)
                for ours, theirs, peak in zip(run.heatmaps, model.heatmaps, peaks, strict=True)]
    return Difference(
        max((float(one.max()) for one in relative), default=0.0), float(np.where(tied, 0, apart).max()),
        tuple(f"image {image}, {names[k]}" for image, k in np.argwhere(tied).tolist()))


def _tied(maps: np.ndarray) -> np.ndarray:
    """Returns (B, k) bool: whether a cell beyond the neighbours of a map's highest is as high, up to the bound."""
    batch, height, width, count = maps.shape
    peak = maps.max((1, 2))
    row, column = np.unravel_index(maps.reshape(batch, -1, count).argmax(1), (height, width))
    far = (np.abs(np.arange(height)[:, None, None, None] - row) > 1) | (
        np.abs(np.arange(width)[None, :, None, None] - column) > 1)  # (h, w, B, k)
    elsewhere = np.where(np.moveaxis(far, 2, 0), maps, -np.inf).max((1, 2))
    return elsewhere >= peak - HEATMAPS * np.abs(peak)


def outputs_of_run(method: Method, trained: Trained, images: np.ndarray) -> Outputs:
    """Returns what the run itself finds."""
    keypoints, scores, *heatmaps = map(np.asarray, jax.jit(
        lambda weights, given: outputs_of(method, weights, given))(trained, images))
    return Outputs(keypoints, scores, tuple(heatmaps))


def trial_images(side: int, count: int = 20) -> np.ndarray:
    """Renders images (count, side, side, 3) uint8 for the comparison: `check_images` of run.py, moved and mixed."""
    first, second = standalone.check_images(side).astype(np.float64)
    shares = np.linspace(0, 1, count)[:, None, None, None]
    mixed = [np.roll(image, 3 * number, (0, 1)) for number, image in enumerate(shares * first + (1 - shares) * second)]
    return np.stack(mixed).astype(np.uint8)
