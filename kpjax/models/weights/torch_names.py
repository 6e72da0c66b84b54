"""Variables of PoseResNet, HRNet, RSN and MoveNet under the names and in the layouts of
PyTorch, and back.

The name of every tensor follows from its path:

| here                                     | PyTorch                                                                  |
|------------------------------------------|--------------------------------------------------------------------------|
| `layer1_0/downsample_0/kernel`           | `layer1.0.downsample.0.weight`, torchvision's and timm's names           |
| `backbone/conv1/kernel`                  | `backbone.conv1.weight`: a network's trunk is torchvision's, prefixed    |
| `upsampling/transposed_conv2`, `.../bn2` | `upsampling.3`, `upsampling.4`: a sequence of convolution, norm, ReLU    |
| `head/conv1`, `head/bn1`, `head/output`  | `head.0`, `head.1`, `head.3`                                             |
| `head/output` of a head of one layer     | `head`, the convolution itself; read as `head.0` too                     |
| `kernel`, `scale`, `bias`                | `weight`, `weight`, `bias`                                               |
| statistics `mean`, `var`                 | `running_mean`, `running_var`                                            |

These are the names of the Transfer-Learning-Library, RegDA's official code. Its second head is
`head_adv`: put the parameters of an adversary into the variables under that name. HRNet's official
code writes no prefix before the trunk:

| `backbone/stage2_0/branches_1_3/conv1`   | `stage2.0.branches.1.3.conv1`                                            |
| `backbone/stage3_1/fuse_layers_2_0_1_0`  | `stage3.1.fuse_layers.2.0.1.0`                                           |
| `head/output` of a head of one layer     | `final_layer`                                                            |

Nor does RSN's. Its predictions belong to the units that they read, and underscores in names of
layers stay:

| `backbone/stage0/downsample/layer1_0/conv_bn_relu2_1_1/conv` | `stage0.downsample.layer1.0.conv_bn_relu2_1_1.conv`  |
| `backbone/stage0/upsample/up4/u_skip/bn`                     | `stage0.upsample.up4.u_skip.bn`                      |
| `head/stage0_up4/res_conv2/conv`                             | `stage0.upsample.up4.res_conv2.conv`                 |

MoveNet's trunk has torchvision's names without a prefix, and the rest stands below `final_layer`:

| `backbone/features_1/conv_0_0`, `upsampling/features_18_0`   | `features.1.conv.0.0`, `features.18.0`               |
| `upsampling/smooth16/depthwise`                              | `final_layer.smooth16.depthwise`                     |
| `head/centre/output`                                         | `final_layer.centre.output`                          |

Convolution kernels are (kh, kw, in, out) here and (out, in, kh, kw) there; those of transposed
convolutions are (in, out, kh, kw) there, mirrored in both axes.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import InputError
from kpjax.file_names import natural_order
from kpjax.structures import Variables

LEAF_NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# PyTorch's BatchNorm counts its updates; nothing here reads the count
COUNTER = "num_batches_tracked"
# Tensors that a keypoint network lacks: counters, the classifiers of ImageNet, the output for other
# keypoints, and the coarse branches' part of the last exchange in an HRNet that classifies.
UNUSED = re.compile(
    rf"(.*\.)?(fc\.(weight|bias)|{COUNTER})|(incre_modules|downsamp_modules|final_layer|classifier)\..*"
    r"|features\.18\..*|stage4\.\d+\.fuse_layers\.[123]\..*|stage\d+\.upsample\.up\d\.res_conv[12]\..*"
)
# the tensor whose first axis is the width of the finest branch
WIDTH_OF_HRNET = "transition1.0.0.weight"


class Report(NamedTuple):
    """The outcome of reading every tensor."""

    matched: tuple[str, ...]  # tensors that were read, by their names in PyTorch
    skipped: tuple[str, ...]  # tensors that a keypoint network lacks: a classifier, counters
    missing: tuple[str, ...]  # paths of the leaves that were not given and keep their values


def describe(report: Report) -> str:
    """Summarises a report in one line: tensors matched, and those skipped and missing by the part
    they belong to.
    """
    skipped = Counter(
        name.split(".")[-1 if name.endswith(COUNTER) else 0] for name in report.skipped
    )
    missing = Counter(path.split("/")[1] for path in report.missing)
    counted = [f"{len(report.matched)} tensors matched"]
    for kind, parts in (("skipped", skipped), ("missing", missing)):
        if parts:
            counted.append(
                f"{parts.total()} {kind} ({', '.join(f'{part} {n}' for part, n in parts.items())})"
            )
    return ", ".join(counted)


class Imported(NamedTuple):
    """Variables filled from a file, and the report of it."""

    variables: Variables
    report: Report


def torch_names(variables: Variables) -> dict[str, str]:
    """Returns each leaf's name in PyTorch, by its path.

    Raises ValueError without an official PyTorch twin.
    """
    names = {}
    for path in _leaves(variables):
        _, *modules, leaf = path.split("/")
        module = _module_name(modules, variables["params"]) if modules else ""
        names[path] = f"{module}.{LEAF_NAMES.get(leaf, leaf)}".removeprefix(".")
    return names


def to_torch(variables: Variables) -> dict[str, np.ndarray]:
    """Returns a state dict as numpy arrays, contiguous and complete: BatchNorm's counters are
    included, as 0.

    `module.load_state_dict({name: torch.from_numpy(array) for name, array in
    to_torch(variables).items()})`.
    """
    leaves = _leaves(variables)
    tensors = {}
    for path, name in torch_names(variables).items():
        tensors[name] = _torch_layout(path, np.asarray(leaves[path]))
        if name.endswith(".running_mean"):
            tensors[name.removesuffix("running_mean") + COUNTER] = np.zeros((), np.int64)
    return tensors


def from_torch(
    tensors: Mapping[str, Any], variables: Variables, *, source: str = "state dict"
) -> Imported:
    """Fills `variables` with the values of a state dict, and reports the tensors read.

    A part (backbone, upsampling, a head) that the state dict lacks keeps its values and is reported
    as missing. A prefix `module.`, which data-parallel training in PyTorch leaves, is dropped.

    Args:
        tensors: torch tensors on the CPU or numpy arrays, by name.
        source: of the tensors, for messages.

    Raises:
        InputError: names `source` and the first tensor that is absent from a part, unexpected or of
            another shape, and for an HRNet of another width both widths.
    """
    leaves = _leaves(variables)
    names = torch_names(variables)
    paths = {name: path for path, name in names.items()}
    given = {}
    skipped = []
    params = variables["params"]
    for name, tensor in tensors.items():
        plain = name.removeprefix("module.")
        bare = re.fullmatch(r"(head\w*)\.0\.(weight|bias)", plain)
        if bare:
            plain = plain if plain in paths else f"{bare[1]}.{bare[2]}"
        if UNUSED.fullmatch(plain) and plain not in paths:
            skipped.append(name)
        else:
            given[plain] = tensor
    _refuse_another_width(given, paths, leaves, source)
    # A part of the network is read whole or not at all.
    has_parts = "backbone" in params
    part_of = {}
    for path, name in names.items():
        part_of[name] = path.split("/")[1] if has_parts else "trunk"
    parts = {part_of[name] for name in given if name in part_of}
    wanted = {name for name in paths if part_of[name] in parts}
    read = dict(leaves)
    for name in sorted(wanted | set(given), key=natural_order):
        if name not in given:
            raise InputError(
                f"{source}: tensor {name} of shape {_torch_shape(paths[name], leaves[paths[name]])} is absent; "
                f"give the weights of the same architecture"
            )
        if name not in wanted:
            raise InputError(
                f"{source}: the network has no place for tensor {name} of shape "
                f"{tuple(given[name].shape)}; give the weights of the same architecture"
            )
        path = paths[name]
        expected = _torch_shape(path, leaves[path])
        found = tuple(given[name].shape)
        if found != expected:
            raise InputError(
                f"{source}: tensor {name} has shape {found}, the network expects {expected}; "
                f"give the weights of the same architecture"
            )
        tensor = _flax_layout(path, np.asarray(given[name]))
        read[path] = jnp.asarray(tensor, leaves[path].dtype)
    structure = jax.tree.structure(variables)
    filled = jax.tree.unflatten(structure, [read[path] for path in leaves])
    missing = tuple(path for path, name in names.items() if name not in wanted)
    in_order = tuple(sorted(wanted, key=natural_order))
    return Imported(filled, Report(in_order, tuple(skipped), missing))


def _refuse_another_width(
    given: Mapping[str, Any], paths: dict[str, str], leaves: dict[str, Any], source: str
) -> None:
    if WIDTH_OF_HRNET in given and WIDTH_OF_HRNET in paths:
        found = given[WIDTH_OF_HRNET].shape[0]
        width = leaves[paths[WIDTH_OF_HRNET]].shape[-1]
        if found != width:
            raise InputError(
                f"{source}: tensor {WIDTH_OF_HRNET} belongs to an HRNet of width {found}, the network has "
                f"width {width}; give weights of that width, or build the network with width {found}"
            )


def _leaves(variables: Variables) -> dict[str, Any]:
    """Returns every leaf by its path, in the order of JAX's trees."""
    flat, _ = jax.tree_util.tree_flatten_with_path(variables)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def _module_name(modules: list[str], params: Mapping[str, Any]) -> str:
    part, *inner = modules
    if "top" in params.get("backbone", params):  # RSN
        return _module_name_of_rsn(modules)
    if "lateral32" in params.get("upsampling", {}):  # MoveNet
        modules = (
            inner
            if part == "backbone" or inner[0].startswith("features")
            else ["final_layer", *inner]
        )
        return re.sub(r"_(\d+)", r".\1", ".".join(modules))
    if "stage2_0" in params.get("backbone", {}):  # HRNet
        if part == "backbone":
            modules = inner
        elif modules == ["head", "output"] and set(params["head"]) == {"output"}:
            return "final_layer"
    if part == "upsampling":
        return f"upsampling.{_place_in_sequence(inner[0])}"
    if part.startswith("head"):
        hidden = sum(name.startswith("conv") for name in params[part])
        if inner[0] == "output":
            return f"{part}.{3 * hidden}" if hidden else part
        return f"{part}.{_place_in_sequence(inner[0])}"
    return re.sub(r"_(\d+)", r".\1", ".".join(modules))


def _module_name_of_rsn(modules: list[str]) -> str:
    part, *inner = modules
    if part == "head":
        stage, unit = inner[0].split("_")
        modules = [stage, "upsample", unit, *inner[1:]]
    elif part == "backbone":
        modules = inner
    return re.sub(r"(layer\d+)_(\d+)", r"\1.\2", ".".join(modules))


def _place_in_sequence(layer: str) -> int:
    """Returns the index of a layer in a sequence of (convolution, norm, ReLU) triples: conv1 0, bn1
    1, conv2 3.
    """
    match = re.fullmatch(r"(conv|transposed_conv|bn)(\d+)", layer)
    if not match:
        raise ValueError(
            f"layer {layer!r} has no name in PyTorch; only the layers of PoseResNet have official ones"
        )
    return 3 * (int(match[2]) - 1) + (match[1] == "bn")


def _torch_layout(path: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4 and "transposed_conv" in path:
        array = array[::-1, ::-1].transpose(2, 3, 0, 1)
    elif array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    # A copy in plain order: safetensors ignores the order of a transposed array's memory, PyTorch
    # refuses mirrored arrays and warns about JAX's read-only ones.
    return np.array(array, order="C")


def _flax_layout(path: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4 and "transposed_conv" in path:
        array = array.transpose(2, 3, 0, 1)[::-1, ::-1]
    elif array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    return np.array(array, order="C")


def _torch_shape(path: str, leaf) -> tuple[int, ...]:
    if len(leaf.shape) != 4:
        return tuple(leaf.shape)
    height, width, channels_in, channels_out = leaf.shape
    if "transposed_conv" in path:
        return channels_in, channels_out, height, width
    return channels_out, channels_in, height, width
