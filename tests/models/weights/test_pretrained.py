"""Pretrained trunks: from a file, by name, what is known of them, and what is said when there is none."""
import pathlib
import pickle
import sys
import types
from typing import get_args

import jax
import numpy as np
import pytest
from untrained import drawn, shapes

from kpjax.errors import InputError
from kpjax.files import sha256_of
from kpjax.models.resnet import ResNet, pose_resnet
from kpjax.models.vgg import VGG
from kpjax.models.weights import pretrained
from kpjax.models.weights.pretrained import (
    KNOWN_WEIGHTS,
    KnownWeights,
    fetch_weights,
    known_weights,
    load_backbone,
    read_safetensors,
    read_weights,
    write_safetensors,
)
from kpjax.models.weights.torch_names import to_torch
from kpjax.systems.configs import Network


@pytest.fixture(scope="module")
def trunk():
    return drawn(shapes(ResNet(18)))


@pytest.fixture(scope="module")
def weights(trunk, tmp_path_factory):
    """A file as timm publishes it: a trunk with a classifier."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.made.safetensors"
    classifier = {"fc.weight": np.zeros((10, 512), np.float32), "fc.bias": np.zeros(10, np.float32)}
    write_safetensors(path, to_torch(trunk) | classifier)
    return path


@pytest.fixture(scope="module")
def variables():
    return drawn(shapes(pose_resnet(18, 3, upsampling_width=4)), seed=1)


def test_a_file_fills_the_trunk_and_nothing_else(trunk, weights, variables):
    read, report = load_backbone(variables, weights)
    for collection in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, read[collection]["backbone"], trunk[collection])
        jax.tree.map(np.testing.assert_array_equal, read[collection]["upsampling"], variables[collection]["upsampling"])
    assert "layer1.0.conv1.weight" in report.matched
    assert {"fc.weight", "fc.bias"} <= set(report.skipped)
    assert "params/head/output/kernel" in report.missing
    assert len(report.matched) == len(jax.tree.leaves(trunk))
    assert len(report.matched) + len(report.missing) == len(jax.tree.leaves(variables))
    assert jax.tree.structure(read) == jax.tree.structure(variables)


def test_a_name_is_asked_of_the_hub(weights, variables, tmp_path, monkeypatch):
    asked = []

    def download(*question, local_files_only=False):
        asked.append((*question, local_files_only))
        if local_files_only:
            raise FileNotFoundError
        return str(weights)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(hf_hub_download=download))
    monkeypatch.setattr(pretrained, "_unreachable", lambda address: "")
    assert load_backbone(variables, "resnet18.made", folder=tmp_path).report.matched
    assert asked == [("timm/resnet18.made", "model.safetensors", in_cache) for in_cache in (True, False)]


def refuse(*question, local_files_only=False):
    assert local_files_only, "the hub's client tries again and again"
    raise ConnectionError("a long\ntale of sockets")


@pytest.mark.parametrize(("hub", "words"), [
    (None, "no file 'resnet101.tv_in1k'; put"),
    (types.SimpleNamespace(hf_hub_download=refuse), "no file 'resnet101.tv_in1k', and no network (a long tale of")],
    ids=["not installed", "offline"])
def test_without_a_network_one_line_says_which_file_goes_where(hub, words, variables, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(pretrained.urllib.request, "urlopen", lambda *question, timeout: refuse(local_files_only=True))
    with pytest.raises(InputError) as caught:
        load_backbone(variables, "resnet101.tv_in1k", folder=tmp_path)
    said, address = str(caught.value), "/timm/resnet101.tv_in1k/resolve/main/model.safetensors (178.6 MB, BSD-3-Clause)"
    assert words in said
    assert f"{address} at {tmp_path / 'resnet101.tv_in1k.safetensors'}, as kpjax weights resnet101.tv_in1k does" in said
    assert "\n" not in said
    assert "pip install" not in said


def test_files_that_are_absent_damaged_or_of_another_network_are_refused(weights, variables, tmp_path):
    with pytest.raises(InputError, match=r"absent\.safetensors: cannot be read"):
        load_backbone(variables, tmp_path / "absent.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"torn\.safetensors: is not a whole safetensors file"):
        load_backbone(variables, torn)
    with pytest.raises(InputError, match=r"resnet18\.made\.safetensors: tensor layer1\.2\.bn1\.bias .* is absent"):
        load_backbone(shapes(pose_resnet(34, 3)), weights)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pickle_with_code_is_refused_and_not_run(variables, tmp_path, suffix):
    path, touched = tmp_path / f"w{suffix}", tmp_path / "touched"

    class Code:
        def __reduce__(self):
            return pathlib.Path.touch, (touched,)

    path.write_bytes(pickle.dumps({"state_dict": Code()}, protocol=2))  # PyTorch's own
    with pytest.raises(InputError, match=r"w\.(pth: (is not a whole|reading it needs PyTorch)|safetensors: is not)"):
        load_backbone(variables, path)
    assert not touched.exists()


# Known weights


def test_a_file_is_known_by_its_digest_whatever_its_name(weights, monkeypatch):
    assert known_weights(weights) is None
    made = KnownWeights("made", "pose_resnet", "CC0-1.0", 46.8, sha256=sha256_of(weights))
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", {made.name: made})
    assert known_weights(weights) == made


def test_a_file_of_another_digest_than_its_name_has_is_refused(weights, variables, monkeypatch):
    made = KnownWeights("resnet18.made", "pose_resnet", "CC0-1.0", 46.8, sha256="0" * 64)
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", {made.name: made})
    with pytest.raises(InputError, match=r"resnet18\.made\.safetensors: its sha256 is not that of resnet18\.made, 000"):
        load_backbone(variables, "resnet18.made", folder=weights.parent)


def test_every_network_of_the_table_exists():
    options = {network.name: network for network in get_args(Network)}
    for weights in KNOWN_WEIGHTS.values():
        if weights.network == "vgg":
            assert VGG(**weights.options).depth == weights.options["depth"]
        else:
            options[weights.network](**weights.options)


def test_transposed_arrays_are_written_as_they_read(tmp_path):
    """The writer of safetensors would store the memory of the array, which is the other way round."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_safetensors(tmp_path / "t.safetensors", {"transposed": array.T})
    np.testing.assert_array_equal(read_safetensors(tmp_path / "t.safetensors")["transposed"], array.T)


# Fetching


@pytest.fixture
def served(weights, tmp_path, monkeypatch):
    """A name of the table whose address is a file of this machine; returns its KnownWeights."""
    class Local(KnownWeights):
        address = weights.as_uri()

    made = Local("resnet18.served", "pose_resnet", "BSD-3-Clause", 46.8)
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", {made.name: made})
    return made


def test_weights_are_fetched_once_with_their_digest_written_down(served, weights, variables, tmp_path):
    said = []
    path = fetch_weights(served.name, tmp_path, say=said.append)
    assert path == tmp_path / "resnet18.served.safetensors"
    assert path.read_bytes() == weights.read_bytes()
    assert (tmp_path / f"{path.name}.sha256").read_text() == f"{sha256_of(weights)}  {path.name}\n"
    assert said == [f"resnet18.served: 46.8 MB, BSD-3-Clause, from {weights.as_uri()}",
                    f"{path}: sha256 {sha256_of(weights)}"]
    assert fetch_weights(served.name, tmp_path, say=said.append) == path
    assert len(said) == 2
    assert load_backbone(variables, served.name, folder=tmp_path).report.matched
    write_safetensors(path, {"other": np.zeros(2, np.float32)})
    with pytest.raises(InputError, match=r"its sha256 is not that of resnet18\.served"):
        load_backbone(variables, served.name, folder=tmp_path)


@pytest.mark.parametrize(("change", "words"), [
    ({"sha256": "0" * 64}, "its sha256 is .* that of resnet18.served is 000"),
    ({"licence": "CC-BY-NC-4.0"}, "has the licence CC-BY-NC-4.0, which restricts its use"),
    ({"folded": "some.tflite"}, "lacks BatchNorm, which training needs"),
])
def test_weights_that_must_not_be_taken_are_not(served, change, words, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", {served.name: served._replace(**change)})
    with pytest.raises(InputError, match=words):
        fetch_weights(served.name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("content", "words"), [
    (None, r"cannot be fetched \(.*No such file.*\); fetch it where there is a network, and put it at "),
    (b"<html>sign in</html>", "is not a whole safetensors file")])
def test_an_address_without_the_file_leaves_nothing_behind(content, words, served, tmp_path, monkeypatch):
    there, folder = tmp_path / "there", tmp_path / "weights"
    if content:
        there.write_bytes(content)
    monkeypatch.setattr(type(served), "address", there.as_uri())
    with pytest.raises(InputError, match=words) as caught:
        fetch_weights(served.name, folder, say=lambda line: None)
    assert "\n" not in str(caught.value)
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.parametrize(("megabytes", "seconds", "words"), [
    (-0.99, 0, "larger than the -0.99 MB that it should have"), (46.8, 1e6, "slower than 0.05 MB in a second")])
def test_what_is_too_large_or_too_slow_is_given_up(megabytes, seconds, words, served, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", {served.name: served._replace(megabytes=megabytes)})
    clock = iter([0.0, *[seconds] * 1000])
    monkeypatch.setattr(pretrained.time, "monotonic", lambda: next(clock))
    with pytest.raises(InputError, match=words):
        fetch_weights(served.name, tmp_path / "folder", say=lambda line: None)
    assert not list((tmp_path / "folder").iterdir())


def test_a_redirection_leads_to_https_alone():
    handler, request = pretrained._OnlyHttps(), pretrained.urllib.request.Request("https://host/weights")
    assert handler.redirect_request(request, None, 302, "", {}, "https://other/w").full_url == "https://other/w"
    for address in ("http://other/w", "file:///etc/passwd", "ftp://other/w"):
        with pytest.raises(OSError, match="is not https"):
            handler.redirect_request(request, None, 302, "", {}, address)


def test_a_damaged_digest_is_one_line_and_a_folder_is_no_file(served, weights, tmp_path):
    fetch_weights(served.name, tmp_path, say=lambda line: None)
    (tmp_path / f"{served.name}.safetensors.sha256").write_bytes(b"\xff\x00")
    with pytest.raises(InputError, match=r"safetensors\.sha256: holds no sha256; delete it") as caught:
        fetch_weights(served.name, tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "other" / f"{served.name}.safetensors").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be written"):
        fetch_weights(served.name, tmp_path / "other", say=lambda line: None)


def test_weights_that_are_not_finite_are_refused_in_every_format(tmp_path, monkeypatch):
    array = np.array([1, np.inf], np.float32)
    write_safetensors(tmp_path / "w.safetensors", {"a": array})
    tensor = type("Tensor", (), {"is_floating_point": lambda self: True})
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(
        Tensor=tensor, load=lambda *_, **__: {"a": tensor()}, isfinite=lambda _: np.isfinite(array)))
    for name in ("w.safetensors", "w.pth"):
        with pytest.raises(InputError, match=rf"{name}: a has numbers that are not finite"):
            read_weights(tmp_path / name)
