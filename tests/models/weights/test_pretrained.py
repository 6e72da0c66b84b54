"""Pretrained trunks: what files fill, by path or by name, and what is said when there is none or it
is damaged.
"""

import os
import pathlib
import pickle
import sys
import types
from typing import get_args

import chex
import jax
import numpy as np
import pytest
from untrained import drawn, shapes, write_safetensors

from kpjax.errors import InputError
from kpjax.files import sha256_of
from kpjax.models.high_resolution import hrnet
from kpjax.models.inverted_residuals import MobileNetV2Trunk
from kpjax.models.movenet import movenet_lightning
from kpjax.models.networks import Network
from kpjax.models.resnet import ResNet, pose_resnet
from kpjax.models.vgg import VGG
from kpjax.models.weights import pretrained
from kpjax.models.weights.torch_names import to_torch


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as timm publishes it: a trunk with a classifier."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.made.safetensors"
    classifier = {"fc.weight": np.zeros((10, 512), np.float32), "fc.bias": np.zeros(10, np.float32)}
    write_safetensors(path, to_torch(drawn(shapes(ResNet(18)))) | classifier)
    return path


@pytest.fixture(scope="module")
def variables():
    return drawn(shapes(pose_resnet(18, 3)), seed=1)


HRNET = {"width": 4, "modules": (1, 1, 2), "blocks": 1, "stem_width": 4}
FILES = {  # the network of a file, what else stands in it, and the network that it fills
    "ResNet's classifier": (
        ResNet(18),
        ("fc.weight", "fc.bias"),
        pose_resnet(18, 3),
    ),
    # As the official ImageNet training and timm publish it: the last exchange fills all branches.
    "HRNet's classifier": (
        hrnet(3, **HRNET).backbone,
        (
            "stage4.1.fuse_layers.1.0.0.0.weight",
            "stage4.1.fuse_layers.3.0.2.1.running_mean",
            "incre_modules.0.0.bn1.bias",
            "downsamp_modules.2.0.weight",
            "final_layer.0.weight",
            "final_layer.1.running_var",
            "classifier.weight",
        ),
        hrnet(3, **HRNET),
    ),
    "HRNet of other points": (
        hrnet(3, **HRNET),
        ("final_layer.weight", "final_layer.bias"),
        hrnet(7, **HRNET),
    ),
    "all of MoveNet": (
        movenet_lightning(),
        ("features.18.0.weight", "final_layer.smooth16.depthwise.weight"),
        MobileNetV2Trunk(),
    ),
}


def file_of(name):
    """The tensors of a file, and the variables that they were."""
    source, others, _ = FILES[name]
    stored = drawn(shapes(source))
    return {other: np.zeros((2, 2), np.float32) for other in others} | {
        tensor: array
        for tensor, array in to_torch(stored).items()
        if array.ndim or name != "all of MoveNet"
    }, stored


@pytest.mark.parametrize(
    ("name", "suffix"),
    [*((name, ".safetensors") for name in FILES), ("HRNet's classifier", ".pth")],
)
def test_a_file_fills_the_trunk_and_nothing_else(name, suffix, tmp_path):
    """Every tensor of the file and every leaf of the network is accounted for."""
    (tensors, stored), (_, others, network) = file_of(name), FILES[name]
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch = pytest.importorskip("torch", reason="writes PyTorch's own format")
        parallel = {
            f"module.{tensor}": torch.from_numpy(array) for tensor, array in tensors.items()
        }
        torch.save({"epoch": 3, "state_dict": parallel}, path)
    else:
        write_safetensors(path, tensors)
    before = drawn(shapes(network), seed=1)
    read, report = pretrained.load_backbone(before, path)
    assert jax.tree.structure(read) == jax.tree.structure(before)
    for collection, tree in stored.items():
        found, trunk = read[collection], tree.get("backbone", tree)
        chex.assert_trees_all_equal(found.get("backbone", found), trunk, strict=True)
        for part in {"upsampling", "head"} & set(found):
            chex.assert_trees_all_equal(found[part], before[collection][part], strict=True)
    assert len(report.matched) + len(report.skipped) == len(tensors)
    assert len(report.matched) + len(report.missing) == len(jax.tree.leaves(before))
    assert {path.split("/")[1] for path in report.missing} == {"upsampling", "head"} & set(
        before["params"]
    )
    assert set(others) <= {tensor.removeprefix("module.") for tensor in report.skipped}


def test_timms_names_of_mobilenet_are_read(tmp_path):
    """Its blocks are numbered by stages, and its first has no expansion."""
    blocks = [
        f"blocks.{stage}.{block}"
        for stage, count in enumerate((1, 2, 3, 4, 3, 3, 1))
        for block in range(count)
    ]
    ends, kinds = ["conv_stem", "bn1"], ["conv_dw", "bn1", "conv_pw", "bn2"]
    others, stored = (
        ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"],
        drawn(shapes(MobileNetV2Trunk())),
    )
    places, renamed = {}, {}
    for name, tensor in sorted(to_torch(stored).items()):
        layer, _, leaf = name.rpartition(".")
        part = int(layer.split(".")[1])
        of_part = places.setdefault(part, [])
        of_part += [] if layer in of_part else [layer]
        theirs = (ends, kinds, others)[min(part, 2)][of_part.index(layer)]
        renamed[f"{blocks[part - 1]}.{theirs}.{leaf}" if part else f"{theirs}.{leaf}"] = tensor
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {name: tensor for name, tensor in renamed.items() if tensor.ndim})
    read, _ = pretrained.load_backbone(shapes(MobileNetV2Trunk()), path)
    chex.assert_trees_all_equal(read, stored, strict=True)


def test_files_that_are_absent_damaged_or_of_another_network_are_refused(
    weights, variables, tmp_path
):
    with pytest.raises(InputError, match=r"absent\.safetensors: cannot be read"):
        pretrained.load_backbone(variables, tmp_path / "absent.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"torn\.safetensors: cannot be read"):
        pretrained.load_backbone(variables, torn)
    with pytest.raises(
        InputError, match=r"resnet18\.made\.safetensors: tensor layer1\.2\.bn1\.bias .* is absent"
    ):
        pretrained.load_backbone(shapes(pose_resnet(34, 3)), weights)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pickle_with_code_is_refused_and_not_run(variables, tmp_path, suffix):
    path, touched = tmp_path / f"w{suffix}", tmp_path / "touched"

    class Code:
        def __reduce__(self):
            return pathlib.Path.touch, (touched,)

    path.write_bytes(pickle.dumps({"state_dict": Code()}, protocol=2))  # PyTorch's own
    with pytest.raises(
        InputError, match=r"w\.(pth: (cannot be read|reading it needs PyTorch)|safetensors: cannot)"
    ):
        pretrained.load_backbone(variables, path)
    assert not touched.exists()


# Known weights


def test_a_file_is_known_by_its_digest_whatever_its_name(weights, monkeypatch):
    assert pretrained.known_weights(weights) is None
    made = pretrained.KnownWeights("made", "pose_resnet", "CC0-1.0", 46.8, sha256_of(weights))
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", {made.name: made})
    assert pretrained.known_weights(weights) == made


def test_every_network_of_the_table_exists():
    options = {network.name: network for network in get_args(Network)}
    for weights in pretrained.KNOWN_WEIGHTS.values():
        if weights.network == "vgg":
            assert VGG(**weights.options).depth == weights.options["depth"]
        else:
            options[weights.network](**weights.options)


def test_transposed_arrays_are_written_as_they_read(tmp_path):
    """The writer of safetensors would store the memory of the array, which is the other way
    round."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_safetensors(tmp_path / "t.safetensors", {"transposed": array.T})
    np.testing.assert_array_equal(
        pretrained.read_safetensors(tmp_path / "t.safetensors")["transposed"], array.T
    )


# Fetching


@pytest.fixture
def hub(weights, tmp_path, monkeypatch):
    """The hub's client, whose only file is `weights`; returns the folder of its cache."""
    cache = tmp_path / "cache"

    def download(name, file):
        if name != "timm/resnet18.served":
            raise FileNotFoundError(name)
        path = cache / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(weights.read_bytes())
        return str(path)

    def cached(name, file):
        path = cache / name / file
        return str(path) if path.is_file() else None

    client = types.SimpleNamespace(hf_hub_download=download, try_to_load_from_cache=cached)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    return cache


@pytest.fixture
def served(hub, weights, monkeypatch):
    """The name of the hub's file in the table; returns its KnownWeights."""
    made = pretrained.KnownWeights(
        "resnet18.served", "pose_resnet", "BSD-3-Clause", 46.8, sha256_of(weights)
    )
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", {made.name: made})
    return made


def test_weights_are_fetched_once_and_checked(served, hub, variables, tmp_path):
    said, folder = [], tmp_path / "weights"
    path = pretrained.fetch_weights(served.name, folder, say=said.append)
    assert path == hub / "timm/resnet18.served/model.safetensors"
    address = pretrained.hub_address(served.name)
    assert said == [
        f"resnet18.served: 46.8 MB, BSD-3-Clause, from {address}",
        f"{path}: sha256 {served.sha256}",
    ]
    assert pretrained.fetch_weights(served.name, folder, say=said.append) == path
    assert len(said) == 3
    assert pretrained.load_backbone(variables, served.name, folder=folder).report.matched
    write_safetensors(path, {"other": np.zeros(2, np.float32)})
    with pytest.raises(InputError, match=r"its sha256 is not that of resnet18\.served"):
        pretrained.load_backbone(variables, served.name, folder=folder)


INSTEAD = "give --weights FILE, or --network small_unet"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sha256": "0" * 64}, "its sha256 is not that of resnet18.served, 000"),
        ({"licence": "CC-BY-NC-4.0"}, "has the licence CC-BY-NC-4.0, which restricts its use"),
        ({"place": "yours"}, f"and none is published; {INSTEAD}"),
        ({"name": "gone"}, f"the hub gave FileNotFoundError; check name and network, or {INSTEAD}"),
    ],
)
def test_weights_that_must_not_be_taken_are_not(served, change, words, tmp_path, monkeypatch):
    changed = served._replace(**change)
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", {changed.name: changed})
    with pytest.raises(InputError, match=words):
        pretrained.fetch_weights(changed.name, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_without_the_client_a_line_says_what_to_do(served, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=rf"pip install 'kpjax\[hub\]', .* or {INSTEAD}"):
        pretrained.find_weights(served.name, tmp_path)


def test_every_known_file_has_a_digest():
    for known in pretrained.KNOWN_WEIGHTS.values():
        assert len(known.sha256) == 64
    inside = [known.name for known in pretrained.KNOWN_WEIGHTS.values() if known.place == "kpjax"]
    assert inside == ["mobilenet_v2.google_in1k", pretrained.MOVENET]
    assert all(pretrained.find_weights(name).is_file() for name in inside)


def test_a_kernel_of_whole_numbers_is_multiplied_out(tmp_path):
    kernel, scale = np.array([[[[3]]], [[[-5]]]], np.int8), np.array([0.5, 2.0], np.float32)
    write_safetensors(tmp_path / "w.safetensors", {"a.weight": kernel, "a.weight.scale": scale})
    (found,) = pretrained.read_safetensors(tmp_path / "w.safetensors").items()
    assert found[0] == "a.weight"
    np.testing.assert_array_equal(found[1].ravel(), np.array([1.5, -10.0], np.float32))


def test_weights_that_are_not_finite_are_refused_in_every_format(tmp_path, monkeypatch):
    array = np.array([1, np.inf], np.float32)
    write_safetensors(tmp_path / "w.safetensors", {"a": array})
    tensor = type("Tensor", (), {"is_floating_point": lambda self: True})
    monkeypatch.setitem(
        sys.modules,
        "torch",
        types.SimpleNamespace(
            Tensor=tensor,
            load=lambda *_, **__: {"a": tensor()},
            isfinite=lambda _: np.isfinite(array),
        ),
    )
    (tmp_path / "w.pth").write_bytes(b"made")
    for name in ("w.safetensors", "w.pth"):
        with pytest.raises(InputError, match=rf"{name}: a has numbers that are not finite"):
            pretrained.read_weights(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_missing_is_not_called_unreadable(suffix, tmp_path):
    """Nobody can mend the permissions of a file that is not there."""
    with pytest.raises(InputError, match=rf"w\{suffix}: not found"):
        pretrained.known_weights(tmp_path / f"w{suffix}")


def test_a_misspelt_name_is_told_the_known_one_that_is_nearest(hub, tmp_path):
    for find in (pretrained.find_weights, pretrained.fetch_weights):
        with pytest.raises(InputError, match=r"did you mean mobilenetv2_100\.ra_in1k\?$"):
            find("mobilnetv2_100", tmp_path)


def test_a_pipe_of_weights_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w.safetensors")
    for read in (pretrained.read_weights, pretrained.known_weights):
        with pytest.raises(InputError, match=r"w\.safetensors: is not a file"):
            read(tmp_path / "w.safetensors")
