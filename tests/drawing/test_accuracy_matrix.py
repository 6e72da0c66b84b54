"""The image of accuracies by step and keypoint."""
import numpy as np
import pytest

from kpjax.drawing.accuracy_matrix import CELL, GAP, HIGH, LOW, accuracy_matrix
from kpjax.drawing.overlays import BACKGROUND

VALUES = np.array([[0.5, np.nan, 1.0, np.nan], [0.0, 0.25, 0.75, np.nan]])
INTRODUCED = np.array([0, 1, 0, 2])  # the last one never comes


def colours(image):
    return {tuple(int(part) for part in colour) for colour in np.unique(image.reshape(-1, 3), axis=0)}


def test_the_best_and_the_worst_value_have_the_ends_of_the_colours():
    image = accuracy_matrix(VALUES, INTRODUCED, ("a", "b", "c", "unused"), ("base", "step 1"))
    assert image.dtype == np.uint8
    assert {LOW, HIGH, BACKGROUND} <= colours(image)
    turned = accuracy_matrix(VALUES, INTRODUCED, ("a", "b", "c", "unused"), ("base", "step 1"), higher_is_better=False)
    assert turned.shape == image.shape
    assert (turned != image).any()


def test_keypoints_stand_in_the_order_of_their_steps_and_unused_ones_are_left_out():
    image = accuracy_matrix(VALUES, INTRODUCED, ("a", "b", "c", "unused"), ("base", "step 1"))
    swapped = accuracy_matrix(VALUES[:, [0, 2]], np.zeros(2), ("a", "c"), ("base", "step 1"))
    assert image.shape[1] - swapped.shape[1] == CELL[0] + GAP


def test_shapes_must_belong_together():
    with pytest.raises(ValueError, match="for 1 steps of 4 keypoints"):
        accuracy_matrix(VALUES, INTRODUCED, ("a", "b", "c", "d"), ("base",))
