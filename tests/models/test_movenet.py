"""MoveNet Lightning: its decoding, and published weights on photographs."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from untrained import shapes, zeros

from kpjax.models import (
    MobileNetV2Trunk,
    MoveNet,
    MoveNetMaps,
    decode_movenet,
    load_backbone,
    load_movenet,
    movenet_lightning,
)
from kpjax.models.weights.pretrained import known_weights

# Mean magnitudes of the trunk's maps of strides 2 to 32 on photographs, by the file of weights.
TRUNKS = {
    "movenet_lightning": {
        "parrot": (5.15525, 0.90483, 1.42912, 5.32724, 1.60748),
        "cat_720p": (3.39136, 0.80691, 1.41165, 5.57350, 1.77749),
        "hot_dog": (3.59656, 0.89005, 1.42915, 5.68187, 1.80958),
        "dragonfly": (4.70898, 0.87477, 1.41906, 5.28472, 1.53758),
        "bird": (3.98529, 0.89171, 1.38830, 5.42595, 1.59242),
    },
    "mobilenet_v2_inat_bird": {
        "parrot": (3.80669, 5.64993, 5.18001, 3.68839, 1.62725),
        "cat_720p": (3.31825, 4.76814, 4.77718, 3.19537, 1.24740),
        "hot_dog": (2.46605, 4.24895, 4.61020, 3.04263, 1.33371),
        "dragonfly": (3.04006, 4.85663, 4.33278, 3.15498, 1.13967),
        "bird": (3.12531, 4.60591, 4.45998, 3.97210, 1.51997),
    },
    "mobilenet_v2_inat_insect": {
        "parrot": (3.52232, 5.39720, 4.98811, 3.65578, 1.04539),
        "cat_720p": (2.34891, 4.03010, 4.51463, 3.65403, 1.18153),
        "hot_dog": (2.40070, 4.00373, 4.62161, 3.37281, 1.27986),
        "dragonfly": (2.99549, 4.69704, 4.36476, 3.67486, 1.41842),
        "bird": (2.61688, 4.21642, 4.09408, 3.48027, 1.16564),
    },
}
# Of a person who squats: mean magnitudes, and (y, x) as parts of the image with scores.
PYRAMID = {"lateral32": 90.6338, "lateral16": 20.6625, "lateral8": 7.51394, "lateral4": 5.94480,
           "smooth16": 8.44447, "smooth8": 8.15803, "smooth4": 0.25273}
MAPS = (9.40945, 10.6365, 2.08796, 7.40819)
SQUAT = (
    (0.33589, 0.58827, 0.4757), (0.31717, 0.59424, 0.8404), (0.31457, 0.56390, 0.6445), (0.32054, 0.57203, 0.6185),
    (0.31744, 0.50214, 0.5645), (0.41837, 0.56310, 0.5389), (0.40948, 0.43286, 0.7400), (0.50588, 0.70065, 0.7828),
    (0.51512, 0.53268, 0.8289), (0.42619, 0.69006, 0.4761), (0.41858, 0.64554, 0.5609), (0.61049, 0.38452, 0.8445),
    (0.60940, 0.28282, 0.5908), (0.65373, 0.58889, 0.8009), (0.68113, 0.41904, 0.7328), (0.83455, 0.52062, 0.6489),
    (0.90214, 0.33249, 0.5778))


def photograph(path, side):
    image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32) / 127.5 - 1


def magnitude(x):
    return np.abs(np.asarray(x, np.float64)).mean()


def last_digit(number):
    """One unit of the last of six digits, or of five behind the point."""
    return 1e-4 if number > 10 else 1e-5


# Decoding

def decoded_by_hand(maps):
    """The published rules for one image, as loops: (17, 2) as (y, x) parts of the image, scores."""
    height, width = maps.centre.shape

    def best(logits, expected):
        values = np.array([[1 / (1 + np.exp(-logits[y, x])) / (np.hypot(y - expected[0], x - expected[1]) + 1.8)
                            for x in range(width)] for y in range(height)])
        return np.unravel_index(values.argmax(), values.shape)

    middle = best(maps.centre, (height / 2, width / 2))
    points, scores = [], []
    for k in range(17):
        y, x = best(maps.heatmaps[..., k], np.array(middle) + maps.regression[(*middle, k)])
        points.append((np.array([y, x]) + maps.offsets[y, x, k]) / (height, width))
        scores.append(1 / (1 + np.exp(-maps.heatmaps[y, x, k])))
    return np.array(points), np.array(scores)


def test_points_are_those_of_the_published_rules():
    generator, cells = np.random.default_rng(0), (3, 8, 16)
    maps = MoveNetMaps(*(scale * generator.normal(size=(*cells, *rest)).astype(np.float32) for scale, rest in (
        (2, ()), (2, (17,)), (0.3, (17, 2)), (4, (17, 2)))))
    keypoints, scores = jax.jit(decode_movenet)(maps)
    assert (keypoints.shape, scores.shape) == ((3, 17, 2), (3, 17))
    for number in range(3):
        parts, expected = decoded_by_hand(MoveNetMaps(*(np.float64(x[number]) for x in maps)))
        np.testing.assert_allclose(keypoints[number], parts[:, ::-1] * (64, 32) - 0.5, atol=1e-4)
        np.testing.assert_allclose(scores[number], expected, rtol=1e-5)


def test_the_nearer_of_two_equal_peaks_is_the_persons():
    maps = MoveNetMaps(np.full((1, 8, 8), -9, np.float32), np.full((1, 8, 8, 17), -9, np.float32),
                       np.full((1, 8, 8, 17, 2), 0.5, np.float32), np.zeros((1, 8, 8, 17, 2), np.float32))
    maps.centre[0, 3, 5] = 2
    maps.regression[0, 3, 5] = (2, -3)  # y, x
    maps.heatmaps[0, 6, 2] = maps.heatmaps[0, 0, 7] = 1
    keypoints, scores = jax.jit(decode_movenet)(maps)
    # The middle of the cell in row 6, column 2 is that of 4 x 4 pixels: between 9 and 10 in x, 25 and 26 in y.
    np.testing.assert_allclose(keypoints, np.broadcast_to((9.5, 25.5), (1, 17, 2)))
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-1)), rtol=1e-6)


def test_heatmaps_of_new_keypoints_are_faint_at_first():
    network = MoveNet(sigmoid=True).build(2)
    head = shapes(network)["params"]["head"]
    maps, fresh = jax.jit(lambda key: network.head.init_with_output(key, jnp.ones((1, 8, 8, 24)), False))(
        jax.random.key(0))
    assert [leaf.shape for leaf in jax.tree.leaves(fresh["params"])] == [leaf.shape for leaf in jax.tree.leaves(head)]
    assert maps.shape == (1, 8, 8, 2)
    np.testing.assert_allclose(maps, jax.nn.sigmoid(-4.0), rtol=0.1)


# Published weights

@pytest.mark.parametrize(("file", "name"), [
    ("movenet_lightning", "movenet_lightning.google"), ("mobilenet_v2_inat_bird", "mobilenet_v2.google_inat_bird"),
    ("mobilenet_v2_inat_insect", "mobilenet_v2.google_inat_insect")])
def test_published_trunks_see_what_their_table_says(published_weights, tmp_path, file, name):
    path = published_weights(f"{file}.safetensors")
    assert known_weights(path).name == name
    (tmp_path / f"{name}.safetensors").symlink_to(path)
    network = MobileNetV2Trunk(padding="tensorflow")
    read, report = load_backbone(zeros(network), name, folder=tmp_path)
    assert report.missing == ()
    images = np.stack([photograph(published_weights(f"photographs/{photo}.png"), 224) for photo in TRUNKS[file]])
    maps = jax.jit(lambda v, x: network.apply(v, x, False))(read, images)
    for number, magnitudes in enumerate(TRUNKS[file].values()):
        assert [magnitude(x[number]) for x in maps] == pytest.approx(list(magnitudes), abs=1e-5)


@pytest.mark.parametrize("file", ["movenet_lightning.safetensors", "movenet_single_pose_lightning_ptq.tflite"])
def test_published_weights_find_the_person_of_their_table(published_weights, file):
    network = movenet_lightning()
    variables, _ = load_movenet(zeros(network), published_weights(file))
    image = photograph(published_weights("photographs/squat.png"), 192)[None]
    maps, layers = jax.jit(lambda v, x: network.apply(v, x, False, capture_intermediates=True))(variables, image)
    pyramid = layers["intermediates"]["upsampling"]
    for name, expected in PYRAMID.items():
        assert magnitude(pyramid[name]["__call__"][0]) == pytest.approx(expected, abs=last_digit(expected)), name
    for x, expected in zip(maps, MAPS, strict=True):
        assert magnitude(x) == pytest.approx(expected, abs=last_digit(expected))
    keypoints, scores = decode_movenet(maps)
    for point, score, (y, x, expected) in zip(keypoints[0], scores[0], SQUAT, strict=True):
        assert list((point[::-1] + 0.5) / 192) == pytest.approx([y, x], abs=1e-5)
        assert float(score) == pytest.approx(expected, abs=1e-4)
