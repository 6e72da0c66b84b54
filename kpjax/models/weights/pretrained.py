"""Published weights of backbones and VGG: a table of them, and files in the layout of timm or
PyTorch.
"""

import contextlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from safetensors.numpy import load_file, save_file

from kpjax.errors import InputError, suggest_name
from kpjax.files import (
    atomic,
    cache_folder,
    check_file,
    foreign,
    read_content,
    remove_partials,
    sha256_of,
    write_text,
)
from kpjax.models.weights.torch_names import Imported, from_torch
from kpjax.structures import Variables

WEIGHTS_FOLDER = cache_folder() / "weights"
PYTORCH_FILES = (".pth", ".pt", ".bin", ".tar")  # pickled by torch.save
TFLITE_FILE = ".tflite"
PUBLISHED_MEGABYTES = 2.9  # size of MoveNet's .tflite file
SECONDS = 10  # that a host has to answer
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
CORAL = "https://github.com/google-coral/test_data/raw/master"
OPEN_LICENCES = ("Apache-2.0", "BSD-3-Clause", "MIT")


def hub_address(name: str) -> str:
    """Returns the address of the weights of a model in timm's collection."""
    return f"{HUB}/{name}/resolve/main/{HUB_FILE}"


class KnownWeights(NamedTuple):
    """Published weights, and what they ask of a network."""

    name: str  # on the Hugging Face hub timm/<name>, unless `folded` says otherwise
    network: str  # the name of its options, as of `kpjax.models.PoseResNet`; "vgg" for a VGG
    licence: str
    megabytes: float
    #: see `imagenet_normalise`, `symmetric_normalise`
    normalisation: Literal["imagenet", "symmetric"] = "imagenet"
    options: Mapping[str, Any] = MappingProxyType({})  # options of the network
    sha256: str = ""  # digest of the safetensors file, where it is known
    folded: str = ""  # the published file, where that is a .tflite without BatchNorm, and on no hub
    folded_sha256: str = ""  # digest of the folded file, where predictions can be made with it
    whole: str = ""  # the network that all layers fit, where `network` takes the trunk alone

    @property
    def address(self) -> str:
        """The address of the published file."""
        if not self.folded:
            return hub_address(self.name)
        return f"{CORAL}/{self.folded}"


KNOWN_WEIGHTS: Mapping[str, KnownWeights] = MappingProxyType(
    {
        weights.name: weights
        for weights in (
            KnownWeights(
                "mobilenetv2_100.ra_in1k",
                "mobilenet_v2",
                "Apache-2.0",
                14.2,
                sha256="55ea4fb3a96010b933710ebf44fc965b070d5cd054d3f35e44f2d1320b4a714e",
            ),
            KnownWeights(
                "mobilenetv2_050.lamb_in1k",
                "mobilenet_v2",
                "Apache-2.0",
                7.9,
                options={"width_multiplier": 0.5},
            ),
            KnownWeights(
                "mobilenetv2_140.ra_in1k",
                "mobilenet_v2",
                "Apache-2.0",
                24.6,
                options={"width_multiplier": 1.4},
            ),
            KnownWeights(
                "mobilenet_v2.google_in1k",
                "mobilenet_v2",
                "Apache-2.0",
                14.2,
                "symmetric",
                {"padding": "tensorflow"},
                "0254d3ac6b0a8f64135207f31bd0a188918c604a2549904fbea529d3547f2cbb",
                "tf2_mobilenet_v2_1.0_224_ptq.tflite",
            ),
            # Birds and insects of iNaturalist.
            *(
                KnownWeights(
                    f"mobilenet_v2.google_inat_{kind}",
                    "mobilenet_v2",
                    "Apache-2.0",
                    9.0,
                    "symmetric",
                    {"padding": "tensorflow"},
                    sha256,
                    f"mobilenet_v2_1.0_224_inat_{kind}_quant.tflite",
                )
                for kind, sha256 in (
                    ("bird", "8327a47075d7027e312250e024181e1dedf378ee6daf5f1db7ef4e95badf98d1"),
                    ("insect", "ace5588ec76ccb27095023102eb6b154d05d34ab3ed3a7b0af90639e1de8cec5"),
                )
            ),
            # The trunk, as the start of a network; `load_movenet` reads all layers.
            KnownWeights(
                MOVENET,
                "mobilenet_v2",
                "Apache-2.0",
                9.5,
                "symmetric",
                {"padding": "tensorflow"},
                "1937f2da9d260ff50528b85897b5c619ac1721812e078b5d45a62a6eab0e4f89",
                "movenet_single_pose_lightning_ptq.tflite",
                "cd7cc22fa946e5d146a7b98d496853e1923e22828d3972d579973f27f91bb105",
                "movenet",
            ),
            *(
                KnownWeights(
                    f"resnet{depth}.tv_in1k",
                    "pose_resnet",
                    "BSD-3-Clause",
                    megabytes,
                    options={"depth": depth},
                    sha256=sha256,
                )
                for depth, megabytes, sha256 in (
                    (18, 46.8, "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81"),
                    (34, 87.3, "0bb82595a564991a9d424708b33f5d843f5aaed7f6c0886ff10849ff97022235"),
                    (50, 102.4, "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888"),
                    (101, 178.6, ""),
                    (152, 241.4, ""),
                )
            ),
            *(
                KnownWeights(
                    f"hrnet_w{width}.ms_in1k", "hrnet", "MIT", megabytes, options={"width": width}
                )
                for width, megabytes in ((32, 165.2), (48, 310.3))
            ),
            *(
                KnownWeights(
                    f"vgg{depth}.tv_in1k",
                    "vgg",
                    "BSD-3-Clause",
                    megabytes,
                    options={"depth": depth},
                    sha256=sha256,
                )
                for depth, megabytes, sha256 in (
                    (16, 553.4, "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8"),
                    (19, 574.7, ""),
                )
            ),
        )
    }
)


def known_weights(weights: str | Path, folder: Path = WEIGHTS_FOLDER) -> KnownWeights | None:
    """Returns what is known of weights by their name, or of a file by its sha256; None of any
    other.

    Raises InputError for a name without a file, see `find_weights`.
    """
    found = KNOWN_WEIGHTS.get(plain_name(weights))
    if found:
        return found
    digest = sha256_of(find_weights(weights, folder))
    return next((known for known in KNOWN_WEIGHTS.values() if known.sha256 == digest), None)


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
            as `<name>.safetensors` in `folder`, then on the Hugging Face hub if `huggingface_hub`
            is installed.
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


def check_digest(file: Path, name: str, digest: str) -> Path:
    """Returns a file of known weights. Raises InputError if it has another sha256."""
    if sha256_of(file) != digest:
        raise InputError(
            f"{file}: its sha256 is not that of {name}, {digest[:12]}...; the file is damaged or another "
            f"one, so delete it and fetch it again: kpjax weights {name}"
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
    its suffix.

    Raises InputError as they do, and for a .tflite file, which has no BatchNorm to train.
    """
    if Path(path).suffix == TFLITE_FILE:
        raise InputError(
            f"{path}: BatchNorm is folded into its convolutions, so that it cannot be trained; give "
            "safetensors with BatchNorm"
        )
    check_file(path)
    return (read_pytorch if Path(path).suffix in PYTORCH_FILES else read_safetensors)(path)


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a safetensors file. Raises InputError if it is absent or damaged."""
    with foreign(path, "give a whole safetensors file of float32 weights"):
        tensors = load_file(path)
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


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors under their names, each made contiguous first: the format's writer silently
    permutes others.
    """
    arrays = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    save_file(arrays, path)


def find_weights(weights: str | Path, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Returns the file of weights by a path or a name, see `load_backbone`.

    Raises InputError if there is none, or a file found by name has another sha256 than is known, or
    than it had when it was fetched.
    """
    path = Path(weights).expanduser()
    if (
        isinstance(weights, Path)
        or path.suffix in (".safetensors", TFLITE_FILE, *PYTORCH_FILES)
        or (path.exists() and weights not in SHORT_NAMES)
    ):  # a folder may have a short name
        return path
    name = plain_name(weights)
    found = at_hand(name, folder) or _fetch(name, folder)
    digest = _expected_digest(name, folder)
    if not digest:
        return found
    return check_digest(found, name, digest)


def at_hand(name: str, folder: Path = WEIGHTS_FOLDER) -> Path | None:
    """Returns the file of a whole name in `folder`, else in the cache of the hub's client; None if
    there is none.
    """
    placed = _place(name, folder)
    if placed.is_file():
        return placed
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    cached = try_to_load_from_cache(f"timm/{name}", HUB_FILE)
    if not isinstance(cached, str):
        return None
    return Path(cached)


def first_at_hand(names: Sequence[str], folder: Path = WEIGHTS_FOLDER) -> str | None:
    """Returns the first of known weights that are `at_hand`, else the first that the hub gives.

    None if there is none, the hub cannot be reached, or `huggingface_hub` is not installed. Raises
    InputError for a file in `folder` that is damaged.
    """
    placed = [name for name in names if at_hand(name, folder)]
    if placed:
        find_weights(placed[0], folder)
        return placed[0]
    for name in names:
        with contextlib.suppress(InputError):
            find_weights(name, folder)
            return name
    return None


def plain_name(weights: str | Path) -> str:
    """Returns the whole name of weights, which may be a short one or have the hub's prefix; of a
    path its text.
    """
    name = str(weights).removeprefix("timm/")
    return SHORT_NAMES.get(name, name)


def _place(name: str, folder: Path) -> Path:
    return folder.expanduser() / f"{name}.safetensors"


def _digest_file(name: str, folder: Path) -> Path:
    placed = _place(name, folder)
    return placed.with_name(f"{placed.name}.sha256")


def _expected_digest(name: str, folder: Path) -> str:
    """Returns the known sha256 of weights, else the one that was written down when they were
    fetched, else "".
    """
    known = KNOWN_WEIGHTS.get(name)
    written = _digest_file(name, folder)
    if known and known.sha256:
        return known.sha256
    if not written.is_file():
        return ""
    found = re.match(r"[0-9a-f]{64}\b", read_content(written).decode(errors="replace"))
    if not found:
        raise InputError(
            f"{written}: holds no sha256; delete it and the weights, and fetch them again"
        )
    return found[0]


def _fetch(name: str, folder: Path) -> Path:
    """Returns the file that the hub gives, in the cache of its client."""
    known = KNOWN_WEIGHTS.get(name)
    placed = _place(name, folder)
    if known and known.folded:
        raise InputError(
            "weights",
            f"no file {name!r} at {placed}, and what is published, {known.address}, lacks "
            "BatchNorm, which training needs; put safetensors with it there, or take weights that can be "
            "fetched: kpjax weights lists them",
        )
    size = (
        f"{known.megabytes:g} MB, {known.licence}"
        if known
        else "of timm's collection, licence unknown"
    )
    mend = f"put {hub_address(name)} ({size}) at {placed}"
    if not known:
        mend += f"; kpjax weights lists known ones{_nearest(name)}"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise InputError(
            "weights", f"no file {name!r}; pip install 'kpjax[hub]', which fetches it, or {mend}"
        ) from error
    if reason := _unreachable(hub_address(name)):  # asked once: the hub's client tries five times
        raise InputError("weights", f"no file {name!r}, and no network ({reason}); {mend}")
    try:
        return Path(hf_hub_download(f"timm/{name}", HUB_FILE))
    # the hub's client raises its own, its HTTP library's and the system's errors
    except Exception as error:
        raise InputError(
            "weights",
            f"no file {name!r}, and the hub gave {type(error).__name__}; check name and "
            f"network, or {mend}",
        ) from error


def _nearest(name: str) -> str:
    """Returns the known name that was perhaps meant, as a question; "" where none is near."""
    return suggest_name(name, [*KNOWN_WEIGHTS, *SHORT_NAMES])


def _unreachable(address: str) -> str:
    """Returns why nobody answers at an address, "" if somebody does."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, method="HEAD"), timeout=SECONDS
        ):
            return ""
    except urllib.error.HTTPError:  # an answer
        return ""
    except (OSError, http.client.HTTPException) as error:
        return _reason(error)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "reason", error)).split())[:100] or type(error).__name__


def fetch_weights(
    name: str, folder: Path = WEIGHTS_FOLDER, *, say: Callable[[str], None] = print
) -> Path:
    """Fetches known weights, once, and returns their file: in `folder` if it lies there, else in
    the cache of the hub's client.

    The file's sha256 must be the known one; where none is known, the first is written down in
    `folder`, and later files must have it. say: is told what is fetched, and from where.

    Raises InputError for a name that is not known, weights of a licence that is not open, or that
    are published in another form, a host that does not answer, and a file that is damaged or
    another one.
    """
    name = plain_name(name)
    if not (known := KNOWN_WEIGHTS.get(name)):
        raise InputError(
            "name",
            f"{name!r} is not among the known weights; kpjax weights lists them, and others of "
            f"timm's collection can be put at {_place(name, folder)}, from {hub_address(name)}"
            f"{_nearest(name)}",
        )
    # What is published without BatchNorm makes predictions.
    if known.folded_sha256 and not at_hand(name, folder):
        return _fetch_folded(known, folder.expanduser() / known.folded, say)
    if at_hand(name, folder) or known.folded:
        return find_weights(name, folder)
    if known.licence not in OPEN_LICENCES:
        raise InputError(
            "name",
            f"{name} has the licence {known.licence}, which restricts its use; if yours is within "
            f"it, put {known.address} at {_place(name, folder)}",
        )
    say(f"{name}: {known.megabytes:g} MB, {known.licence}, from {known.address}")
    found = find_weights(name, folder)
    read_safetensors(found)  # a page in place of a file is none
    digest = sha256_of(found)
    if not _expected_digest(name, folder):
        write_text(_digest_file(name, folder), f"{digest}  {name}.safetensors\n")
    say(f"{found}: sha256 {digest}")
    return found


def _fetch_folded(known: KnownWeights, placed: Path, say: Callable[[str], None]) -> Path:
    """Returns a file that is on no hub, `placed`, where it is put if it is not there."""
    if placed.is_file():
        return check_digest(placed, known.name, known.folded_sha256)
    say(f"{known.name}: {PUBLISHED_MEGABYTES:g} MB, {known.licence}, from {known.address}")
    remove_partials(placed.parent)
    with atomic(placed) as partial:
        try:
            with urllib.request.urlopen(known.address, timeout=SECONDS) as answer:
                partial.write_bytes(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise InputError(
                f"{known.address}: cannot be fetched ({_reason(error)}); fetch it where there is a network, "
                f"and put it at {placed}"
            ) from error
        if (digest := sha256_of(partial)) != known.folded_sha256:
            raise InputError(
                f"{known.address}: its sha256 is {digest}, that of {known.name} is "
                f"{known.folded_sha256}; it was damaged on its way, or is another file"
            )
    say(
        f"{placed}: for predictions; to train from these layers, BatchNorm is needed: "
        f"{known.name}.safetensors"
    )
    return placed
