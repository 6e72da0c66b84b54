"""Maps of a left and a right keypoint that are read at two peaks, on drawn maps."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.heatmaps import (
    decode_argmax,
    decode_dark,
    gaussian_bumps,
    named_decoder,
    separated,
    spatial_softmax,
)
from kpjax.papers.configs import Heatmaps

SIDE = 24
NEAR, FAR = (6.25, 10.0), (17.0, 8.5)


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


def read(found, decoder="dark", pairs=((0, 1),)):
    points, scores = jax.jit(named_decoder(decoder, sigma=1.0, apart=pairs))(found)
    return np.asarray(points[0]), np.asarray(scores[0])


@pytest.mark.parametrize("decoder", ["dark", "quarter", "argmax"])
def test_two_paws_with_the_same_two_peaks_are_read_at_both(decoder):
    """The hind paws of a mouse from the side, both maps of which had their maximum on the near one."""
    found = maps([(0.6, NEAR), (0.3, FAR)], [(0.5, NEAR), (0.45, FAR)])
    alone, _ = decode_argmax(found)
    np.testing.assert_array_equal(alone[0, 0], alone[0, 1])
    points, scores = read(found, decoder)
    tolerance = {"dark": 0.05, "quarter": 0.3, "argmax": 0.6}[decoder]
    np.testing.assert_allclose(points, [NEAR, FAR], atol=tolerance)
    assert scores[0] == pytest.approx(0.6, rel=0.1)
    assert scores[1] == pytest.approx(0.45, rel=0.15)  # of the peak that is read


def test_who_keeps_the_peak_is_decided_by_both_and_not_by_order():
    both = [[(0.6, NEAR), (0.3, FAR)], [(0.5, NEAR), (0.45, FAR)]]
    points, _ = read(maps(both[1], both[0]))
    np.testing.assert_allclose(points, [FAR, NEAR], atol=0.05)
    same = maps(both[0], both[0])  # either would do: one moves
    points, _ = read(same)
    assert np.linalg.norm(points[0] - points[1]) > 10


def test_keypoints_that_truly_lie_on_one_another_stay():
    points, scores = read(maps([(0.9, NEAR), (0.05, FAR)], [(0.8, NEAR)]))
    np.testing.assert_allclose(points, [NEAR, NEAR], atol=0.05)
    np.testing.assert_allclose(scores, [0.9, 0.8], rtol=0.1)


@pytest.mark.parametrize("pairs", [(), ((0, 1),), ((2, 1),)])
def test_maps_with_two_maxima_are_not_touched(pairs):
    found = maps([(0.6, NEAR), (0.5, FAR)], [(0.4, NEAR), (0.5, FAR)], [(0.9, NEAR)])
    np.testing.assert_array_equal(separated(found, pairs, sigma=1.0), found)


def test_only_pairs_are_separated_each_in_its_image():
    one = [(0.6, NEAR), (0.3, FAR)]
    found = jnp.concatenate([maps(one, [(0.9, FAR)], one), maps(one, one, [(0.9, FAR)])])
    apart = separated(found, [(0, 2)], sigma=1.0)
    np.testing.assert_array_equal(apart[..., 1], found[..., 1])
    np.testing.assert_array_equal(apart[1], found[1])
    points, _ = decode_dark(apart, sigma=1.0)
    assert np.linalg.norm(points[0, 0] - points[0, 2]) > 10


def test_a_shoulder_of_the_shared_peak_is_no_second_one():
    points, _ = read(maps([(0.6, NEAR), (0.2, (8.0, 10.0))], [(0.6, NEAR)]))
    assert np.linalg.norm(points[0] - points[1]) < 1


def test_empty_and_negative_maps_stay():
    for found in (jnp.zeros((1, SIDE, SIDE, 2)), -jnp.ones((1, SIDE, SIDE, 2))):
        np.testing.assert_array_equal(separated(found, [(0, 1)], sigma=1.0), found)


def test_an_empty_map_does_not_drive_its_partner_from_the_corner():
    """Whose maximum is where that of an empty map is: in an incremental run a keypoint that is not
    yet known has an empty map.
    """
    found = maps([(0.6, (0.0, 0.0)), (0.5, FAR)], [(0.0, NEAR)])
    np.testing.assert_array_equal(separated(found, [(0, 1)], sigma=1.0), found)


@pytest.mark.parametrize("decoder", ["dark", "quarter", "argmax"])
@pytest.mark.parametrize("low", [0.03, 0.2])
def test_a_partner_that_is_not_there_does_not_drive_a_point_from_its_peak(decoder, low):
    """The map of an absent keypoint is low and not zero, and its maximum may lie anywhere."""
    left, alone = [(0.87, NEAR), (0.35, FAR)], maps([(0.87, NEAR), (0.35, FAR)])
    points, scores = read(maps(left, [(low, NEAR)]), decoder)
    expected, height = read(alone, decoder, ())
    np.testing.assert_array_equal(points[0], expected[0])
    assert scores[0] == height[0]
    there, _ = read(maps(left, [(0.5, NEAR)]), decoder)
    np.testing.assert_allclose(there[0], FAR, atol=0.6)


def test_a_low_map_moves_from_the_peak_of_its_partner():
    """Which is there: it is the low one that may be elsewhere."""
    points, _ = read(maps([(0.87, NEAR), (0.35, FAR)], [(0.1, NEAR), (0.08, FAR)]))
    np.testing.assert_allclose(points, [NEAR, FAR], atol=0.05)


@pytest.mark.parametrize("decoder", ["dark", "quarter", "argmax"])
def test_scores_are_of_one_kind_with_pairs_and_without(decoder):
    """`score_kind` does not know of pairs. Of pairs with two maxima points and scores are the same, and
    the score of a point that moves is that of its own second peak.
    """
    peaks = [[(0.6, NEAR), (0.5, FAR)], [(0.4, NEAR), (0.5, FAR)]]
    logits = 12 * maps(*peaks)
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
    found = maps([(0.6, NEAR), (0.3, FAR)], [(0.9, FAR)], [(0.5, NEAR), (0.45, FAR)])
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
