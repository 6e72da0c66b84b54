"""Published weights of backbones and VGG: a table of them, those that are part of kpjax, and files in
the layout of timm or PyTorch.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from safetensors.numpy import load_file

from kpjax.errors import InputError, suggest_name
from kpjax.files import cache_folder, check_file, foreign, sha256_of
from kpjax.models.weights.torch_names import Imported, from_torch
from kpjax.structures import Variables

WEIGHTS_FOLDER = cache_folder() / "weights"
PYTORCH_FILES = (".pth", ".pt", ".bin", ".tar")  # pickled by torch.save
# torchvision's name, then timm's two
VGG_CLASSIFIER = re.compile(r"(classifier|pre_logits|head)\..+")
# timm's stages of MobileNetV2, by number of blocks, and its layers under torchvision's names. The
# first block has no expansion.
MOBILENET_STAGES = (1, 2, 3, 4, 3, 3, 1)
MOBILENET_STEM = {"conv_stem": "0.0", "bn1": "0.1", "conv_head": "18.0", "bn2": "18.1"}
MOBILENET_FIRST = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
MOBILENET_LAYERS = {
    "conv_pw": "0.0",
    "bn1": "0.1",
    "conv_dw": "1.0",
    "bn2": "1.1",
    "conv_pwl": "2",
    "bn3": "3",
}


# Known weights

MOVENET = "movenet_lightning.google"
SHORT_NAMES = MappingProxyType({"movenet": MOVENET})
HUB_FILE = "model.safetensors"  # hub file of each model in timm's collection
HUB = "https://huggingface.co/timm"
# networks, by the names of their options, that published weights fit
WITH_WEIGHTS = ("mobilenet_v2", "movenet", "pose_resnet", "hrnet")
OPEN_LICENCES = ("Apache-2.0", "BSD-3-Clause", "MIT")
Place = Literal["kpjax", "hub", "yours"]


def hub_address(name: str) -> str:
    """Returns the address of the weights of a model in timm's collection."""
    return f"{HUB}/{name}/resolve/main/{HUB_FILE}"


class KnownWeights(NamedTuple):
    """Published weights, and what they ask of a network."""

    name: str
    network: str  # the name of its options, as of `kpjax.models.PoseResNet`; "vgg" for a VGG
    licence: str
    megabytes: float
    sha256: str  # digest of the safetensors file
    #: part of kpjax, on the Hugging Face hub as timm/<name>, or a file that the user puts there
    place: Place = "hub"
    #: see `imagenet_normalise`, `symmetric_normalise`
    normalisation: Literal["imagenet", "symmetric"] = "imagenet"
    options: Mapping[str, Any] = MappingProxyType({})  # options of the network
    whole: str = ""  # the network that all layers fit, where `network` takes the trunk alone
    float32_sha256: str = ""  # digest of another file with the same numbers, all in float32


GOOGLE = MappingProxyType(
    {
        "network": "mobilenet_v2",
        "licence": "Apache-2.0",
        "normalisation": "symmetric",
        "options": MappingProxyType({"padding": "tensorflow"}),
    }
)
KNOWN_WEIGHTS: Mapping[str, KnownWeights] = MappingProxyType(
    {
        weights.name: weights
        for weights in (
            KnownWeights(
                "mobilenet_v2.google_in1k",
                **GOOGLE,
                megabytes=2.1,
                sha256="c7919e11023dd90084bee6f3fbd329e8061d3788172b7c3395b0ce82b4b98028",
                place="kpjax",
                float32_sha256="0254d3ac6b0a8f64135207f31bd0a188918c604a2549904fbea529d3547f2cbb",
            ),
            # The trunk, as the start of a network; `load_movenet` reads all layers.
            KnownWeights(
                MOVENET,
                **GOOGLE,
                megabytes=2.7,
                sha256="5cf7c3252673f0b64295959d4d6003e3612b6ae7ae94290bdd1b9dfa9ff156f5",
                place="kpjax",
                whole="movenet",
                float32_sha256="1937f2da9d260ff50528b85897b5c619ac1721812e078b5d45a62a6eab0e4f89",
            ),
            # Birds and insects of iNaturalist.
            *(
                KnownWeights(
                    f"mobilenet_v2.google_inat_{kind}",
                    **GOOGLE,
                    megabytes=9.0,
                    sha256=sha256,
                    place="yours",
                )
                for kind, sha256 in (
                    ("bird", "8327a47075d7027e312250e024181e1dedf378ee6daf5f1db7ef4e95badf98d1"),
                    ("insect", "ace5588ec76ccb27095023102eb6b154d05d34ab3ed3a7b0af90639e1de8cec5"),
                )
            ),
            KnownWeights(
                "mobilenetv2_100.ra_in1k",
                "mobilenet_v2",
                "Apache-2.0",
                14.2,
                "55ea4fb3a96010b933710ebf44fc965b070d5cd054d3f35e44f2d1320b4a714e",
            ),
            *(
                KnownWeights(
                    f"resnet{depth}.tv_in1k",
                    "pose_resnet",
                    "BSD-3-Clause",
                    megabytes,
                    sha256,
                    options={"depth": depth},
                )
                for depth, megabytes, sha256 in (
                    (18, 46.8, "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81"),
                    (34, 87.3, "0bb82595a564991a9d424708b33f5d843f5aaed7f6c0886ff10849ff97022235"),
                    (50, 102.4, "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888"),
                )
            ),
            KnownWeights(
                "vgg16.tv_in1k",
                "vgg",
                "BSD-3-Clause",
                553.4,
                "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
                options={"depth": 16},
            ),
        )
    }
)


def known_weights(weights: str | Path, folder: Path = WEIGHTS_FOLDER) -> KnownWeights | None:
    """Returns what is known of weights by their name, or of a file by its sha256; None of any
    other, and of a name whose file would have to be fetched.

    Raises InputError for a path without a file.
    """
    name = plain_name(weights)
    if name in KNOWN_WEIGHTS:
        return KNOWN_WEIGHTS[name]
    file = find_weights(weights, folder) if _is_path(weights) else at_hand(name, folder)
    if file is None:
        return None
    digest = sha256_of(file)
    for known in KNOWN_WEIGHTS.values():
        if digest in (known.sha256, known.float32_sha256):
            return known
    return None


# Networks


def load_backbone(
    variables: Variables, weights: str | Path, *, folder: Path = WEIGHTS_FOLDER
) -> Imported:
    """Fills the trunk of a heatmap network, or a bare trunk, and reports the tensors read.

    In the report `missing` lists upsampling and head, which keep their values.

    Args:
        weights: a file or a name. A file has the names of timm and of the official HRNet
            (`conv1.weight`, `layer1.0.bn1.running_mean`, ...; tensors of a classifier are skipped).
            It is safetensors or, if PyTorch is installed, a `.pth` such as the official
            `hrnet_w32-36af842e.pth` or the result of pose training. A name belongs to a model in
            timm's collection, such as `resnet101.tv_in1k` or `hrnet_w32.ms_in1k`. It is looked up
            in kpjax, as `<name>.safetensors` in `folder`, then on the Hugging Face hub if
            `huggingface_hub` is installed.
        folder: of files by name.

    Raises:
        InputError: if there is no such file, it is damaged, or it holds another architecture or
            width, or a classifier alone.
    """
    path = find_weights(weights, folder)
    tensors = _from_timm(read_weights(path))
    has_parts = "backbone" in variables["params"]
    trunk = (
        {name: tree["backbone"] for name, tree in variables.items() if "backbone" in tree}
        if has_parts
        else (variables)
    )
    read, report = from_torch(tensors, trunk, source=str(path))
    if not report.matched:
        raise InputError(
            f"{path}: holds no tensor of a backbone; give the weights of a whole network"
        )
    if not has_parts:
        return Imported(read, report)
    merged = {
        collection: {**tree, "backbone": read[collection]} if collection in read else tree
        for collection, tree in variables.items()
    }
    others, _ = jax.tree_util.tree_flatten_with_path(
        {
            collection: {part: leaves for part, leaves in tree.items() if part != "backbone"}
            for collection, tree in variables.items()
        }
    )
    missing = tuple(jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in others)
    return Imported(merged, report._replace(missing=missing))


def load_vgg(
    variables: Variables, weights: str | Path, *, folder: Path = WEIGHTS_FOLDER
) -> Imported:
    """Fills the variables of a `kpjax.models.vgg.VGG` from a file, and reports the tensors read.

    Layers behind the last tap and the classifier are skipped and listed in the report. weights: the
    path of a safetensors file or, if PyTorch is installed, of a `.pth`; or the name of a model in
    timm's collection such as `vgg19.tv_in1k`, looked up as in `load_backbone`, with the same
    errors.
    """
    path = find_weights(weights, folder)
    tensors = read_weights(path)
    last = max(int(name.removeprefix("features_")) for name in variables["params"])

    def is_read(name: str) -> bool:
        layer = re.fullmatch(r"features\.(\d+)\..+", name)
        if not layer:
            return not VGG_CLASSIFIER.fullmatch(name)
        return int(layer[1]) <= last

    given = {name: tensor for name, tensor in tensors.items() if is_read(name)}
    read, report = from_torch(given, variables, source=str(path))
    skipped = (*report.skipped, *(name for name in tensors if name not in given))
    return Imported(read, report._replace(skipped=skipped))


def check_digest(file: Path, known: KnownWeights) -> Path:
    """Returns a file of known weights. Raises InputError if it has another sha256."""
    if sha256_of(file) not in (known.sha256, known.float32_sha256):
        raise InputError(
            f"{file}: its sha256 is not that of {known.name}, {known.sha256[:12]}...; the file is damaged or "
            "another one, so delete it and fetch it again"
        )
    return file


def _from_timm(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the tensors of timm's MobileNetV2 under torchvision's names; those of any other
    network as they are.
    """
    if "conv_stem.weight" not in tensors:
        return tensors

    def renamed(name: str) -> str:
        layer, _, leaf = name.rpartition(".")
        if layer in MOBILENET_STEM:
            return f"features.{MOBILENET_STEM[layer]}.{leaf}"
        block = re.fullmatch(r"blocks\.([0-6])\.(\d+)\.(\w+)", layer)
        names = MOBILENET_LAYERS if block and block[1] != "0" else MOBILENET_FIRST
        if not block or block[3] not in names:
            return name  # of another network that begins alike; it is refused as having no place
        stages_before = MOBILENET_STAGES[: int(block[1])]
        number = 1 + sum(stages_before) + int(block[2])
        return f"features.{number}.conv.{names[block[3]]}.{leaf}"

    return {renamed(name): tensor for name, tensor in tensors.items()}


# Files


def read_weights(path: str | Path) -> dict[str, Any]:
    """Reads all tensors of a file of weights, by `read_pytorch` or `read_safetensors` according to
    its suffix. Raises InputError as they do.
    """
    check_file(path)
    return (read_pytorch if Path(path).suffix in PYTORCH_FILES else read_safetensors)(path)


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a safetensors file. A kernel (O, ...) int8 with float32 `<name>.scale` (O,)
    beside it is multiplied out.

    Raises InputError if it is absent or damaged.
    """
    with foreign(path, "give a whole safetensors file of float32 weights"):
        tensors = load_file(path)
        scales = {
            name: tensors.pop(f"{name}.scale") for name in [*tensors] if f"{name}.scale" in tensors
        }
        for name, scale in scales.items():
            per_channel = scale.reshape(-1, *[1] * (tensors[name].ndim - 1))
            tensors[name] = tensors[name].astype(np.float32) * per_channel
    _check_finite(
        path,
        {
            name: tensor.astype(np.float32) if tensor.dtype.kind == "V" else tensor
            for name, tensor in tensors.items()
            if tensor.dtype.kind not in "biu"
        },
        np.isfinite,
    )
    return tensors


def _check_finite(
    path: str | Path, tensors: Mapping[str, Any], isfinite: Callable[[Any], Any]
) -> None:
    wrong = [name for name, tensor in tensors.items() if not bool(isfinite(tensor).all())]
    if wrong:
        raise InputError(f"{path}: {wrong[0]} has numbers that are not finite; fetch it again")


def read_pytorch(path: str | Path) -> dict[str, Any]:
    """Reads all tensors of a file written by `torch.save`.

    The file holds a state dict, or a checkpoint with one under `state_dict` or, as from RSN's
    training, under `model`. Nothing but tensors and plain containers is unpickled. Raises
    InputError if the file is absent, damaged or of another content, or PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: reading it needs PyTorch; pip install torch, or give a safetensors file"
        ) from error
    with foreign(path, "give a whole file of PyTorch weights"):
        stored = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("state_dict", "model"):
        if isinstance(stored, Mapping) and isinstance(stored.get(name), Mapping):
            stored = stored[name]
    tensors = stored if isinstance(stored, Mapping) else {}
    tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}
    if not tensors:
        raise InputError(
            f"{path}: holds no named tensors; give a state dict, or a checkpoint with a 'state_dict'"
        )
    _check_finite(
        path,
        {name: one for name, one in tensors.items() if one.is_floating_point()},
        torch.isfinite,
    )
    return tensors


def find_weights(weights: str | Path, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Returns the file of weights by a path or a name, see `load_backbone`.

    Raises InputError if there is none, or a file found by name has another sha256 than is known.
    """
    if _is_path(weights):
        return Path(weights).expanduser()
    name = plain_name(weights)
    found = at_hand(name, folder) or _fetch(name, folder)
    known = KNOWN_WEIGHTS.get(name)
    return check_digest(found, known) if known else found


def _is_path(weights: str | Path) -> bool:
    """Returns whether weights are given by a path, and not by a name."""
    if isinstance(weights, Path):
        return True
    path = Path(weights).expanduser()
    # a folder may have a short name
    is_file = path.suffix in (".safetensors", *PYTORCH_FILES)
    return is_file or (path.exists() and weights not in SHORT_NAMES)


def at_hand(name: str, folder: Path = WEIGHTS_FOLDER) -> Path | None:
    """Returns the file of a whole name that is part of kpjax, or in `folder`, or in the cache of the
    hub's client; None if there is none.
    """
    known = KNOWN_WEIGHTS.get(name)
    if known and known.place == "kpjax":
        return Path(__file__).with_name(f"{name}.safetensors")
    placed = _place(name, folder)
    if placed.is_file():
        return placed
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    cached = try_to_load_from_cache(f"timm/{name}", HUB_FILE)
    return Path(cached) if isinstance(cached, str) else None


def plain_name(weights: str | Path) -> str:
    """Returns the whole name of weights, which may be a short one or have the hub's prefix; of a
    path its text.
    """
    name = str(weights).removeprefix("timm/")
    return SHORT_NAMES.get(name, name)


def _place(name: str, folder: Path) -> Path:
    return folder.expanduser() / f"{name}.safetensors"


def _fetch(name: str, folder: Path) -> Path:
    """Returns the file that the hub gives, in the cache of its client."""
    known, placed = KNOWN_WEIGHTS.get(name), _place(name, folder)
    instead = "give --weights FILE, or --network small_unet"
    if known and known.place == "yours":
        raise InputError(
            "weights", f"no file {name!r} at {placed}, and none is published; {instead}"
        )
    nearest = "" if known else suggest_name(name, [*KNOWN_WEIGHTS, *SHORT_NAMES])
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise InputError(
            "weights",
            f"no file {name!r}; pip install 'kpjax[hub]', which fetches it, or {instead}{nearest}",
        ) from error
    try:
        return Path(hf_hub_download(f"timm/{name}", HUB_FILE))
    # the hub's client raises its own, its HTTP library's and the system's errors
    except Exception as error:
        raise InputError(
            "weights",
            f"no file {name!r}, and the hub gave {type(error).__name__}; check name and network, "
            f"or {instead}{nearest}",
        ) from error


def fetch_weights(
    name: str, folder: Path = WEIGHTS_FOLDER, *, say: Callable[[str], None] = print
) -> Path:
    """Fetches known weights, once, and returns their file. say: is told what is fetched, and from
    where.

    Raises InputError for a name that is not known, a licence that is not open, a hub that does not
    answer, and a file that is another one.
    """
    name = plain_name(name)
    if not (known := KNOWN_WEIGHTS.get(name)):
        raise InputError(
            "name",
            f"{name!r} is not among the known weights; kpjax weights lists them, and others of "
            f"timm's collection can be put at {_place(name, folder)}, from {hub_address(name)}"
            f"{suggest_name(name, [*KNOWN_WEIGHTS, *SHORT_NAMES])}",
        )
    if known.licence not in OPEN_LICENCES:
        raise InputError(
            "name",
            f"{name} has the licence {known.licence}, which restricts its use; if yours is within "
            f"it, put {hub_address(name)} at {_place(name, folder)}",
        )
    if known.place == "hub" and not at_hand(name, folder):
        say(f"{name}: {known.megabytes:g} MB, {known.licence}, from {hub_address(name)}")
    found = find_weights(name, folder)
    say(f"{found}: sha256 {known.sha256}")
    return found
