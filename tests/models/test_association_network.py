"""KA-Net: its inputs and its reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import shapes_of

from kpjax.heatmaps import gaussian_bumps
from kpjax.models import association

SIDE, MIDDLE, WIDTH = 64, 32, 3


bumps = jax.jit(gaussian_bumps, static_argnums=(1, 2))


def inputs(side=SIDE, keypoints=((MIDDLE, MIDDLE), (MIDDLE, MIDDLE)), seed=0):
    features = np.random.default_rng(seed).normal(size=(1, side, side, WIDTH)).astype(np.float32)
    points = jnp.array([keypoints], jnp.float32)
    return association.AssociationInputs(
        jnp.asarray(features), bumps(points, (side, side), 2.0), points
    )


def random_variables(network, given):
    """Variables without a zero or a one among them, as after training."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.uniform(0.2, 1.0, leaf.shape).astype(np.float32),
        shapes_of(network, given, train=False),
    )


@pytest.mark.parametrize(
    ("variant", "side", "expected"), [("paper", 64, 9), ("wide", 64, 20), ("wide", 32, 13)]
)
def test_cells_that_answer_are_those_within_reach(variant, side, expected):
    network, given = (
        association.association_network(variant),
        inputs(side, [(side // 2, side // 2)] * 2),
    )
    variables = random_variables(network, given)
    answers = jax.jit(
        lambda maps: network.apply(variables, given._replace(maps=maps), train=False)[0, :, :, 0]
    )
    differs = np.asarray(answers(given.maps) != answers(jnp.zeros_like(given.maps)))
    rows, columns = np.nonzero(differs)
    assert np.abs(rows - side // 2).max() == np.abs(columns - side // 2).max() == expected
    assert association.reach(variant, side) == expected
    assert differs[side // 2, side // 2 + 10] == (variant == "wide")


def test_gaussians_of_its_own_leave_a_neighbour_dark():
    """Here two cells away: of the targets' Gaussians e^-1.28 reaches it, of KA-Net's nothing.

    An empty map stays.
    """
    given = inputs(16, [(4, 4), (6, 4)])
    given = given._replace(maps=bumps(given.points, (16, 16), 1.25).at[..., 1].set(0))
    np.testing.assert_allclose(
        association.input_windows(given, None)[0, 4, 6, 0],
        np.exp(-(2**2) / (2 * 1.25**2)),
        rtol=1e-6,
    )
    seen = np.asarray(association.input_windows(given, 0.5))[0]
    assert seen[4, 4, 0] == 1
    assert seen[4, 6, 0] == seen[..., 1].max() == 0
    assert np.count_nonzero(seen[..., 0]) == 9
    network = association.association_network(input_sigma=0.5)
    variables = random_variables(network, given)
    run = jax.jit(
        lambda maps: network.apply(variables, given._replace(maps=maps), train=False)[0, ..., 0]
    )
    answer, dark = (np.asarray(run(maps)) for maps in (given.maps, jnp.zeros_like(given.maps)))
    rows, columns = np.nonzero(answer != dark)
    assert (
        max(np.abs(rows - 4).max(), np.abs(columns - 4).max())
        == association.reach("paper", 16, support=1)
        == 4
    )


def test_one_new_keypoint_is_read_if_it_is_alone():
    network, given = association.AssociationNetwork(inputs=1), inputs(16, [(4, 4), (12, 12)])
    variables = random_variables(network, given)
    assert variables["params"]["conv1"]["kernel"].shape == (3, 3, WIDTH, WIDTH)
    run = jax.jit(lambda maps: network.apply(variables, given._replace(maps=maps), train=False))
    np.testing.assert_array_equal(run(given.maps), run(given.maps.at[..., 1].set(0)))
