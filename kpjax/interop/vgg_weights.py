"""Weights of VGG trained on ImageNet, read from files with torchvision's or timm's names."""
import re
from pathlib import Path

from kpjax.interop.imagenet import WEIGHTS_FOLDER, find_weights, read_weights
from kpjax.interop.torch_names import Imported, from_torch
from kpjax.structures import Variables

CLASSIFIER = re.compile(r"(classifier|pre_logits|head)\..+")  # the first is torchvision's name, the others are timm's


def load_vgg(variables: Variables, weights: str | Path, *, folder: Path = WEIGHTS_FOLDER) -> Imported:
    """The variables of a `kpjax.models.vgg.VGG` filled from a file, and a report of what was read.

    weights: the path of a safetensors file or, if PyTorch is installed, of a `.pth`; or the name of a model in timm's
    collection such as `vgg19.tv_in1k`, found as `load_imagenet` finds one. Layers behind the last tap and the
    classifier are skipped, and the report says so.
    Raises InputError if there is no such file, it is damaged, or it holds another architecture.
    """
    path = find_weights(weights, folder)
    tensors = read_weights(path)
    last = max(int(name.removeprefix("features_")) for name in variables["params"])

    def has_a_place(name: str) -> bool:
        layer = re.fullmatch(r"features\.(\d+)\..+", name)
        return int(layer[1]) <= last if layer else not CLASSIFIER.fullmatch(name)

    given = {name: tensor for name, tensor in tensors.items() if has_a_place(name)}
    read, report = from_torch(given, variables, source=str(path))
    skipped = (*report.skipped, *(name for name in tensors if name not in given))
    return Imported(read, report._replace(skipped=skipped))
