"""Published weights on photographs: what an independent program saw is in
published_weights.json."""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from untrained import zeros

from kpjax.models import MobileNetV2Trunk, decode_movenet, load_movenet, movenet_lightning
from kpjax.models.weights.pretrained import (
    find_weights,
    known_weights,
    load_backbone,
    read_safetensors,
)

EXPECTED = json.loads(Path(__file__).with_name("published_weights.json").read_text("utf-8"))


def photograph(path, side):
    image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32) / 127.5 - 1


def assert_magnitudes(maps, expected, unit=1e-5):
    """Mean magnitudes to one unit of the last place that is told, of those above 10 one place
    less."""
    for x, magnitude in zip(maps, expected, strict=True):
        assert np.abs(np.asarray(x, np.float64)).mean() == pytest.approx(
            magnitude, abs=max(unit, 1e-5 * (10 if magnitude > 10 else 1))
        )


@pytest.mark.parametrize("file", EXPECTED["trunks"])
def test_published_trunks_see_what_their_table_says(published_weights, tmp_path, file):
    path, photographs = published_weights(f"{file}.safetensors"), EXPECTED["trunks"][file]
    name = known_weights(path).name
    (tmp_path / f"{name}.safetensors").symlink_to(path)  # those inside kpjax are not looked for
    network = MobileNetV2Trunk(padding="tensorflow")
    read, report = load_backbone(zeros(network), name, folder=tmp_path)
    assert report.missing == ()
    images = np.stack(
        [photograph(published_weights(f"photographs/{photo}.png"), 224) for photo in photographs]
    )
    maps = jax.jit(lambda v, x: network.apply(v, x, False))(read, images)
    for number, magnitudes in enumerate(photographs.values()):
        assert_magnitudes(
            [x[number] for x in maps], magnitudes, 1e-4 if file == "mobilenet_v2_imagenet" else 1e-5
        )
    if file == "mobilenet_v2_imagenet":
        tensors = read_safetensors(path)
        last = np.einsum("bhwi,oi->bhwo", maps[-1], tensors["features.18.0.weight"][:, :, 0, 0])
        pooled = np.clip(last + tensors["features.18.0.bias"], 0, 6).mean((1, 2))
        logits = pooled @ tensors["classifier.1.weight"].T + tensors["classifier.1.bias"]
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        found = [[int(one.argmax()), round(float(one.max()), 3)] for one in shares]
        assert found == [EXPECTED["classes"][photo] for photo in photographs]


def test_published_weights_find_the_person_of_their_table(published_weights):
    """A person who squats: points are (y, x) as parts of the image, with scores."""
    network, expected = movenet_lightning(), EXPECTED["squat"]
    variables, _ = load_movenet(zeros(network), "movenet")
    image = photograph(published_weights("photographs/squat.png"), 192)[None]
    maps, layers = jax.jit(lambda v, x: network.apply(v, x, False, capture_intermediates=True))(
        variables, image
    )
    pyramid = layers["intermediates"]["upsampling"]
    assert_magnitudes(
        [pyramid[name]["__call__"][0] for name in expected["pyramid"]], expected["pyramid"].values()
    )
    assert_magnitudes(maps, expected["maps"])
    keypoints, scores = decode_movenet(maps)
    points = np.array(expected["points"])
    np.testing.assert_allclose((keypoints[0, :, ::-1] + 0.5) / 192, points[:, :2], atol=1e-5)
    np.testing.assert_allclose(scores[0], points[:, 2], atol=1e-4)


# of all arrays of those inside kpjax, by name, once kernels are multiplied out
MULTIPLIED_OUT = {
    "mobilenet_v2.google_in1k": "5e0bbf3ab99075c782eba67009bc7a667b18725be1b96dcbaa5a1821076d0a47",
    "movenet_lightning.google": "ebc3253302911a2ccacfa710f2c433f2563972f7d64a9318c7f96be557f10a21",
}


@pytest.mark.parametrize("name", MULTIPLIED_OUT)
def test_the_weights_inside_are_the_published_numbers(name):
    """Bit for bit those of the float32 files, whose arrays had these digests."""
    tensors = read_safetensors(find_weights(name))
    digest = hashlib.sha256()
    for tensor in sorted(tensors):
        assert tensors[tensor].dtype in (np.float32, np.int64)
        digest.update(tensor.encode() + np.ascontiguousarray(tensors[tensor]).tobytes())
    assert digest.hexdigest() == MULTIPLIED_OUT[name]
