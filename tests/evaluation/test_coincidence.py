"""Keypoints that are one point in predictions and not in labels, by cases that are counted by hand."""

import json
import math

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.evaluation.coincidence import (
    Coinciding,
    coinciding,
    from_json,
    label_distances,
    one_point,
    sentences,
    suspicious,
)
from kpjax.files import strict

NAMES = ("left paw", "right paw", "nose")


def labels(apart, *, visible=None):
    """Labels of animals of 200 px whose paws are so far apart, px, with the nose 100 px away."""
    apart = np.asarray(apart, float)
    points = np.zeros((len(apart), 3, 2))
    points[:, 1, 0], points[:, 2, 1] = apart, 100
    visible = np.ones(points.shape[:2]) if visible is None else np.asarray(visible)
    return label_distances(points, visible, np.full(len(apart), 200.0), NAMES, size=50.0)


def predictions(apart, size=200.0):
    apart = np.asarray(apart, float)
    points = np.zeros((len(apart), 3, 2))
    points[:, 1, 0], points[:, 2, 1] = apart, 100
    return points, np.full(len(apart), size)


def test_distances_of_labels_are_counted_where_both_are_labelled():
    visible = np.ones((4, 3))
    visible[3, 1] = 0  # whose distance of 0 is no label
    known = labels([70, 42, 1.5, 0], visible=visible)
    np.testing.assert_array_equal(known.animals, [[0, 3, 4], [3, 0, 3], [4, 3, 0]])
    np.testing.assert_array_equal(known.one_point, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert known.closest[0, 1] == known.closest[1, 0] == 1.5 / 200
    assert known.closest[0, 2] == 0.5
    assert np.isinf(np.diag(known.closest)).all()


def test_coordinates_of_what_is_not_labelled_are_never_read():
    points = np.full((2, 3, 2), np.nan)
    known = label_distances(points, np.zeros((2, 3)), np.array([np.nan, 0]), NAMES)
    assert not known.animals.any()
    assert np.isinf(known.closest).all()
    assert not suspicious(known, 1.0).any()  # no labels say that they are ever apart


def test_two_paws_on_one_place_are_found_and_named_first():
    """The mouse of which the left and the right hind paw were one dot on 99 of 100 frames."""
    known = labels(np.linspace(42, 120, 90))
    found = coinciding(*predictions([0.4] * 99 + [70]), known)
    assert found == [Coinciding(0, 1, 99, 100, 90, 0, 42 / 200)]
    assert found[0].share == 0.99
    assert sentences(found, NAMES, length=100) == [
        "left paw and right paw are one point on 99 % of 100 frames; in labels they are never closer "
        "than 21 px."
    ]
    assert "never closer than 21.0 % of the animal's length" in sentences(found, NAMES)[0]
    few = coinciding(*predictions([0.4, 0.4, 70]), known)
    assert sentences(few, NAMES, of="image")[0].startswith(
        "left paw and right paw are one point on 2 of 3 images; "
    )


@pytest.mark.parametrize("apart", [[70] * 100, [1.0] * 4 + [70] * 96, [2.1] * 100])
def test_paws_that_are_apart_or_hardly_ever_together_are_not_named(apart):
    assert coinciding(*predictions(apart), labels(np.linspace(42, 120, 90))) == []


def test_paws_that_cross_in_labels_as_often_as_in_predictions_are_not_named():
    crossing = labels([1.0] * 2 + [70] * 84)  # those of the labelled mouse
    assert coinciding(*predictions([1.0] * 6 + [70] * 94), crossing) == []
    found = coinciding(*predictions([1.0] * 85 + [70] * 15), crossing)
    assert sentences(found, NAMES) == [
        "left paw and right paw are one point on 85 % of 100 frames; in labels on 2 of 86."
    ]


@pytest.mark.parametrize(("count", "named"), [(1, False), (4, True), (20, True)])
def test_few_labels_name_a_pair_only_if_it_is_one_point_nearly_everywhere(count, named):
    known = labels([70] * count)
    assert bool(coinciding(*predictions([0.0] * 75 + [70] * 25), known)) == named
    assert coinciding(*predictions([0.0] * 4 + [70] * 96), known) == []


def test_hidden_points_and_frames_that_were_not_read_do_not_count():
    known, (points, sizes) = labels([70] * 50), predictions([0.0] * 10)
    scores = np.ones((10, 3))
    scores[5:, 1] = 0.2
    assert coinciding(points, sizes, known, scores=scores, cutoff=0.5)[0].animals == 5
    by_keypoint = np.array([0.5, 0.1, 0.5])
    assert coinciding(points, sizes, known, scores=scores, cutoff=by_keypoint)[0].animals == 10
    points[:2] = np.nan
    found = coinciding(points, sizes, known, scores=scores, cutoff=0.5)[0]
    assert (found.animals, found.of) == (3, 8)
    assert not one_point(points, np.full(10, np.nan), scores > 0).any()


def test_animals_of_unknown_size_change_nothing():
    """They cannot be one point, and made the share of the others look small."""
    known, (points, sizes) = labels([70] * 50), predictions([0.0] * 60 + [70] * 340)
    found = coinciding(points, sizes, known)
    assert (found[0].animals, found[0].of) == (60, 400)
    unknown = np.repeat([np.nan, 0.0], 300)
    more = np.concatenate([points, np.zeros((600, 3, 2))])
    assert coinciding(more, np.concatenate([sizes, unknown]), known) == found


def test_a_pair_is_looked_at_where_both_of_its_points_are_known():
    """A run's errors.csv has no point of a cell that nobody labelled, if those count nowhere."""
    points, sizes = predictions([0.0] * 10)
    points[4:, 1] = np.nan
    (found,) = coinciding(points, sizes, labels([70] * 4))
    assert (found.animals, found.of, found.share) == (4, 4, 1.0)
    points[:, 1] = np.nan
    assert coinciding(points, sizes, labels([70] * 4)) == []


def test_distances_are_of_the_size_of_the_animal():
    known = labels([70] * 50)
    assert coinciding(*predictions([3.0] * 10), known) == []
    assert coinciding(*predictions([3.0] * 10, size=400), known)[0].animals == 10


def test_a_heap_is_all_its_pairs_and_the_rest_is_counted():
    known = labels([70] * 50)
    found = coinciding(np.zeros((10, 3, 2)), np.full(10, 200.0), known)
    assert [(pair.first, pair.second) for pair in found] == [(0, 1), (0, 2), (1, 2)]
    said = sentences(found, NAMES, most=1)
    assert len(said) == 2
    assert said[1] == "So are 2 more pairs of keypoints."


def test_what_a_run_keeps_is_read_again(tmp_path):
    known = labels([70, 42, 1.5])._replace(size=math.nan)
    kept = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in known._asdict().items()
    }
    read = from_json(json.loads(json.dumps(strict(kept))), "label_distances.json")
    for mine, theirs in zip(known, read, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for broken in (
        {},
        {**kept, "animals": [[1]]},
        {**kept, "one_point": (known.animals + 1).tolist()},
    ):
        with pytest.raises(InputError, match=r"label_distances\.json: .*copy the file again"):
            from_json(broken, "label_distances.json")
