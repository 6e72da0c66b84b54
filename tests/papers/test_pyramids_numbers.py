"""Keypoint Pyramids, KeyNet and Transporter: numbers of an independent float64 program.

Maps are indexed [row, column], points are normalised (x, y).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.evaluation.probes.linear import fit_linear
from kpjax.evaluation.probes.regression_errors import regression_errors
from kpjax.losses.objective import replaced, total
from kpjax.losses.pyramids import (
    parent_of_child,
    spring,
    transport_features,
    transporter_transported,
)
from kpjax.losses.reconstruction import pixel_mse
from kpjax.methods.pyramids_family import objectives
from kpjax.methods.pyramids_family.pyramids import painting_pass
from kpjax.models.image_generation import (
    draw_normalised_points,
    normalised_points,
    upsample_bilinear,
)
from kpjax.models.pyramid import keypoint_pyramid
from kpjax.models.pyramid_baselines import as_keynet, as_transporter


def one_map(side, **cells):
    """(1, side, side, 1) zeros but for cells named r<row>c<column>."""
    values = np.zeros((1, side, side, 1), np.float32)
    for name, value in cells.items():
        row, column = map(int, name[1:].split("c"))
        values[0, row, column] = value
    return jnp.asarray(values)


# Keypoints and blobs


POINTS = [  # s1, s3, s4 and s5
    (one_map(3, r0c2=np.log(9)), (8 / 17, -8 / 17)),
    (one_map(16, r3c12=1000), (0.6, -0.6)),
    (one_map(16), (0, 0)),
    (one_map(16, r3c12=5), (0.219249, -0.219249)),
]


def test_s_points(close):
    for heatmaps, point in POINTS:
        close(normalised_points(heatmaps)[0, 0], point)


def test_g1_a_blob_has_no_factor_one_half(close):
    blob = draw_normalised_points(jnp.array([[0.5, 0.0]]), (5, 5), 0.5)[..., 0]
    close(blob[2], [0.000123, 0.018316, 0.367879, 1, 0.367879])
    close(blob.sum(), 3.109123)
    # G2 blobs between cells
    for cells, width, highest, summed in (
        (16, 0.1, 0.411112, 1.739819),
        (32, 0.1, 0.812112, 7.547676),
        (16, 0.2, 0.800737, 7.068583),
        (32, 0.2, 0.949301, 30.190705),
    ):
        blob = draw_normalised_points(jnp.zeros((1, 2)), (cells, cells), width)
        close([blob.max(), blob.sum()], [highest, summed])
    # G3 a blob at a cell
    blob = draw_normalised_points(jnp.array([[0.6, -0.6]]), (16, 16), 0.1)[..., 0]
    close([blob[3, 12], blob[3, 13], blob[4, 13]], [1, 0.169013, 0.028566])
    # P1 heatmaps to points to blobs
    points = normalised_points(one_map(4, r0c0=2, r2c2=1))
    close(points[0, 0], [-0.241267, -0.241267])
    blob = draw_normalised_points(points, (4, 4), 0.5)[0, ..., 0]
    close(
        [blob[1, 1], blob[0, 1], blob[1, 0], blob[2, 2]], [0.934438, 0.096655, 0.096655, 0.071267]
    )


# Transport: one row of three cells, one channel, two keypoints

FEATURES_REFERENCE = jnp.array([10.0, 20, 30]).reshape(1, 1, 3, 1)
FEATURES = jnp.array([1.0, 2, 3]).reshape(1, 1, 3, 1)
MAPS_REFERENCE = jnp.array([[1, 0, 0], [0, 0.5, 0]]).T.reshape(1, 1, 3, 2)
MAPS = jnp.array([[0, 0, 1], [0, 0.5, 0]]).T.reshape(1, 1, 3, 2)
ROW = (FEATURES_REFERENCE, FEATURES, MAPS_REFERENCE, MAPS)


def gradients(rule, **options):
    """Of the sum over all cells: by cell of both features, and by keypoint and cell of both
    maps."""
    found = jax.grad(lambda *row: rule(*row, **options).sum(), argnums=(0, 1, 2, 3))(*ROW)
    return [
        *(array.reshape(3) for array in found[:2]),
        *(array.reshape(3, 2).T for array in found[2:]),
    ]


def test_t1_what_is_transported(close):
    close(transport_features(*ROW).ravel(), [1, 6.5, 3])
    close(transporter_transported(*ROW).ravel(), [0, 6, 3])
    # T1 gradients of equation 2
    for_reference, for_frame, maps_reference, maps = gradients(
        transport_features, stop_reference=False
    )
    close(for_frame, [1, 0.75, 1])
    close(for_reference, [0, 0.25, 0])
    close(maps, [[0, -4.5, -27], [0, -9, 0]])
    close(maps_reference, [[-9, -4.5, 0], [0, -9, 0]])
    stopped = gradients(transport_features)
    close(stopped[1], for_frame)
    close(stopped[3], maps)
    close(stopped[0], 0, atol=0)
    close(stopped[2], 0, atol=0)
    # T1 gradients of the transporter rule
    stopped = gradients(transporter_transported)
    close(stopped[1], [0, 0.5, 1])
    close(stopped[3], [[1, -4.5, -27], [1, -8, 0]])
    close(stopped[0], 0, atol=0)
    close(stopped[2], 0, atol=0)
    # T3 properties
    random = np.random.default_rng(0)
    features_reference, features = (
        jnp.asarray(random.normal(size=(2, 3, 4, 5)), jnp.float32) for _ in range(2)
    )
    maps_reference, maps = (
        jnp.asarray(random.uniform(size=(2, 3, 4, 7)), jnp.float32) for _ in range(2)
    )
    close(transport_features(features_reference, features, 0 * maps, 0 * maps), features_reference)
    close(transport_features(features, features, maps_reference, maps), features)
    order = np.array([3, 6, 0, 2, 1, 5, 4])
    close(
        transport_features(
            features_reference, features, maps_reference[..., order], maps[..., order]
        ),
        transport_features(features_reference, features, maps_reference, maps),
    )


# Springs

PARENTS = jnp.array([[[0, 0], [0.5, -0.5]]])
CHILDREN = jnp.array([[[0.1, 0], [0, 0.2], [0.5, -0.5], [0.8, -0.1]]])


def test_k1_springs(close):
    close(spring(PARENTS, CHILDREN, reduction="sum"), 0.30)
    close(spring(PARENTS, CHILDREN), 0.075)
    close(spring(PARENTS, CHILDREN, reduction="coordinate_mean"), 0.0375)
    interleaved = CHILDREN[:, jnp.array([0, 2, 1, 3])]  # as if child m belonged to parent m % 2
    close(spring(PARENTS, interleaved, reduction="sum"), 1.50)
    pull = jax.grad(functools.partial(spring, reduction="sum"), argnums=(0, 1))
    parents, children = pull(PARENTS, CHILDREN)
    close(parents[0], [[-0.2, -0.4], [-0.6, -0.8]])
    close(children[0], [[0.2, 0], [0, 0.4], [0, 0], [0.6, 0.8]])


def test_k3_children_of_each_parent():
    parent = parent_of_child(10, 20)
    sets = [set(np.flatnonzero(parent == n).tolist()) for n in range(10)]
    assert sets[0] == {0, 1}
    assert sets[9] == {18, 19}
    assert sorted(child for children in sets for child in children) == list(range(20))
    assert all(len(children) == 2 for children in sets)


# Losses


def test_l1_totals_of_the_ablations(close):
    def constant(value):
        return lambda outputs, streams: jnp.float32(value)

    full = replaced(
        objectives.pyramids_objective(spring=1.0),
        reconstruction=constant(2),
        transport_level1=constant(3),
        transport_level2=constant(5),
        spring=constant(0.3),
    )
    for change, expected in [
        (lambda objective: objective, 7.6),
        (objectives.no_reconstruction, 5.6),
        (objectives.no_transport, 2.3),
        (objectives.no_spring, 7.3),
    ]:
        close(total(change(full), {}, {})[0], expected)


def test_terms_and_weights_of_the_other_ablations():
    weights = {
        change: {
            name: term.weight
            for name, term in change(objectives.pyramids_objective(spring=1.0)).items()
        }
        for change in (objectives.all_reconstruction, objectives.all_transport)
    }
    assert weights[objectives.all_reconstruction] == {
        "reconstruction": 1.0,
        "reconstruction_level1": 0.1,
        "reconstruction_level2": 1.0,
        "spring": 1.0,
    }
    assert weights[objectives.all_transport] == {
        "transport_flat": 1.0,
        "transport_level1": 0.1,
        "transport_level2": 1.0,
        "spring": 1.0,
    }


def test_l2_sums_and_means(close):
    images = jnp.zeros((1, 2, 2, 3))
    close(pixel_mse(images, images + 0.1, reduction="sum"), 0.12)
    close(pixel_mse(images, images + 0.1), 0.01)
    large = jnp.full((1, 128, 128, 3), 0.1)
    close(pixel_mse(large, 0 * large, reduction="sum") / pixel_mse(large, 0 * large), 49152)
    # 20 children 0.15 away from their parents, normalised: 1.8e3 in pixels of 128 x 128, 0.45
    # without a unit
    children = jnp.tile(jnp.array([0.15, 0.0]), (1, 20, 1))
    in_pixels = spring(
        jnp.zeros((1, 10, 2)), children, reduction="sum", unit="pixels", size=(128, 128)
    )
    close(in_pixels, 0.45 * 64**2, rtol=1e-4)
    close(spring(jnp.zeros((1, 10, 2)), children), 0.0225)
    # U1 twice the resolution has half pixel centres
    line = upsample_bilinear(jnp.array([0.0, 1.0, 4.0]).reshape(1, 1, 3, 1))
    close(line[0, 0, :, 0], [0, 0.25, 0.75, 1.75, 3.25, 4])


# D1: shapes for images of 128 x 128

IMAGES = jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32)
EVERYTHING = (
    "reconstruction",
    "transport_level1",
    "transport_level2",
    "reconstruction_level1",
    "reconstruction_level2",
    "transport_flat",
)


def shapes_of(network, forward):
    """(what forward returns, parameters), as shapes."""
    outputs, variables = jax.eval_shape(
        lambda x, r: network.init_with_output(jax.random.key(0), x, r, train=False, method=forward),
        IMAGES,
        IMAGES,
    )
    return jax.tree.map(lambda leaf: leaf.shape, (outputs, variables["params"]))


def test_d1_shapes():
    pyramid = keypoint_pyramid()
    forward = painting_pass(EVERYTHING, 2)

    def with_levels(network, frame, reference, train):
        return forward(network, frame, reference, train) | {
            "levels": network.keypoints(frame, train),
            "appearance": network.appearance(reference, train),
        }

    outputs, params = shapes_of(pyramid, with_levels)
    assert all(outputs[image] == (2, 128, 128, 3) for image in EVERYTHING)
    levels = outputs["levels"]
    assert levels.features == ((2, 16, 16, 256), (2, 32, 32, 256))
    assert levels.heatmaps == ((2, 16, 16, 10), (2, 32, 32, 20))
    assert levels.points == ((2, 10, 2), (2, 20, 2))
    assert outputs["appearance"] == (2, 32, 32, 128)
    assert params["decoder"]["scale1"]["conv1"]["kernel"] == (3, 3, 128 + 30, 128)
    assert [params[f"transports_{level}"]["conv2"]["kernel"][-1] for level in (0, 1)] == [128, 64]
    of_levels = [params[f"level_decoders_{level}"]["scale1"] for level in (0, 1)]
    assert [scale["conv1"]["kernel"][2] for scale in of_levels] == [128 + 10, 128 + 20]
    assert params["flat_decoder"]["scale1"]["conv1"]["kernel"][2] == 64
    encoders = [
        params["keypoints"][f"encoders_{level}"]["trunk"]["conv1"]["kernel"] for level in (0, 1)
    ]
    assert encoders == [(3, 3, 256, 128), (3, 3, 256 + 10, 128)]
    assert params["keypoints"]["encoders_1"]["output"]["kernel"] == (1, 1, 128, 20)
    assert params["keypoints"]["features"]["backbone"]["encoder"]["layer4_1"]["conv2"][
        "kernel"
    ] == (3, 3, 512, 512)
    _, params = shapes_of(keypoint_pyramid(conditioned=False), painting_pass((), 2))
    assert set(params) == {"keypoints"}
    assert params["keypoints"]["encoders_1"]["trunk"]["conv1"]["kernel"] == (3, 3, 256, 128)


def test_d1_shapes_of_the_baselines():
    flat = keypoint_pyramid((30,))

    def of_keynet(network, frame, reference, train):
        found = network.keypoints(frame, train)
        return found.heatmaps, network.generator(reference, found.points[0], train)

    def of_transporter(network, frame, reference, train):
        features = network.features(reference, train)
        return network.keypoints(frame, train).heatmaps, features, network.decoder(features, train)

    image = (2, 128, 128, 3)
    assert shapes_of(as_keynet(flat), of_keynet)[0] == (((2, 32, 32, 30),), image)
    assert shapes_of(as_transporter(flat), of_transporter)[0] == (
        ((2, 32, 32, 30),),
        (2, 32, 32, 128),
        image,
    )


# The regression of keypoints, by hand


def test_an_intercept_decides_how_well_a_line_fits():
    x, y = np.array([[0.0], [1], [2]]), np.array([[1.0], [3], [5]])
    line = fit_linear(x, y)
    np.testing.assert_allclose(line.slope, [[2]], atol=1e-12)
    np.testing.assert_allclose(line(x), y, atol=1e-12)
    through_zero = fit_linear(x, y, intercept=False)
    np.testing.assert_allclose(through_zero.slope, [[2.6]], atol=1e-12)
    assert np.sqrt(np.square(through_zero(x) - y).mean()) == pytest.approx(0.632456, abs=1e-6)


def test_one_set_of_errors_in_every_reading():
    errors = np.array([[(0, 0), (3, 4)], [(0, 0), (0, 0)]], np.float64)
    found = regression_errors(errors, np.zeros_like(errors), np.ones((2, 2)))
    assert found.per_coordinate == pytest.approx(1.767767, abs=1e-6)
    assert found.per_point == pytest.approx(2.5)
    assert found.per_image == pytest.approx(3.535534, abs=1e-6)
    assert found.mean_distance == pytest.approx(1.25)
    np.testing.assert_allclose(found.per_joint, [0, 2.5])
