"""Pretrained trunks: from a file, by name, and what is said when there is none."""
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.models.resnet import ResNet, pose_resnet
from kpjax.models.weights.imagenet import load_imagenet, read_safetensors, write_safetensors
from kpjax.models.weights.torch_names import to_torch


def drawn(network, seed):
    shapes = jax.eval_shape(lambda key: network.init(key, jnp.zeros((1, 32, 32, 3)), False), jax.random.key(0))
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(generator.uniform(size=leaf.shape), jnp.float32), shapes)


@pytest.fixture(scope="module")
def trunk():
    return drawn(ResNet(18), seed=0)


@pytest.fixture(scope="module")
def weights(trunk, tmp_path_factory):
    """A file as timm publishes it: a trunk with a classifier."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.made.safetensors"
    classifier = {"fc.weight": np.zeros((10, 512), np.float32), "fc.bias": np.zeros(10, np.float32)}
    write_safetensors(path, to_torch(trunk) | classifier)
    return path


@pytest.fixture(scope="module")
def variables():
    return drawn(pose_resnet(18, 3, upsampling_width=4), seed=1)


def test_a_file_fills_the_trunk_and_nothing_else(trunk, weights, variables):
    read, report = load_imagenet(variables, weights)
    for collection in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, read[collection]["backbone"], trunk[collection])
        jax.tree.map(np.testing.assert_array_equal, read[collection]["upsampling"], variables[collection]["upsampling"])
    assert "layer1.0.conv1.weight" in report.matched
    assert {"fc.weight", "fc.bias"} <= set(report.skipped)
    assert "params/head/output/kernel" in report.missing
    assert len(report.matched) == len(jax.tree.leaves(trunk))
    assert len(report.matched) + len(report.missing) == len(jax.tree.leaves(variables))
    assert jax.tree.structure(read) == jax.tree.structure(variables)


def test_a_bare_trunk_is_filled_completely(trunk, weights):
    read, report = load_imagenet(jax.tree.map(jnp.zeros_like, trunk), str(weights))
    jax.tree.map(np.testing.assert_array_equal, read, trunk)
    assert report.missing == ()


def test_a_name_is_looked_for_in_the_folder_first(weights, variables):
    assert load_imagenet(variables, "timm/resnet18.made", folder=weights.parent).report.matched


def test_a_name_is_asked_of_the_hub(weights, variables, tmp_path, monkeypatch):
    asked = []
    hub = types.SimpleNamespace(hf_hub_download=lambda *question: asked.append(question) or str(weights))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert load_imagenet(variables, "resnet18.made", folder=tmp_path).report.matched
    assert asked == [("timm/resnet18.made", "model.safetensors")]


def refuse(*_):
    raise ConnectionError("a long\ntale of sockets")


@pytest.mark.parametrize("hub", [None, types.SimpleNamespace(hf_hub_download=refuse)], ids=["not installed", "offline"])
def test_without_a_network_one_line_says_which_file_goes_where(hub, variables, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(InputError, match=r"put model\.safetensors of timm/resnet101\.tv_in1k") as caught:
        load_imagenet(variables, "resnet101.tv_in1k", folder=tmp_path)
    assert str(tmp_path / "resnet101.tv_in1k.safetensors") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_absent_damaged_or_of_another_network_are_refused(weights, variables, tmp_path):
    with pytest.raises(InputError, match=r"absent\.safetensors: cannot be read"):
        load_imagenet(variables, tmp_path / "absent.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"torn\.safetensors: is not a whole safetensors file"):
        load_imagenet(variables, torn)
    deeper = jax.eval_shape(
        lambda key: pose_resnet(34, 3).init(key, jnp.zeros((1, 32, 32, 3)), False), jax.random.key(0))
    with pytest.raises(InputError, match=r"resnet18\.made\.safetensors: tensor layer1\.2\.bn1\.bias .* is absent"):
        load_imagenet(deeper, weights)


def test_transposed_arrays_are_written_as_they_read(tmp_path):
    """The writer of safetensors would store the memory of the array, which is the other way round."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_safetensors(tmp_path / "t.safetensors", {"transposed": array.T})
    np.testing.assert_array_equal(read_safetensors(tmp_path / "t.safetensors")["transposed"], array.T)
