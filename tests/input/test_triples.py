"""Triples: hops along the skeleton, the rule with its ties, distances in images, and random ones."""
import numpy as np
import pytest

from kpjax.input.protocols import Triple, automatic_triples, hop_distances, mean_distances, random_triples
from kpjax.structures import Skeleton

#  0 - 1 - 2 - 3       and 7 by itself
#      |
#      4 - 5 - 6
LIMBS = Skeleton(tuple("abcdefgh"), ((0, 1), (1, 2), (2, 3), (1, 4), (4, 5), (5, 6)))


def test_hops_are_the_shortest_paths():
    hops = hop_distances(LIMBS)
    assert hops[0].tolist() == [0, 1, 2, 3, 2, 3, 4, np.inf]
    assert hops[3, 6] == 5
    np.testing.assert_array_equal(hops, hops.T)
    assert hop_distances(Skeleton(("a",))).tolist() == [[0]]


@pytest.mark.parametrize(("old", "new", "chosen"), [
    ("ag", "bcd", ("a", "bc")),  # 1 + 2 hops; a|bd takes 4
    ("ad", "bce", ("a", "bc")),  # a|bc and d|bc take 3 both, so do their new ones among each other: the first
    ("b", "acde", ("b", "ac")),  # a|c, a|e, c|e: 2 hops, and 2 hops apart; the lowest numbers
    ("c", "abd", ("c", "bd")),  # 1 + 1
    ("af", "cd", ("a", "cd")),
    ("bh", "d", ("b", "d")),  # one new keypoint
])
def test_the_closest_triple(old, new, chosen):
    expected = Triple(chosen[0], tuple(chosen[1]))
    assert automatic_triples(LIMBS, old, new) == (expected,)
    assert automatic_triples(LIMBS, old[::-1], new[::-1]) == (expected,)  # in whatever order they come


def test_ties_go_to_new_keypoints_that_are_close_to_each_other():
    ring = Skeleton(tuple("oxyz"), ((0, 1), (0, 2), (0, 3), (2, 3)))
    assert automatic_triples(ring, "o", "xyz") == (Triple("o", ("y", "z")),)  # all 2 hops; y and z are neighbours


def test_ties_that_are_left_go_to_the_closer_in_images():
    apart = np.ones((8, 8))
    apart[1, 4] = apart[4, 1] = 0.1
    assert automatic_triples(LIMBS, "b", "ace") == (Triple("b", ("a", "c")),)
    assert automatic_triples(LIMBS, "b", "ace", apart=apart) == (Triple("b", ("a", "e")),)


def test_several_triples_have_different_old_keypoints():
    assert automatic_triples(LIMBS, "be", "cdf", count=5) == (Triple("b", ("c", "d")), Triple("e", ("c", "f")))
    assert len(random_triples(LIMBS, "be", "cdf", seed=0, count=5)) == 2


def test_distances_in_images_use_labels_of_new_keypoints_only():
    skeleton = Skeleton(("old", "far", "new", "other"))
    predicted = np.array([[[0, 0], [50, 0], [9, 9], [9, 9]], [[0, 0], [50, 0], [9, 9], [9, 9]]], np.float32)
    labelled = np.array([[[7, 7], [7, 7], [3, 4], [0, 20]], [[7, 7], [7, 7], [6, 8], [0, 0]]], np.float32)
    visible = np.array([[0, 0, 1, 1], [0, 0, 1, 0]], np.float32)
    apart = mean_distances(skeleton, ["new", "other"], predicted, labelled, visible, np.array([10.0, 20.0]))
    np.testing.assert_allclose(apart[0, 1], (50 / 10 + 50 / 20) / 2)
    np.testing.assert_allclose(apart[0, 2], 0.5)  # 5 of 10 px, 10 of 20 px
    np.testing.assert_allclose(apart[0, 3], 2)  # labelled in the first image only
    triples = automatic_triples(skeleton, ["far", "old"], ["new", "other"], distance="euclid", apart=apart)
    assert triples == (Triple("old", ("new", "other")),)
    never = mean_distances(skeleton, ["new"], predicted, labelled, 0 * visible, np.ones(2))
    assert np.isinf(never[0, 2])


def test_random_triples_depend_on_the_seed_alone():
    drawn = {random_triples(LIMBS, "abc", "defg", seed=seed) for seed in range(40)}
    assert len(drawn) > 8
    assert random_triples(LIMBS, "abc", "defg", seed=[1, 2]) == random_triples(LIMBS, "cba", "gfed", seed=[1, 2])
    assert all(triple.old in "abc" and set(triple.new) <= set("defg") and len(set(triple.new)) == 2
               for (triple,) in drawn)
    assert random_triples(LIMBS, "a", "b", seed=0) == (Triple("a", ("b",)),)
