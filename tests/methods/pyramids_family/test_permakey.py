"""PermaKey: predictions from surroundings, maps of their errors, and losses that do not touch."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_parts import BATCH, SIDE, batch, centred, drawn_state, forward, tiny_permakey

from kpjax.errors import InputError
from kpjax.methods.pyramids_family.permakey import (
    latent_divergence,
    permakey,
    permakey_objective,
)
from kpjax.models.permakey import (
    cells_and_surroundings,
    error_map,
    from_0_to_1,
    permakey_network,
)
from kpjax.structures import Trained

close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
KEY, STREAMS = jax.random.key(0), {"frame": batch("frame"), "reference": batch("reference")}


def built(objective=None, network=None):
    return permakey(
        objective=permakey_objective() if objective is None else objective,
        optimizer=optax.trace(0.9),
        learning_rate=lambda step: 1e-2,
        normalise=centred,
        network=tiny_permakey(6) if network is None else network,
    )


def state_of(method):
    return drawn_state(method, streams=STREAMS)._replace(step=jnp.int32(0))


# Maps of errors


def test_a_cell_and_the_eight_around_it():
    """A map of 6 x 6 whose pixels are numbered: the middle cell has all its neighbours, a corner
    three.
    """
    features = jnp.arange(36.0).reshape(1, 6, 6, 1)
    cells, around = cells_and_surroundings(features)
    assert (cells.shape, around.shape) == ((1, 3, 3, 4), (1, 3, 3, 32))
    close(cells[0, 1, 1], [14, 15, 20, 21])
    first = np.array([0, 1, 6, 7])  # the cell in the upper left corner
    others = [first + 2 * right + 12 * down for down in range(3) for right in range(3)]
    del others[4]
    close(around[0, 1, 1], np.concatenate(others))
    corner = np.asarray(around)[0, 0, 0].reshape(8, 4)
    close(corner[[4, 6, 7]], [first + 2, first + 12, first + 14])
    close(corner[[0, 1, 2, 3, 5]], 0)


def test_odd_maps_are_refused():
    with pytest.raises(InputError, match=r"feature maps of 6 x 7 .* choose sides of images"):
        cells_and_surroundings(jnp.zeros((1, 6, 7, 2)))


def test_errors_are_relative_and_run_from_0_to_1():
    cells = jnp.array([[1.0, 3], [0, 0]]).reshape(1, 1, 2, 2)
    squares = jnp.array([[4.0, 0], [0.02, 0.04]]).reshape(1, 1, 2, 2)
    close(error_map(cells, squares)[0, 0, :, 0], [math.sqrt(2) / 2.001, math.sqrt(0.03) / 1e-3])
    maps = jnp.array([[2.0, 5], [4, 5], [6, 5]]).reshape(1, 3, 1, 2)
    close(from_0_to_1(maps)[0, :, 0], [[0, 0], [0.5, 0], [1, 0]])


# Losses


def test_terms_by_hand():
    objective = permakey_objective()
    assert {name: term.weight for name, term in objective.items()} == {
        "reconstruction": 1,
        "latent": 1,
        "prediction": 1,
        "error_maps": 1,
    }

    def value(name, outputs, streams=None):
        return float(objective[name].function({name: outputs}, streams or {}))

    frame = jnp.full((2, 4, 4, 3), 0.5)
    # 0.1² / (2 * 0.1)
    assert value("reconstruction", frame + 0.1, {"target": frame}) == pytest.approx(0.05, rel=1e-5)
    # a mean of 1 costs 1/2, a deviation of e costs (e² - 1) / 2 - 1
    mean, deviation = jnp.array([[1.0, 0], [1, 0]]), jnp.array([[1.0, math.e], [1, math.e]])
    expected = 0.5 + (math.e**2 - 1) / 2 - 1
    close(latent_divergence(mean, deviation), expected)
    assert value("latent", (mean, deviation)) == pytest.approx(expected, rel=1e-5)
    # the sum of the layers' means, however many cells they have
    squares = [jnp.full((2, 4, 4, 8), 0.25), jnp.full((2, 2, 2, 16), 2.0)]
    assert value("prediction", squares) == pytest.approx(2.25)
    # two keypoints, whose sum is compared with both layers
    blobs = jnp.array([0.25, 0.5]).reshape(1, 1, 1, 2)
    maps = jnp.array([1.0, 0.75]).reshape(1, 1, 1, 2)
    assert value("error_maps", (blobs, maps)) == pytest.approx(0.25**2 / 2)


PARTS = {
    "reconstruction": {"features/encoder", "latent", "decoder"},
    "latent": {"features/encoder", "latent"},
    "prediction": {"features/predictors_0", "features/predictors_1"},
    "error_maps": {"encoders_0"},
}


def test_no_loss_reaches_the_parts_of_another():
    """The gradient of each term alone, by part of the network."""
    objective = permakey_objective()
    state = state_of(built())

    def moved(name):
        method = built({name: objective[name]})
        after, _ = jax.jit(method.update)(state, STREAMS, KEY)
        before, changed = state.variables["params"], after.variables["params"]
        found = set()
        keypoints = changed["keypoints"]
        trees = {
            "latent": (before["latent"], changed["latent"]),
            "decoder": (before["decoder"], changed["decoder"]),
            "encoders_0": (before["keypoints"]["encoders_0"], keypoints["encoders_0"]),
            **{
                f"features/{part}": (before["keypoints"]["features"][part], tree)
                for part, tree in keypoints["features"].items()
            },
        }
        for part, (old, new) in trees.items():
            same = jax.tree.map(np.array_equal, old, new)
            if not all(jax.tree.leaves(same)):
                found.add(part)
        return found

    assert {name: moved(name) for name in PARTS} == PARTS


def test_noise_is_of_the_key_and_predictions_have_none():
    method = built()
    state = state_of(method)
    run = forward(method)
    first, again, other = (run(state, STREAMS, key)[0] for key in (KEY, KEY, jax.random.key(1)))
    assert first["loss/reconstruction"] == again["loss/reconstruction"]
    assert first["loss/reconstruction"] != other["loss/reconstruction"]
    for name in ("latent", "prediction", "error_maps"):
        assert first[f"loss/{name}"] == other[f"loss/{name}"]
    only = {"params": {"keypoints": state.variables["params"]["keypoints"]}}
    prediction = jax.jit(method.predict)(Trained(only, {}), STREAMS["frame"])
    assert prediction.keypoints.shape == (BATCH, 6, 2)
    assert prediction.heatmaps[0].shape == (BATCH, SIDE // 2, SIDE // 2, 6)


def test_the_reference_is_read_by_metrics_alone():
    method = built()
    state, run = state_of(method), forward(method)
    swapped = STREAMS | {"reference": batch("another")}
    one, two = (run(state, streams, KEY)[0] for streams in (STREAMS, swapped))
    assert one["loss/total"] == two["loss/total"]
    assert one["baseline/copied_reference"] != two["baseline/copied_reference"]


@pytest.mark.parametrize("small", [False, True])
def test_the_published_sizes(small):
    network = permakey_network(30, small=small)
    image = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    (found, variables) = jax.eval_shape(
        lambda images: network.keypoints.init_with_output(KEY, images, False), image
    )
    deepest, first, second, maps = found.features
    share = 4 if small else 1
    assert deepest.shape == (2, 16, 16, 128 // share)
    assert first.shape == (2, 32, 32, 4 * 32 // share)
    assert second.shape == (2, 16, 16, 4 * 64 // share)
    assert maps.shape == (2, 32, 32, 2)
    assert found.heatmaps[0].shape == (2, 32, 32, 30)
    hidden = variables["params"]["features"]["predictors_0"]["hidden"]
    widths = [hidden[f"conv{number}"]["kernel"].shape[-1] for number in (1, 2, 3)]
    assert widths == [8 * 4 * 32 // share, 512 // share, 256 // share]


def test_features_have_the_dtype_that_is_asked_for_and_losses_read_float32():
    network = permakey_network(6, small=True, dtype=jnp.bfloat16)
    found, variables = jax.eval_shape(
        lambda images: network.keypoints.init_with_output(KEY, images, False),
        jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32),
    )
    deepest, *read = found.features
    assert deepest.dtype == jnp.bfloat16
    read += [found.heatmaps, found.points, variables]
    assert {leaf.dtype for leaf in jax.tree.leaves(read)} == {jnp.dtype(jnp.float32)}

    method = built(network=network)
    state = jax.eval_shape(method.init, KEY, STREAMS, {})
    _, metrics = jax.eval_shape(method.update, state, STREAMS, KEY)
    assert {value.dtype for value in metrics.values()} == {jnp.dtype(jnp.float32)}
