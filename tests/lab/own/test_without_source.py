"""A finished run that is adapted to images without labels: whether there is anything to gain."""

from types import SimpleNamespace

import numpy as np
import pytest

from kpjax.lab.animals.calibration import ScoreTable, table_as_json
from kpjax.lab.animals.conformal import radius_table
from kpjax.lab.own.without_source import cutoffs_of_absence, familiar

OLD, NEW = 6, 2


def scores_of(images, seed, new=0.9):
    """The old keypoints have lower scores than the new ones."""
    means = np.repeat([0.3, new], [OLD, NEW])
    return np.random.default_rng(seed).normal(means, 0.02, (images, OLD + NEW))


@pytest.fixture
def start():
    """A run that added keypoints to an older one: held-out images have labels of the new ones
    alone."""
    scores = scores_of(40, 0)
    visible = np.tile(np.repeat([0, 1], [OLD, NEW]), (40, 1))
    deciles = np.quantile(scores[visible > 0], np.linspace(0, 1, 11))
    table = table_as_json(radius_table(np.ones(scores.shape), scores, visible))
    cutoffs = np.zeros(OLD + NEW)
    return SimpleNamespace(
        score=ScoreTable("mse_peak", cutoffs, deciles), files={"radius_table.json": table}
    )


def test_a_run_with_added_keypoints_knows_images_like_its_own(start):
    """The scores of all keypoints lay below the deciles of the new ones, on its own images, too."""
    assert "0.9 or more" in familiar(start, scores_of(200, 1), 0.3)
    assert familiar(start, scores_of(200, 1, new=0.7), 0.3) == ""


def test_without_a_number_of_labels_all_keypoints_are_compared(start):
    start.files.clear()
    assert familiar(start, scores_of(200, 1), 0.3) == ""


@pytest.mark.parametrize(
    ("empty", "used"), [("absent", True), ("often", False), ("unlabelled", False)]
)
def test_cutoffs_silence_points_only_where_absence_was_taught(start, empty, used):
    """A network that never learnt an empty map has low scores of right points on other images."""
    start.score = start.score._replace(empty=empty)
    found = cutoffs_of_absence(start)
    assert (found is not None) == used
    of_softmax = SimpleNamespace(score=start.score._replace(kind="softmax_peak"))
    assert cutoffs_of_absence(of_softmax) is None
    start.score = start.score._replace(cutoffs=np.full(OLD + NEW, -np.inf))
    assert cutoffs_of_absence(start) is None
