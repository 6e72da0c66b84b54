"""A method as an ONNX model, which runs without JAX, and its comparison with the run."""
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

from kpjax.errors import InputError
from kpjax.lab.out.export import standalone
from kpjax.lab.out.export.writing import without_labels
from kpjax.platforms import form_of
from kpjax.structures import Method, Trained

OPSET = 23  # of the operators; ONNX Runtime 1.23 and later know it
# No extra of kpjax: the converter wants an older orbax-checkpoint, which the lock would then give to everyone.
INSTALL = "pip install 'jax2onnx>=0.17' 'onnxruntime>=1.23'"
TINY = np.finfo(np.float32).tiny
BOUND = 1e-4  # of their peak: the largest difference between heatmaps of the run and of the model


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


def largest_difference(method: Method, trained: Trained, model: Path, images: np.ndarray) -> float:
    """Returns how far a model is from its run: of heatmaps over their peaks, of points over the side without any.

    Points of heatmaps are not compared: where two cells are equally high, the order of sums decides which is taken.
    """
    session = standalone.onnx_session(model)
    theirs = [np.concatenate(found) for found in zip(
        *(session.run(None, {"images": image[None]}) for image in images), strict=True)]
    ours = [np.asarray(found) for found in jax.jit(lambda weights, given: outputs_of(method, weights, given))(
        trained, images)]
    if len(ours) == 2:
        return float(np.abs(ours[0] - theirs[0]).max() / images.shape[1])
    return max(float((np.abs(one - other) / np.maximum(np.abs(one).max((1, 2), keepdims=True), TINY)).max())
               for one, other in zip(ours[2:], theirs[2:], strict=True))


def trial_images(side: int, count: int = 20) -> np.ndarray:
    """Renders images (count, side, side, 3) uint8 for the comparison: `check_images` of run.py, moved and mixed."""
    first, second = standalone.check_images(side).astype(np.float64)
    shares = np.linspace(0, 1, count)[:, None, None, None]
    mixed = [np.roll(image, 3 * number, (0, 1)) for number, image in enumerate(shares * first + (1 - shares) * second)]
    return np.stack(mixed).astype(np.uint8)
