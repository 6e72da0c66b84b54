"""Trunks pretrained on ImageNet, read from safetensors files in timm's (torchvision's) layout."""
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kpjax.errors import InputError
from kpjax.interop.torch_names import Imported, from_torch
from kpjax.structures import Variables

WEIGHTS_FOLDER = Path("~/.cache/kpjax/weights")


def load_imagenet(variables: Variables, weights: str | Path, *, folder: Path = WEIGHTS_FOLDER) -> Imported:
    """The variables of a PoseResNet or a ResNet with a pretrained trunk, and a report of what was read.

    weights: the path of a safetensors file with timm's names (`conv1.weight`, `layer1.0.bn1.running_mean`, ...; the
    classifier `fc` is skipped), or the name of a model in timm's collection, such as `resnet101.tv_in1k`. A name is
    looked for as `<name>.safetensors` in `folder`, then on the Hugging Face hub if `huggingface_hub` is installed.
    In the report `missing` lists upsampling and head, which keep their values.
    Raises InputError if there is no such file, it is damaged, or it holds another architecture.
    """
    path = _find(weights, folder)
    tensors = read_safetensors(path)
    if "backbone" not in variables["params"]:
        return from_torch(tensors, variables, source=str(path))
    trunk = {collection: tree["backbone"] for collection, tree in variables.items()}
    read, report = from_torch(tensors, trunk, source=str(path))
    merged = {collection: {**tree, "backbone": read[collection]} for collection, tree in variables.items()}
    others, _ = jax.tree_util.tree_flatten_with_path(
        {collection: {part: leaves for part, leaves in tree.items() if part != "backbone"}
         for collection, tree in variables.items()})
    missing = tuple(jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in others)
    return Imported(merged, report._replace(missing=missing))


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file. Raises InputError if it is absent or damaged."""
    try:
        return load_file(path)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); give a safetensors file of weights") from error
    except SafetensorError as error:
        raise InputError(f"{path}: is not a whole safetensors file ({error}); fetch it again") from error


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors under their names. Each is made contiguous first: the format's writer silently permutes others."""
    save_file({name: np.array(tensor, order="C") for name, tensor in tensors.items()}, path)


def _find(weights: str | Path, folder: Path) -> Path:
    path = Path(weights).expanduser()
    if isinstance(weights, Path) or path.suffix == ".safetensors" or path.exists():
        return path
    name = str(weights).removeprefix("timm/")
    placed = folder.expanduser() / f"{name}.safetensors"
    return placed if placed.exists() else _fetch(name, placed)


def _fetch(name: str, placed: Path) -> Path:
    mend = f"put model.safetensors of timm/{name} (Hugging Face hub) at {placed}"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise InputError(f"ImageNet weights {name!r}: no such file, and huggingface_hub is not installed "
                         f"(kpjax[hub]); install it, or {mend}") from error
    try:
        return Path(hf_hub_download(f"timm/{name}", "model.safetensors"))
    except Exception as error:  # the hub's client raises its own, its HTTP library's and the system's errors
        raise InputError(f"ImageNet weights {name!r}: no such file, and the hub gave {type(error).__name__}; "
                         f"check name and network, or {mend}") from error
