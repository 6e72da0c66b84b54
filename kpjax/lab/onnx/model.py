"""A predictor as an ONNX model, which ONNX Runtime runs without jax."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from jax import export

from kpjax import InputError, Method, Trained
from kpjax.lab.plain_function import plain_predict, plain_weights
from kpjax.platforms import form_of

OPSET = 23  # opset of ONNX's operators; ONNX Runtime 1.23 and later know it
# No extra of kpjax: the converter wants an older orbax-checkpoint, which the lock would then give
# to everyone.
COMMAND = "uv run --with jax2onnx --with onnxruntime kpjax export RUN --out FOLDER"


def onnx_model(method: Method, trained: Trained, side: int) -> bytes:
    """Returns an ONNX model: images (B, S, S, 3) uint8, B any, -> keypoints and scores, as
    `plain_predict` returns them.

    Convolutions are those of accelerators: ONNX Runtime takes 1.7 times as long for the shifts and
    dots that XLA needs on CPUs. Raises InputError if the converter is not installed, or does not
    know an operation.
    """
    try:
        from jax2onnx import to_onnx
    except ImportError as error:
        raise InputError(
            "run",
            f"the converter is not here ({error}); `{COMMAND}` has it",
        ) from None
    (batch,) = export.symbolic_shape("batch")
    given = jax.ShapeDtypeStruct((batch, side, side, 3), np.uint8)
    predict, weights = plain_predict(method, trained), plain_weights(trained)
    # Traced before the converter looks: it would take functions of jax.nn as a whole, and knows not
    # all their options.
    # its results in the order of their names
    traced = jax.make_jaxpr(lambda images: predict(weights, images))(given)
    try:
        with _quiet():
            model = to_onnx(
                form_of("onnx", traced, {"pad": _pad}),
                opset=OPSET,
                model_name="kpjax",
                inputs=[given],
                input_names=["images"],
                output_names=["keypoints", "scores"],
            )
    # the converter raises errors of many kinds for what it does not know
    except Exception as error:
        raise InputError(
            "run",
            f"jax2onnx {version('jax2onnx')} cannot convert this method ({type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]})",
        ) from error
    _write_clamps(model.graph)
    return model.SerializeToString()


def _write_clamps(graph: Any) -> None:
    """Writes max(x, 0) as Relu and min(Relu(x), c) as Clip, in place.

    ONNX Runtime computes those within the convolution before them. A maximum and a minimum would
    be two more passes, and bring each map into the usual layout and back.
    """
    from onnx.numpy_helper import to_array

    scalars = {one.name: to_array(one) for one in graph.initializer if not one.dims}
    clamped = {}  # by the name of Relu's result: x, and the name of its 0
    for node in graph.node:
        if node.op_type not in ("Max", "Min") or len(node.input) != 2:
            continue
        x, bound = node.input
        if node.op_type == "Max" and scalars.get(bound) == 0:
            clamped[node.output[0]] = (x, bound)
            node.op_type = "Relu"
            del node.input[1]
        elif node.op_type == "Min" and x in clamped and bound in scalars:
            node.op_type = "Clip"
            node.input[:] = [*clamped[x], bound]
    used = {name for node in graph.node for name in node.input}
    used |= {result.name for result in graph.output}
    for node in [*graph.node]:
        if (
            node.op_type == "Relu" and node.output[0] not in used
        ):  # it would be computed all the same
            graph.node.remove(node)


def _pad(x: jax.Array, value: Any, *, padding_config: Sequence[tuple[int, int, int]]) -> jax.Array:
    """Computes `jax.lax.pad` by joining arrays, for the converter pads no batch of any size.

    Raises ValueError for cells between others, and for cells that are cut off.
    """
    for axis, (before, after, between) in enumerate(padding_config):
        if before < 0 or after < 0 or between:
            raise ValueError(f"no pad of {padding_config}")
        shapes = [(*x.shape[:axis], count, *x.shape[axis + 1 :]) for count in (before, after)]
        first, last = ([jax.lax.broadcast(value, shape)] if shape[axis] else [] for shape in shapes)
        x = jax.lax.concatenate([*first, x, *last], axis)
    return x


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps warnings off the screen, which the converter gives of its own examples and of constants
    without a type; the model is compared with the run instead."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def check_images(side: int) -> np.ndarray:
    """Renders two images (2, side, side, 3) uint8, on which a model is compared with its run."""
    y, x = np.mgrid[:side, :side]
    waves = np.stack(
        [(x * (3 + channel) + y * (5 + 2 * channel)) % 256 for channel in range(3)], -1
    )
    squares = (x - side // 3) ** 2 + (y - side // 2) ** 2
    disc = (squares < (side // 5) ** 2)[..., None]
    both = np.stack([waves // 4 + 160 * disc, np.where(disc, 255 - waves, 90)])
    return both.clip(0, 255).astype(np.uint8)


def difference_from(model: bytes, method: Method, trained: Trained, side: int) -> float:
    """Computes the largest distance between the model's points and those of `predict` on
    `check_images`, px; infinite where either is no number.

    Raises InputError where ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("run", f"ONNX Runtime is not here ({error}); `{COMMAND}`") from None
    images = check_images(side)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of constants that the converter has left over
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found, _ = session.run(["keypoints", "scores"], {"images": images})
    with jax.default_device(a_cpu()):
        right = jax.jit(plain_predict(method, trained))(plain_weights(trained), images)
    distance = np.abs(found - np.asarray(right["keypoints"])).max()
    return float(distance) if np.isfinite(distance) else float("inf")


def a_cpu() -> jax.Device:
    """Returns a CPU, or the first device where there is none."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return jax.local_devices()[0]
