"""Weights of trunks and of VGG trained on ImageNet: safetensors in timm's (torchvision's) layout, or PyTorch's."""
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kpjax.errors import InputError
from kpjax.models.weights.torch_names import Imported, from_torch
from kpjax.structures import Variables

WEIGHTS_FOLDER = Path("~/.cache/kpjax/weights")
PYTORCH_FILES = (".pth", ".pt", ".bin", ".tar")  # pickled by torch.save
VGG_CLASSIFIER = re.compile(r"(classifier|pre_logits|head)\..+")  # torchvision's name, then timm's two


# Networks

def load_imagenet(variables: Variables, weights: str | Path, *, folder: Path = WEIGHTS_FOLDER) -> Imported:
    """Fills the trunk of a PoseResNet, an HRNet, an RSN or a bare trunk, and reports the tensors read.

    In the report `missing` lists upsampling and head, which keep their values.

    Args:
        weights: a file or a name. A file has the names of timm and of the official HRNet (`conv1.weight`,
            `layer1.0.bn1.running_mean`, ...; tensors of a classifier are skipped). It is safetensors or, if PyTorch is
            installed, a `.pth` such as the official `hrnet_w32-36af842e.pth` or the result of pose training. A name
            belongs to a model in timm's collection, such as `resnet101.tv_in1k` or `hrnet_w32.ms_in1k`. It is looked up
            as `<name>.safetensors` in `folder`, then on the Hugging Face hub if `huggingface_hub` is installed.
        folder: of files by name.

    Raises:
        InputError: if there is no such file, it is damaged, or it holds another architecture or width.
    """
    path = find_weights(weights, folder)
    tensors = read_weights(path)
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


def load_vgg(variables: Variables, weights: str | Path, *, folder: Path = WEIGHTS_FOLDER) -> Imported:
    """Fills the variables of a `kpjax.models.vgg.VGG` from a file, and reports the tensors read.

    Layers behind the last tap and the classifier are skipped and listed in the report. weights: the path of a
    safetensors file or, if PyTorch is installed, of a `.pth`; or the name of a model in timm's collection such as
    `vgg19.tv_in1k`, looked up as in `load_imagenet`, with the same errors.
    """
    path = find_weights(weights, folder)
    tensors = read_weights(path)
    last = max(int(name.removeprefix("features_")) for name in variables["params"])

    def is_read(name: str) -> bool:
        layer = re.fullmatch(r"features\.(\d+)\..+", name)
        return int(layer[1]) <= last if layer else not VGG_CLASSIFIER.fullmatch(name)

    given = {name: tensor for name, tensor in tensors.items() if is_read(name)}
    read, report = from_torch(given, variables, source=str(path))
    skipped = (*report.skipped, *(name for name in tensors if name not in given))
    return Imported(read, report._replace(skipped=skipped))


# Files

def read_weights(path: str | Path) -> dict[str, Any]:
    """Reads all tensors of a file of weights, by `read_pytorch` or `read_safetensors` according to its suffix."""
    return (read_pytorch if Path(path).suffix in PYTORCH_FILES else read_safetensors)(path)


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a safetensors file. Raises InputError if it is absent or damaged."""
    try:
        return load_file(path)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); give a safetensors file of weights") from error
    except SafetensorError as error:
        raise InputError(f"{path}: is not a whole safetensors file ({error}); fetch it again") from error


def read_pytorch(path: str | Path) -> dict[str, Any]:
    """Reads all tensors of a file written by `torch.save`.

    The file holds a state dict, or a checkpoint with one under `state_dict` or, as from RSN's training, under `model`.
    Nothing but tensors and plain containers is unpickled. Raises InputError if the file is absent, damaged or of
    another content, or PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(f"{path}: reading it needs PyTorch; pip install torch, or give a safetensors file") from error
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); give a file of weights") from error
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: is not a whole file of PyTorch weights ({type(error).__name__}); "
                         f"fetch it again") from error
    for name in ("state_dict", "model"):
        if isinstance(stored, Mapping) and isinstance(stored.get(name), Mapping):
            stored = stored[name]
    tensors = stored if isinstance(stored, Mapping) else {}
    tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}
    if not tensors:
        raise InputError(f"{path}: holds no named tensors; give a state dict, or a checkpoint with a 'state_dict'")
    return tensors


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors under their names, each made contiguous first: the format's writer silently permutes others."""
    save_file({name: np.array(tensor, order="C") for name, tensor in tensors.items()}, path)


def find_weights(weights: str | Path, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Returns the file of weights by a path or a name, see `load_imagenet`. Raises InputError if there is none."""
    path = Path(weights).expanduser()
    if isinstance(weights, Path) or path.suffix in (".safetensors", *PYTORCH_FILES) or path.exists():
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
