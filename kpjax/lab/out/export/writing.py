"""Export of a predictor's folder: the function compiled for every platform, the weights that it reads, and back."""
import dataclasses
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from safetensors.numpy import load_file, save

from kpjax.errors import InputError
from kpjax.file_names import inside
from kpjax.files import atomic, foreign, strict
from kpjax.images import boxes, reading, transforms
from kpjax.images.transforms import AroundBox, BoxOrWhole, Letterbox, Transform
from kpjax.lab.formats.manifest import check_replaceable
from kpjax.lab.out.export import standalone
from kpjax.structures import Example, Method, Trained
from kpjax.training import run_folder
from kpjax.training.trees import arrays_by_path, named_leaves, on_host

PLATFORMS = ("cpu", "cuda", "tpu")
PROMISED = timedelta(days=180)  # in which new releases of jax load what jax.export wrote
# What an image passes through on its way to a square.
OF_SQUARES = (
    boxes.Fit, boxes.letterbox_fit, boxes.letterbox_map, boxes.move_points, boxes.invert, boxes._matrix, boxes._stretch,
    transforms.growth_of, transforms._Resampling, transforms._drafted, transforms._resized, transforms._stretched,
    transforms._pasted, transforms._checked, Letterbox, AroundBox, BoxOrWhole)
PlainPredict = Callable[[Mapping[str, jax.Array], jax.Array], dict[str, jax.Array]]


def plain_weights(trained: Trained) -> dict[str, np.ndarray]:
    """Returns all arrays `predict` may read, by path, such as `variables/params/conv1/kernel`."""
    return {path: np.array(on_host(leaf), order="C") for path, leaf in named_leaves(_tree(trained)).items()}


def plain_predict(method: Method, trained: Trained) -> PlainPredict:
    """Returns a method's `predict` as a function of plain containers, which can be compiled and written to a file.

    It maps (weights by path, images (B, S, S, 3) uint8) to {"keypoints": (B, K, 2), "scores": (B, K)}, both float32.
    Keypoints are (x, y) in pixels of the images, the centre of the top-left pixel at (0, 0). B may be symbolic.
    trained: only its containers are read; the arrays come with each call, so that none becomes a constant.
    """
    count, structure, names = len(method.skeleton.names), jax.tree.structure(_tree(trained)), tuple(
        named_leaves(_tree(trained)))

    def predict(weights: Mapping[str, jax.Array], images: jax.Array) -> dict[str, jax.Array]:
        tree = jax.tree.unflatten(structure, [weights[name] for name in names])
        found = method.predict(Trained(**tree), without_labels(images, count))
        return {"keypoints": found.keypoints.astype(jnp.float32), "scores": found.scores.astype(jnp.float32)}

    return predict


def without_labels(images: jax.Array, count: int) -> Example:
    """Returns images (B, S, S, 3) uint8 as a batch of examples without a label; B may be symbolic."""
    batch = images.shape[0]
    return Example(
        images, jnp.zeros((batch, count, 2), jnp.float32), jnp.zeros((batch, count), jnp.float32),
        jnp.ones((batch,), jnp.float32), jnp.broadcast_to(jnp.eye(3, dtype=jnp.float32)[None], (batch, 3, 3)),
        jnp.zeros((batch,), jnp.int32))


def _tree(trained: Trained) -> dict:
    return {"variables": trained.variables, "frozen": trained.frozen}


def write_predictor(
    folder: Path, method: Method, trained: Trained, transform: Transform, *, run: Mapping[str, Any],
    score: Mapping[str, Any], files: Mapping[str, Any], model: bytes | None = None, versions: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Writes a predictor's folder, whole or not at all, and returns the content of its predictor.json.

    It holds predict.bin and weights.safetensors, or predict.onnx, with run.py and predictor.json.

    Args:
        folder: as `check_free` leaves it; an earlier predictor is replaced.
        trained: weights that `predict` does not read are left out; predictor.json has their shapes.
        transform: brings images to the square that `predict` takes.
        run: experiment, preset, variant, seed and the digest of the weights.
        score: kind, cutoff and perhaps a table.
        files: the run's JSON files by name, from which its method is built again.
        model: ONNX, in place of the function and the weights.
        versions: of what made the model.

    Raises:
        InputError: for a folder that cannot be written, and a transform that `input_of` refuses.
    """
    given = input_of(transform)
    side, made = given["shape"][1], datetime.now(UTC)
    function, weights = plain_predict(method, trained), plain_weights(trained)
    further, contents = {"platforms": ["onnxruntime"]}, {standalone.ONNX: model}
    if model is None:
        # Those that keypoints depend on: not a frozen teacher's, nor a decoder's. jax orders a dictionary by its names.
        used, names = _exported(function, weights, (1, side, side, 3), ("cpu",)).module_kept_var_idx, sorted(weights)
        read = tuple(names[number] for number in used if number < len(names))
        unread = {name: {"dtype": str(array.dtype), "shape": array.shape} for name, array in weights.items()
                  if name not in read}

        def predict(read: Mapping[str, jax.Array], images: jax.Array) -> dict[str, jax.Array]:
            zeros = {name: np.zeros(like["shape"], like["dtype"]) for name, like in unread.items()}
            return function({**read, **zeros}, images)

        kept, (batch,) = {name: weights[name] for name in read}, export.symbolic_shape("batch")
        exported = _exported(predict, kept, (batch, side, side, 3), PLATFORMS)
        contents = {standalone.FUNCTION: bytes(exported.serialize()), standalone.WEIGHTS: save(kept)}
        versions = {"calling_convention": exported.calling_convention_version}
        further = {"platforms": PLATFORMS, "loads_until": (made + PROMISED).date().isoformat(),
                   "rebuild": {"files": files, "unread": unread, "empty": empty_mappings(trained)}}
    contents = {**contents, standalone.RUNNER: runner().encode()}
    description = {
        "format": standalone.FORMAT, "made": made.isoformat(timespec="seconds"),
        "versions": {"kpjax": "not installed as a package"} | run_folder.versions() | dict(versions),
        "run": run, "skeleton": dataclasses.asdict(method.skeleton), "input": given,
        "normalisation": "inside the function",
        "output": {"keypoints": "(batch, K, 2) float32, (x, y) in pixels of the input, centre of its top-left pixel "
                                "at (0, 0)", "scores": "(batch, K) float32, the higher the surer, no probability"},
        "score": score, "check": {"on": "check_images of run.py", **_check(function, weights, side)}, **further,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "checksum": "0" * 64}
    lines = (f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
             for name, value in strict(description).items())
    text = ("{\n" + ",\n".join(lines) + "\n}\n").encode()
    digest = standalone.digest_of_description(text)
    contents[standalone.DESCRIPTION] = text.replace(b'"checksum": "' + b"0" * 64, b'"checksum": "' + digest.encode())
    with atomic(folder) as partial:
        partial.mkdir()
        for name, content in contents.items():
            (partial / name).write_bytes(content)
    return json.loads(contents[standalone.DESCRIPTION])


def runner() -> str:
    """Returns run.py: `standalone` with the code of the library that it uses written out, so that it runs alone."""
    def source(module) -> str:
        return Path(module.__file__).read_text(encoding="utf-8")

    error = "from kpjax.errors import InputError\n"
    images = "from kpjax.images.reading import common_depth, read_image\n"
    squares = "from kpjax.images.transforms import AroundBox, BoxOrWhole, Transform\n"
    numbers = "".join(f"{name} = {getattr(transforms, name)}\n" for name in ("REDUCTIONS", "SPARE"))
    # A dataclass looks a type in quotes up in its module, which a program that loads run.py may not have listed.
    parts = "\n\n".join(map(inspect.getsource, OF_SQUARES)).replace("boxes.", "").replace('"Transform"', "Any")
    imports = "import math\nfrom dataclasses import dataclass\n"
    return source(standalone).replace(error, inspect.getsource(InputError)).replace(
        images, source(reading).replace(error, "")).replace(
        squares, f"{imports}\n{numbers}Transformed = Resampled = Transform = tuple\n\n\n{parts}")


def input_of(transform: Transform) -> dict[str, Any]:
    """Returns `input` of predictor.json: images, and run.py's steps to them. Raises InputError for other steps."""
    if not isinstance(transform, Letterbox | BoxOrWhole | AroundBox):
        raise InputError("transform", f"an exported predictor cannot do {transform}; predict with the run itself")
    return {"shape": ["batch", transform.side, transform.side, 3], "dtype": "uint8", "layout": "NHWC, RGB, 0 to 255",
            "whole_images": not isinstance(transform, AroundBox),
            "box_margin": getattr(transform, "margin", BoxOrWhole.margin)}


def check_free(folder: Path, overwrite: bool) -> None:
    """Raises InputError for a folder with content, except for an earlier predictor that may be replaced."""
    check_replaceable(folder)
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if other := sorted(held - {*standalone.FILES, "__pycache__"}):
        raise InputError("out", f"{folder} holds {other[0]}, which is not part of a predictor; give a new folder")
    if held and not overwrite:
        raise InputError("out", f"{folder} exists already; give --overwrite or another folder")


def empty_mappings(trained: Trained) -> list[list[str]]:
    """Returns the paths of mappings without an array, such as the statistics of a network that has none."""
    def below(node, names: list[str]) -> list[list[str]]:
        if not isinstance(node, Mapping):
            return []
        return [found for name in node for found in below(node[name], [*names, name])] if node else [names]

    return below({"variables": trained.variables, "frozen": trained.frozen}, [])


def _exported(function: PlainPredict, weights, shape: tuple, platforms: tuple[str, ...]) -> export.Exported:
    shapes = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in weights.items()}
    # Compiled code names the source file of every operation: this machine's folders stay out of it.
    option = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, option)
    jax.config.update(option, r".*[\\/]")
    try:
        return export.export(jax.jit(function), platforms=platforms)(shapes, jax.ShapeDtypeStruct(shape, np.uint8))
    finally:
        jax.config.update(option, before)


def _check(function: PlainPredict, weights: Mapping[str, np.ndarray], side: int) -> dict[str, Any]:
    """Returns the run's keypoints and scores on `check_images`, computed on a CPU where there is one."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        device = jax.local_devices()[0]
    found = jax.jit(function)(*jax.device_put((dict(weights), standalone.check_images(side)), device))
    return {"device": device.device_kind, **{name: np.asarray(value).tolist() for name, value in found.items()}}


# An exported folder as the parts from which its method is rebuilt

# from which a method is rebuilt, and what its scores mean
RUN_FILES = ("results.json", "config.json", "skeleton.json", "score_table.json", "radius_table.json",
             "pose_statistics.json")
LARGEST = 2 ** 34  # bytes of one array that is not stored


def write_run_files(description: Mapping[str, Any], folder: Path) -> None:
    """Writes the JSON files of the run that a predictor came from, which describe its method."""
    if "rebuild" not in description:
        raise InputError("run", f"the predictor is an ONNX model ({standalone.ONNX}), which predicts and nothing else; "
                         "name the run that it was exported from")
    with foreign(standalone.DESCRIPTION, "export the run again"):
        files = dict(description["rebuild"]["files"])
    if other := sorted(set(files) - set(RUN_FILES)):
        raise InputError(f"{standalone.DESCRIPTION}: rebuild: files: {other[0]!r:.100} is not a file of a run; export "
                         "the run again")
    if "results.json" not in files:
        raise InputError("run", "the predictor is an ensemble of several runs, which predicts and nothing else; name "
                         "one of the runs that it was exported from")
    for name, content in files.items():
        inside(Path(folder), name, standalone.DESCRIPTION).write_text(json.dumps(content, indent=1), encoding="utf-8")


def exported_trained(folder: Path, description: Mapping[str, Any]) -> Trained:
    """Reads the weights as `load_trained` does, with zeros for arrays that `predict` does not read."""
    with foreign(Path(folder) / standalone.WEIGHTS, "export the run again"):
        unread, empty = (description["rebuild"][name] for name in ("unread", "empty"))
        arrays = load_file(Path(folder) / standalone.WEIGHTS)
        for name, like in unread.items():
            if math.prod(like["shape"]) * np.dtype(like["dtype"]).itemsize > LARGEST:
                raise ValueError(f"{name} is of {like['shape']}")
            arrays[name] = np.zeros(like["shape"], like["dtype"])
        tree: dict[str, Any] = {"variables": {}, "frozen": {}} | arrays_by_path(arrays)
        for names in empty:
            node = tree
            for name in names:
                node = node.setdefault(name, {})
        return Trained(tree["variables"], tree["frozen"])
