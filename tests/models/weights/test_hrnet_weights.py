"""HRNet's weights: official names both ways, files of classifiers and of pose networks, and PyTorch's same heatmaps."""
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import drawn, shapes

from kpjax.errors import InputError
from kpjax.models.high_resolution import hrnet
from kpjax.models.weights.pretrained import read_pytorch, write_safetensors
from kpjax.models.weights.torch_names import describe, from_torch, to_torch
from kpjax.systems.configs import Backbone

SMALL = {"width": 4, "modules": (1, 1, 2), "blocks": 1, "stem_width": 4}


@pytest.fixture(scope="module")
def variables():
    """Of a small pose network for three points, every leaf drawn."""
    return drawn(shapes(hrnet(3, **SMALL)))


@pytest.fixture(scope="module")
def pose_file(variables):
    """As the official pose training stores it."""
    return to_torch(variables)


@pytest.fixture(scope="module")
def classifier_file(pose_file):
    """As the official ImageNet training and timm publish it: the last exchange fills all branches, classifier."""
    def made(*names):
        return {name: np.zeros((2, 2), np.float32) for name in names}

    trunk = {name: tensor for name, tensor in pose_file.items() if not name.startswith("final_layer")}
    return trunk | made(
        "stage4.1.fuse_layers.1.0.0.0.weight", "stage4.1.fuse_layers.3.0.2.1.running_mean",
        "incre_modules.0.0.bn1.bias", "downsamp_modules.2.0.weight", "final_layer.0.weight",
        "final_layer.1.running_var", "classifier.weight")


def test_a_report_is_told_in_one_line(variables, classifier_file):
    _, report = from_torch(classifier_file, variables)
    line = describe(report)
    assert line.startswith(f"{len(report.matched)} tensors matched, ")
    assert "stage4 2, incre_modules 1, downsamp_modules 1, final_layer 2, classifier 1)" in line
    assert f"num_batches_tracked {sum('num_batches' in name for name in classifier_file)}" in line
    assert line.endswith("2 missing (params/head 2)")
    assert describe(report._replace(skipped=(), missing=())) == f"{len(report.matched)} tensors matched"


def test_pytorch_files_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="writes PyTorch's own format")
    whole = tmp_path / "whole.pth"
    torch.save({"conv1.weight": torch.zeros(2)}, whole)
    assert set(read_pytorch(whole)) == {"conv1.weight"}
    (tmp_path / "torn.pth").write_bytes(whole.read_bytes()[:200])
    torch.save({"model": functools.partial(print)}, tmp_path / "code.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, message in (("absent.pth", "cannot be read"), ("torn.pth", "is not a whole file of PyTorch weights"),
                          ("code.pth", "is not a whole file"), ("list.pth", "holds no named tensors")):
        with pytest.raises(InputError, match=rf"{name}: {message}") as caught:
            read_pytorch(tmp_path / name)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"whole\.pth: reading it needs PyTorch"):
        read_pytorch(whole)


def test_a_run_starts_from_a_file_and_says_what_it_took(classifier_file, tmp_path, capsys, monkeypatch):
    path = tmp_path / "hrnet_made.safetensors"
    write_safetensors(path, classifier_file)
    network = hrnet(3, **SMALL)
    drawn = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes(network))
    # `init` itself takes half a minute to compile.
    monkeypatch.setattr(type(network), "init", lambda self, key, images, train: drawn)
    start = Backbone(str(path)).variables(network, image_size=32, seed=0)
    kernel = start["variables"]["params"]["backbone"]["conv1"]["kernel"]
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), classifier_file["conv1.weight"])
    assert "missing (params/head 2)" in capsys.readouterr().out
    assert Backbone().variables(network, image_size=32, seed=0) == {}
