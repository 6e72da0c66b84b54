"""Export of a predictor's folder: the function compiled for every platform, and the run that it
comes from.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from kpjax import Example, InputError, Method, Trained, standalone
from kpjax.files import atomic, strict, write_json
from kpjax.images.transforms import AroundBox, BoxOrWhole, Letterbox, Transform
from kpjax.lab.out.card import card_of
from kpjax.platforms import form_of
from kpjax.training import identity
from kpjax.training.trees import named_leaves, on_host, save_trained

CARD = "README.md"
PLATFORMS = ("cpu", "cuda", "tpu")
PROMISED = timedelta(days=180)  # in which new releases of jax load what jax.export wrote
OPSET = 23  # opset of ONNX's operators; ONNX Runtime 1.23 and later know it
# No extra of kpjax: the converter wants an older orbax-checkpoint, which the lock would then give
# to everyone.
INSTALL = "pip install 'jax2onnx>=0.17' 'onnxruntime>=1.23'"
# run.py of an exported folder
RUN_PY = f'''"""Keypoints on images by the predictor in this folder: python run.py IMAGE... [--out points.csv]

Requires Python 3.11 or newer and: {standalone.INSTALL}
With predict.onnx in place of predict.bin: {standalone.INSTALL_ONNX}
As a module: predictor = open_predictor(FOLDER); keypoints, scores = points_on(predictor,
[read_image(PATH)]). Points are (x, y) in pixels of the image as it is shown, the centre of the
top-left pixel at (0, 0).
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from {standalone.PACKAGE}.standalone import (
    InputError,
    common_depth,
    main,
    open_predictor,
    points_on,
    program,
    read_image,
    transform_of,
)

if __name__ == "__main__":
    program(FOLDER)
'''
PlainPredict = Callable[[Mapping[str, jax.Array], jax.Array], dict[str, jax.Array]]


def plain_weights(trained: Trained) -> dict[str, np.ndarray]:
    """Returns all arrays `predict` may read, by path, such as `variables/params/conv1/kernel`."""
    return {
        path: np.array(on_host(leaf), order="C")
        for path, leaf in named_leaves(_tree(trained)).items()
    }


def plain_predict(method: Method, trained: Trained) -> PlainPredict:
    """Returns a method's `predict` as a function of plain containers, which can be compiled and
    written to a file.

    It maps (weights by path, images (B, S, S, 3) uint8) to {"keypoints": (B, K, 2), "scores": (B,
    K)}, both float32. Keypoints are (x, y) in pixels of the images, the centre of the top-left
    pixel at (0, 0). B may be symbolic.
    trained: only its containers are read; the arrays come with each call, so that none becomes a
    constant.
    """
    count, structure, names = (
        len(method.skeleton.names),
        jax.tree.structure(_tree(trained)),
        tuple(named_leaves(_tree(trained))),
    )

    def predict(weights: Mapping[str, jax.Array], images: jax.Array) -> dict[str, jax.Array]:
        tree = jax.tree.unflatten(structure, [weights[name] for name in names])
        found = method.predict(Trained(**tree), without_labels(images, count))
        return {
            "keypoints": found.keypoints.astype(jnp.float32),
            "scores": found.scores.astype(jnp.float32),
        }

    return predict


def without_labels(images: jax.Array, count: int) -> Example:
    """Returns images (B, S, S, 3) uint8 as a batch of examples without a label; B may be
    symbolic."""
    batch = images.shape[0]
    return Example(
        images,
        jnp.zeros((batch, count, 2), jnp.float32),
        jnp.zeros((batch, count), jnp.float32),
        jnp.ones((batch,), jnp.float32),
        jnp.broadcast_to(jnp.eye(3, dtype=jnp.float32)[None], (batch, 3, 3)),
        jnp.zeros((batch,), jnp.int32),
    )


def _tree(trained: Trained) -> dict:
    return {"variables": trained.variables, "frozen": trained.frozen}


def write_predictor(
    folder: Path,
    method: Method,
    trained: Trained,
    transform: Transform,
    *,
    run: Mapping[str, Any],
    score: Mapping[str, Any],
    files: Mapping[str, Any],
    licence: str = "",
    model: bytes | None = None,
    versions: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Writes a predictor's folder, whole or not at all, and returns the content of its
    predictor.json.

    It holds predict.bin and the folder `run`, or predict.onnx, with run.py, the modules
    that it imports, predictor.json, SHA256SUMS, and the card README.md, which may be changed.

    folder: a new or empty one. trained: trees of which `predict` reads nothing are left out.
    transform: brings images to the square that `predict` takes. run: experiment, preset, variant,
    seed and the digest of the weights. score: as score_table.json has it. files: the run's
    JSON files by name, from which its method is built again. licence: of the data and of what was
    learnt, for the card. model: ONNX, in place of the function
    and the run. versions: of what made the model. Raises InputError for a folder that cannot be
    written, and a transform that `input_of` refuses.
    """
    given = input_of(transform)
    side, made = given["shape"][1], datetime.now(UTC)
    function, weights = plain_predict(method, trained), plain_weights(trained)
    further, content = {"platforms": ["onnxruntime"]}, model
    if model is None:
        # Trees that keypoints depend on: not a frozen teacher's. jax orders a dictionary by its
        # names.
        used, names = (
            _export(function, weights, (1, side, side, 3), ("cpu",)).module_kept_var_idx,
            sorted(weights),
        )
        read = {tuple(names[number].split("/")[:2]) for number in used if number < len(names)}
        trained = Trained(
            *(
                {
                    name: tree
                    for name, tree in getattr(trained, part).items()
                    if (part, name) in read or not jax.tree.leaves(tree)
                }
                for part in Trained._fields
            )
        )
        function, weights = plain_predict(method, trained), plain_weights(trained)
        (batch,) = export.symbolic_shape("batch")
        exported = _export(function, weights, (batch, side, side, 3), PLATFORMS)
        content = bytes(exported.serialize())
        versions = {"calling_convention": exported.calling_convention_version}
        further = {
            "platforms": PLATFORMS,
            "loads_until": (made + PROMISED).date().isoformat(),
            "left_out": len(names) - len(weights),
        }
    description = {
        "format": standalone.FORMAT,
        "made": made.isoformat(timespec="seconds"),
        "versions": {"kpjax": "not installed as a package"} | identity.versions() | dict(versions),
        "run": run,
        "skeleton": dataclasses.asdict(method.skeleton),
        "input": given,
        "normalisation": "inside the function",
        "output": {
            "keypoints": "(batch, K, 2) float32, (x, y) in pixels of the input, centre of its top-left pixel "
            "at (0, 0)",
            "scores": "(batch, K) float32, the higher the surer, no probability",
        },
        "score": score,
        "check": {"on": "check_images of run.py", **_check(function, weights, side)},
        **further,
    }
    lines = (
        f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
        for name, value in strict(description).items()
    )
    contents = {
        standalone.FUNCTION if model is None else standalone.ONNX: content,
        standalone.RUNNER: RUN_PY.encode(),
        standalone.DESCRIPTION: ("{\n" + ",\n".join(lines) + "\n}\n").encode(),
        CARD: card_of(
            method,
            description,
            files.get("results.json", {}),
            files.get("config.json", {}).get("config", {}),
            licence,
        ).encode(),
    }
    with atomic(folder) as partial:
        partial.mkdir()
        for name, content in contents.items():
            (partial / name).write_bytes(content)
        (partial / standalone.PACKAGE / "images").mkdir(parents=True)
        for module, copy in zip(standalone.MODULES, standalone.CODE, strict=True):
            shutil.copyfile(Path(standalone.__file__).parent / module, partial / copy)
        if model is None:
            save_trained(partial / standalone.RUN / "model", trained)
            for name, stored in files.items():
                write_json(partial / standalone.RUN / name, stored)
        sums = [
            f"{hashlib.sha256((partial / name).read_bytes()).hexdigest()}  {name}\n"
            for name in (*standalone.FILES, *standalone.CODE)
            if (partial / name).is_file()
        ]
        (partial / standalone.SUMS).write_text("".join(sums), encoding="utf-8")
    return json.loads(contents[standalone.DESCRIPTION])


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
            "to", f"onnx needs a converter that is not here ({error}); {INSTALL}"
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
            "to",
            f"jax2onnx {version('jax2onnx')} cannot convert this method ({type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}); export without --to onnx",
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
        first, last = ([jax.lax.broadcast(value, shape)] * bool(shape[axis]) for shape in shapes)
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


def input_of(transform: Transform) -> dict[str, Any]:
    """Returns `input` of predictor.json: images, and run.py's steps to them.

    Raises InputError for other steps.
    """
    if not isinstance(transform, Letterbox | BoxOrWhole | AroundBox):
        raise InputError(
            "transform", f"an exported predictor cannot do {transform}; predict with the run itself"
        )
    return {
        "shape": ["batch", transform.side, transform.side, 3],
        "dtype": "uint8",
        "layout": "NHWC, RGB, 0 to 255",
        "whole_images": not isinstance(transform, AroundBox),
        "box_margin": getattr(transform, "margin", BoxOrWhole.margin),
    }


def _export(
    function: PlainPredict, weights, shape: tuple, platforms: tuple[str, ...]
) -> export.Exported:
    shapes = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in weights.items()
    }
    # Compiled code names the source file of every operation: this machine's folders stay out of it.
    option = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, option)
    jax.config.update(option, r".*[\\/]")
    try:
        return export.export(jax.jit(function), platforms=platforms)(
            shapes, jax.ShapeDtypeStruct(shape, np.uint8)
        )
    finally:
        jax.config.update(option, before)


def a_cpu() -> jax.Device:
    """Returns a CPU, or the first device where there is none."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return jax.local_devices()[0]


def _check(function: PlainPredict, weights: Mapping[str, np.ndarray], side: int) -> dict[str, Any]:
    """Returns the run's keypoints and scores on `check_images`, computed on a CPU where there is
    one.
    """
    device = a_cpu()
    found = jax.jit(function)(
        *jax.device_put((dict(weights), standalone.check_images(side)), device)
    )
    return {
        "device": device.device_kind,
        **{name: np.asarray(value).tolist() for name, value in found.items()},
    }
