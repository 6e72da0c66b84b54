"""Maps of a left and a right keypoint that are read at two peaks, on drawn maps."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.heatmaps import decode_dark, gaussian_bumps, named_decoder, separated, spatial_softmax
from kpjax.papers.configs import Heatmaps

SIDE = 24
NEAR, FAR = (6.25, 10.0), (17.0, 8.5)
TOLERANCES = {"dark": 0.05, "quarter": 0.3, "argmax": 0.6}
# the hind paws of a mouse from the side, both maps of which had their maximum on the near one
SURE, UNSURE = [(0.6, NEAR), (0.3, FAR)], [(0.5, NEAR), (0.45, FAR)]
HIGH = [(0.87, NEAR), (0.35, FAR)]


def maps(*keypoints, sigma=1.0):
    """One map for each keypoint, a sum of (height, place) bumps."""
    drawn = [
        sum(
            height * gaussian_bumps(jnp.array([place]), (SIDE, SIDE), sigma, window=None)[..., 0]
            for height, place in bumps
        )
        for bumps in keypoints
    ]
    return jnp.stack(drawn, -1)[None]


@pytest.mark.parametrize("decoder", TOLERANCES)
@pytest.mark.parametrize(
    ("left", "right", "places", "scores"),
    [
        (SURE, UNSURE, (NEAR, FAR), (0.6, 0.45)),
        (UNSURE, SURE, (FAR, NEAR), (0.45, 0.6)),  # whatever their order
        # those that truly lie on one another, and a partner that is not there, stay
        ([(0.9, NEAR), (0.05, FAR)], [(0.8, NEAR)], (NEAR, NEAR), (0.9, 0.8)),
        (HIGH, [(0.03, NEAR)], (NEAR, NEAR), (0.87, 0.03)),
        (HIGH, [(0.2, NEAR)], (NEAR, NEAR), (0.87, 0.2)),
        (HIGH, [(0.5, NEAR)], (FAR, NEAR), (0.35, 0.5)),
        # it is the low one that may be elsewhere
        (HIGH, [(0.1, NEAR), (0.08, FAR)], (NEAR, FAR), (0.87, 0.08)),
    ],
)
def test_two_maps_are_read_at_two_peaks_where_both_are_there(decoder, left, right, places, scores):
    read = jax.jit(named_decoder(decoder, sigma=1.0, apart=((0, 1),)))
    points, found = read(maps(left, right))
    np.testing.assert_allclose(points[0], places, atol=TOLERANCES[decoder])
    np.testing.assert_allclose(found[0], scores, rtol=0.15)  # of the peak that is read


def test_of_two_equal_maps_one_moves_and_a_shoulder_is_no_second_peak():
    read = jax.jit(named_decoder("dark", sigma=1.0, apart=((0, 1),)))
    for left, right, moves in (
        (SURE, SURE, True),
        ([(0.6, NEAR), (0.2, (8.0, 10.0))], [(0.6, NEAR)], False),
    ):
        (points,), _ = read(maps(left, right))
        assert (np.linalg.norm(points[0] - points[1]) > 10) == moves


@pytest.mark.parametrize(
    "found",
    [
        maps([(0.6, NEAR), (0.5, FAR)], [(0.4, NEAR), (0.5, FAR)], [(0.9, NEAR)]),
        jnp.zeros((1, SIDE, SIDE, 2)),
        -jnp.ones((1, SIDE, SIDE, 2)),
        # an empty map, as of a keypoint that is not known yet, has its maximum in the corner
        maps([(0.6, (0.0, 0.0)), (0.5, FAR)], [(0.0, NEAR)]),
    ],
    ids=["two maxima", "empty", "negative", "corner"],
)
def test_other_maps_are_not_touched(found):
    for pairs in ((), ((0, 1),), ((found.shape[-1] - 1, 1),)):
        if len({*sum(pairs, ())}) == 2 * len(pairs):
            np.testing.assert_array_equal(separated(found, pairs, sigma=1.0), found)


def test_only_pairs_are_separated_each_in_its_image():
    found = jnp.concatenate([maps(SURE, [(0.9, FAR)], SURE), maps(SURE, SURE, [(0.9, FAR)])])
    apart = separated(found, [(0, 2)], sigma=1.0)
    np.testing.assert_array_equal(apart[..., 1], found[..., 1])
    np.testing.assert_array_equal(apart[1], found[1])
    points, _ = decode_dark(apart, sigma=1.0)
    assert np.linalg.norm(points[0, 0] - points[0, 2]) > 10


@pytest.mark.parametrize("decoder", TOLERANCES)
def test_scores_are_of_one_kind_with_pairs_and_without(decoder):
    """`score_kind` does not know of pairs. Of pairs with two maxima points and scores are the same, and
    the score of a point that moves is that of its own second peak.
    """
    logits = 12 * maps([(0.6, NEAR), (0.5, FAR)], [(0.4, NEAR), (0.5, FAR)])
    plain = jax.jit(named_decoder(decoder, sigma=1.0, logits=True))
    pairs = jax.jit(named_decoder(decoder, sigma=1.0, logits=True, apart=[(0, 1)]))
    chex.assert_trees_all_equal(pairs(logits), plain(logits))
    shared = 12 * maps([(0.6, NEAR), (0.55, FAR)], [(0.6, NEAR)])
    points, scores = pairs(shared)
    np.testing.assert_allclose(points[0], [FAR, NEAR], atol=0.6)
    heights = shared if decoder == "argmax" else spatial_softmax(shared)
    np.testing.assert_allclose(scores[0, 0], heights[0, :, 14:, 0].max())


def test_a_codec_that_reads_pairs_together_reads_some_maps_one_by_one():
    """Each of them as the same decoder does without pairs."""
    found = maps(SURE, [(0.9, FAR)], UNSURE)
    of_pairs, of_none = (
        Heatmaps(heatmap_size=SIDE, sigma=1.0, decoder="dark", apart=True).codec(SIDE, flip=flip)
        for flip in ((2, 1, 0), (0, 1, 2))
    )
    whole, _ = of_pairs.decode(found)
    assert np.linalg.norm(whole[0, 0] - whole[0, 2]) > 10
    some = found[..., np.array([2, 0])]
    expected = of_none.decode(some)
    chex.assert_trees_all_equal(of_pairs.decode_each(some), expected)
    chex.assert_trees_all_equal(of_none.decode_each(some), expected)
