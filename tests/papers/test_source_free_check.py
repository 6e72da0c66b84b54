"""The check of adaptation without the source: what counts as agreement, and what is kept where it
fails.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from kpjax.input.source import arrays
from kpjax.papers import source_free
from kpjax.papers.engine import Outcome, Stage
from kpjax.papers.source_free import (
    Disagreement,
    adapted_or_start,
    check_of,
    familiar,
    split_target,
    start_of,
)
from kpjax.structures import Skeleton, Trained
from kpjax.training.evaluation import Gathered
from kpjax.training.fit import Evaluation

# diagonals of 56.6 px: 5.7 px are near
POINTS = np.tile(np.float32([[10, 10], [10, 50], [50, 10]]), (4, 1, 1))
SCORES = np.float32([[0, 9, 9], [1, 8, 8], [2, 7, 7], [3, 6, 6]])


def found(points, scores=SCORES):
    return Gathered(points, scores, *(np.zeros(1),) * 5)


def moved(*places, by):
    points = POINTS.copy()
    for image, keypoint in places:
        points[image, keypoint, 0] += by
    return points


def checked(monkeypatch, teacher, student, least=0.8):
    answers = {"start": POINTS, "teacher": teacher, "student": student}
    monkeypatch.setattr(
        source_free,
        "predict_source",
        lambda method, state, *rest, **more: found(answers[state.variables]),
    )
    check = check_of(None, Trained("start", {}), range(4), batch_size=8, least=least)
    return check(SimpleNamespace(variables="teacher", other="student", frozen={}, step=7))


def test_only_sure_points_of_the_start_must_stay(monkeypatch):
    unsure = moved((0, 0), (1, 0), (2, 1), (3, 2), by=30)
    assert checked(monkeypatch, unsure, unsure) == {"agreement/start": 1, "agreement/networks": 1}
    near = moved((2, 0), (3, 0), by=5)
    assert checked(monkeypatch, near, near)["agreement/start"] == 1
    sure = moved((2, 0), (3, 0), by=6)
    with pytest.raises(
        Disagreement, match=r"step 7: 67 of 100 sure points of the start stay .* fewer than 80"
    ):
        checked(monkeypatch, sure, sure)
    assert checked(monkeypatch, sure, sure, least=0.6)["agreement/start"] == pytest.approx(4 / 6)


def test_teacher_and_student_must_agree_on_all_points(monkeypatch):
    with pytest.raises(
        Disagreement, match="67 of 100 points of teacher and student are the same on 4"
    ):
        checked(monkeypatch, POINTS, moved((0, 0), (1, 0), (2, 1), (3, 2), by=30))


def test_the_start_is_kept_where_the_check_fails(capsys):
    start = Outcome(None, Trained({"a": 1}, {}), 3)
    stage = Stage("adapted", 5, None, start)
    values = {"agreement/start": 0.9, "agreement/networks": 0.95}
    done = start._replace(steps=8, evaluations=(Evaluation(5, values),))

    def outcome(answer):
        asked = adapted_or_start(stage, "adapted, seed 0")
        assert next(asked) is stage
        with pytest.raises(StopIteration) as end:
            answer(asked)
        return end.value.value

    kept = outcome(lambda asked: asked.throw(Disagreement("step 3: they differ")))
    assert kept == start._replace(metrics={"kept_start": 1.0})
    assert "the start is kept: step 3: they differ" in capsys.readouterr().out
    adapted = outcome(lambda asked: asked.send(done))
    assert adapted == done._replace(metrics={"kept_start": 0.0, **values})
    assert "90.0 of 100 sure points of the start stay, and 95.0 of 100" in capsys.readouterr().out


def test_the_check_sees_the_last_tenth_which_nothing_learns_from():
    source = arrays(
        np.arange(40, dtype=np.uint8).repeat(12).reshape(40, 2, 2, 3),
        np.zeros((40, 1, 2)),
        np.zeros((40, 1)),
        Skeleton(("nose",)),
        "target",
    )
    learnt, held = split_target(source)
    assert (len(learnt), len(held)) == (36, 4)
    assert [int(held[number].image[0, 0, 0]) for number in range(4)] == [36, 37, 38, 39]


def test_a_target_is_familiar_from_a_quantile_of_the_held_out_scores_on():
    edges, scores = np.linspace(0, 1, 11), np.array([[0.1, 0.29], [0.31, 0.9]])
    assert familiar(scores, edges, 0.31) == ""
    assert "70 of 100 on its own held-out images have 0.3 or more" in familiar(scores, edges, 0.3)
    assert familiar(scores, np.full(11, np.nan), 0.3) == familiar(scores, np.array([]), 0.3) == ""
    assert familiar(scores, edges, 1.0) == ""


def test_a_start_has_the_cutoffs_that_its_run_knows_as_finite_numbers():
    """`load_trained` refuses others; without a cutoff the start is as it was."""
    assert set(start_of({"params": {}}, None)) == {"variables"}
    assert set(start_of({"params": {}}, None, np.full(3, -np.inf))) == {"variables"}
    cutoffs = start_of({"params": {}}, None, np.array([0.25, -np.inf, 0.5]))["cutoffs"]
    assert cutoffs.dtype == np.float32
    assert np.isfinite(cutoffs).all()
    np.testing.assert_array_equal(np.float32([0.25, -1e29, 0.4]) >= cutoffs, [True, True, False])
