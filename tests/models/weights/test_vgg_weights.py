"""VGG filled from published files, and files that do not fit."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import shapes_of

from kpjax.models.vgg import VGG
from kpjax.models.weights.pretrained import load_vgg, write_safetensors

WIDTHS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 17: 512, 19: 512, 21: 512, 24: 512, 26: 512, 28: 512}


@functools.cache
def published():
    """VGG-16's tensors under torchvision's names; those of the last two stages are empty."""
    tensors, channels, random = {}, 3, np.random.default_rng(0)
    for place, width in WIDTHS.items():
        shape = (width, channels, 3, 3) if place < 17 else (0, 0, 3, 3)
        tensors[f"features.{place}.weight"] = random.normal(size=shape).astype(np.float32)
        tensors[f"features.{place}.bias"] = random.normal(size=shape[0]).astype(np.float32)
        channels = width
    return tensors


@pytest.mark.parametrize("classifier", ["classifier.0.weight", "pre_logits.fc1.weight", "head.fc.weight"])
def test_a_published_file_fills_it_and_is_reported(classifier, tmp_path):
    write_safetensors(tmp_path / "vgg16.safetensors", published() | {classifier: np.zeros(3, np.float32)})
    variables = shapes_of(VGG(16, ("relu1_2", "relu2_2")), jnp.zeros((1, 32, 32, 3)))
    read, report = load_vgg(variables, "vgg16", folder=tmp_path)
    assert jax.tree.structure(read) == jax.tree.structure(variables)
    for place in (0, 2, 5, 7):
        layer = read["params"][f"features_{place}"]
        np.testing.assert_array_equal(layer["kernel"], published()[f"features.{place}.weight"].transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(layer["bias"], published()[f"features.{place}.bias"])
    assert len(report.matched) == 8
    assert report.missing == ()
    assert set(report.matched) | set(report.skipped) == {*published(), classifier}
