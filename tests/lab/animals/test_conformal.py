"""Conformal radii: coverage on exchangeable draws, and small cases counted by hand; what a run's
scores mean, as a file.
"""

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.files import write_json
from kpjax.lab.animals import conformal
from kpjax.lab.animals.calibration import (
    ScoreTable,
    cutoffs_text,
    read_score_table,
    table_as_json,
)


def draws(seed, images=200, keypoints=4):
    """Errors that grow as the score falls, with heavy tails; keypoint k errs by k + 1 times as
    much.
    """
    generator = np.random.default_rng(seed)
    scores = generator.random((images, keypoints))
    errors = (
        generator.gamma(1.5, size=scores.shape)
        * (1 + 20 * (1 - scores) ** 3)
        * np.arange(1, keypoints + 1)
    )
    return errors, scores, np.ones(scores.shape)


def table_of(errors, levels=conformal.LEVELS, **choices):
    errors = np.asarray(errors, float)
    return conformal.radius_table(
        errors, np.ones(errors.shape), np.ones(errors.shape), levels=levels, **choices
    )


def coverage(table, errors, scores, visible):
    """The share of each keypoint's points within their radii, (L, K)."""
    return np.stack(
        [(errors <= conformal.radii(table, scores, level=level)).mean(0) for level in table.levels]
    )


def mean_and_error(shares):
    return np.mean(shares), np.std(shares) / np.sqrt(len(shares))


@pytest.mark.parametrize(("count", "level"), [(9, 0.9), (12, 0.8), (35, 0.5), (39, 0.95)])
def test_coverage_is_that_of_the_order_statistic(count, level):
    """Of n + 1 exchangeable errors, the last is among the ceil((n + 1) level) smallest with just
    that share.
    """
    generator = np.random.default_rng(0)
    inside = []
    for _ in range(500):
        errors = generator.exponential(size=(count + 1, 1))
        inside.append(
            errors[-1, 0]
            <= conformal.radii(table_of(errors[:-1], [level]), np.ones(1), level=level)[0]
        )
    expected = np.ceil((count + 1) * level - 1e-9) / (count + 1)
    assert abs(np.mean(inside) - expected) < 4 * np.sqrt(expected * (1 - expected) / 500)


def test_coverage_by_keypoint_with_a_scale_by_score():
    shares = np.array(
        [
            coverage(conformal.radius_table(*draws(seed, 80)), *draws(1000 + seed, 100))
            for seed in range(80)
        ]
    )
    assert conformal.radius_table(*draws(0, 80)).scores.size
    count = 80 - 20
    for row, level in enumerate(conformal.LEVELS):
        expected = np.ceil((count + 1) * level - 1e-9) / (count + 1)
        for keypoint in range(4):
            mean, error = mean_and_error(shares[:, row, keypoint])
            assert abs(mean - expected) < 4 * error


def test_keypoints_with_few_labels_share_the_quantile_of_their_own_points():
    errors, visible = np.arange(1.0, 41)[:, None] * [1, 1, 100], np.ones((40, 3))
    visible[19:, 2] = 0
    assert conformal.radius_table(errors, visible, visible, levels=[0.9]).quantiles.tolist() == [
        [37, 37, 1800]
    ]


def test_a_keypoint_without_any_label_has_no_radius():
    """As an old keypoint of an incremental run, whose held-out frames have labels of new ones alone: it
    had a radius of 3.
    """
    errors, visible = np.full((40, 3), 3.0), np.ones((40, 3))
    visible[:, 0] = 0
    visible[2:, 2] = 0  # one with few labels shares that of the others
    table = conformal.radius_table(errors, np.ones(errors.shape), visible)
    found = conformal.radii(table, np.ones((5, 3)))
    np.testing.assert_array_equal(found, np.tile([np.inf, 3, 3], (5, 1)))
    assert conformal.without_label(table).tolist() == [True, False, False]
    too_few = table_of(errors[:0])  # nothing is known of any of them
    assert not conformal.without_label(too_few).any()


def test_points_of_an_image_share_one_weight():
    """Thirty animals on one image and three images of one: each of the four weighs a fifth."""
    errors = np.r_[np.arange(30), 100, 200, 300][:, None]
    table = table_of(errors, [0.1, 0.2, 0.5, 0.8, 0.9], images=["a"] * 30 + ["b", "c", "d"])
    assert table.quantiles[:, 0].tolist() == [14, 29, 200, 300, np.inf]
    assert table.images == 4


@pytest.mark.parametrize("recordings", [1, 2, 6])
def test_radii_of_few_recordings_hold_on_another_one(recordings):
    """Those of their images alone hold less often."""
    stretched, alone = [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        names = np.repeat(np.arange(recordings + 1), 30)
        factors = np.exp(generator.normal(size=recordings + 1) * 0.4)[names]
        errors = generator.gamma(1.5, size=(len(names), 3)) * factors[:, None]
        held, new = errors[names < recordings], errors[names == recordings]
        for shares, given in ((stretched, names[names < recordings]), (alone, None)):
            table = table_of(held, [0.9], recordings=given)
            shares.append((new <= conformal.radii(table, np.ones(new.shape))).mean())
    assert 0.87 < np.mean(stretched) < 0.94
    assert np.mean(alone) < np.mean(stretched)


def test_each_recording_is_left_out_in_turn():
    """The largest of four errs more than all others together; of a single one stretches of time are
    left out."""
    errors = np.r_[np.ones(60), np.full(20, 9.0)][:, None]
    names = np.repeat(["a", "b", "c", "d"], 20)
    shares = conformal.left_out_coverage(
        errors, errors, errors, recordings=names, images=np.arange(80), levels=[0.8]
    )
    assert shares[:, 0].tolist() == [1, 1, 1, 0]
    shares = conformal.left_out_coverage(
        errors, errors, errors, recordings=["a"] * 80, images=np.arange(80), levels=[0.5]
    )
    assert shares.shape == (conformal.BLOCKS, 1)


def test_radii_grow_with_the_level_and_fall_with_the_score():
    levels = np.arange(1, 100) / 100
    errors, scores, visible = draws(3, 150)
    visible[30:, 0] = 0  # shares some quantiles
    table = conformal.radius_table(errors, scores, visible, levels=levels)
    assert table.scores.size
    assert (np.diff(table.quantiles, axis=0) >= 0).all()
    found = conformal.radii(table, np.repeat(np.linspace(-1, 2, 50)[:, None], 4, 1))
    assert (np.diff(found, axis=0) <= 0).all()
    assert (found[0] > 3 * found[-1]).all()  # the scale tells errors apart


@pytest.mark.parametrize(
    ("images", "keypoints", "used"), [(26, 9, False), (27, 9, True), (27, 8, False)]
)
def test_scores_count_from_27_images_on_with_60_labels_in_a_quarter(images, keypoints, used):
    """Numbers that pages state: 7 of 27 images fit the scale."""
    errors = np.random.default_rng(0).uniform(1, 5, (images, keypoints))
    table = conformal.radius_table(errors, -errors, np.ones_like(errors))
    assert bool(table.scores.size) == used


def test_tied_errors_and_scores():
    table = table_of(np.full((40, 2), 3.0), [0.5, 0.9])
    assert (conformal.radii(table, np.ones((5, 2))) == 3).all()
    assert (coverage(table, np.full((4, 2), 3.0), np.ones((4, 2)), np.ones((4, 2))) == 1).all()
    zero = table_of(np.zeros((200, 2)))
    assert (conformal.radii(zero, np.ones((5, 2))) == 0).all()
    # Only two kinds of images: those of equal content must not all land on one side of the split.
    errors = np.where(np.arange(400).reshape(200, 2) % 4 < 2, 1.0, 10.0)
    table = conformal.radius_table(errors, 1 / errors, np.ones((200, 2)))
    found = conformal.radii(table, np.array([[1.0, 1.0], [0.1, 0.1]]))
    np.testing.assert_allclose(found, [[1, 1], [10, 10]])


def test_too_few_labels_give_an_infinite_radius_and_their_number():
    levels = (0.5, 0.9, 0.99)
    assert [conformal.fewest_images(level) for level in (*conformal.LEVELS, 0.99)] == [
        1,
        4,
        9,
        19,
        99,
    ]
    errors, scores, visible = draws(8, 8, 2)
    visible[:3, 1] = 0
    table = conformal.radius_table(errors, scores, visible, levels=levels)
    assert np.isinf(conformal.radii(table, scores)).all()
    assert np.isfinite(conformal.radii(table, scores, level=0.5)).all()
    assert conformal.missing(table).tolist() == [0, 1, 91]
    one_more = conformal.radius_table(*draws(8, 9, 2), levels=levels)
    assert np.isfinite(one_more.quantiles[1]).all()
    assert conformal.radii(one_more, np.ones((1, 2)))[0, 0] > np.median(draws(8, 9, 2)[0])
    assert conformal.radii(one_more, [np.nan, 0.5])[0] == np.inf
    for images in (0, 3):
        nothing = conformal.radius_table(*(np.zeros((images, 2)),) * 3)
        assert np.isinf(conformal.radii(nothing, np.ones((1, 2)))).all()
        assert conformal.missing(nothing).tolist() == [1, 4, 9, 19]


def test_a_table_is_read_as_it_was_written(tmp_path):
    assert conformal.read_radius_table(tmp_path) is None
    errors, scores, visible = draws(10, 150)
    for table in (
        conformal.radius_table(errors, scores, visible, levels=(0.9, 0.999)),
        conformal.radius_table(errors[:5], scores[:5], visible[:5], recordings=list("aabbc")),
    ):
        assert np.isinf(table.quantiles).any()
        write_json(tmp_path / "radius_table.json", table_as_json(table))
        read = conformal.read_radius_table(tmp_path)
        for a, b in zip(read, table, strict=True):
            assert np.array_equal(a, b)
            assert np.asarray(a).dtype == np.asarray(b).dtype
        assert np.array_equal(conformal.radii(read, scores), conformal.radii(table, scores))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"levels"', '"steps"'),
        ('"images"', '"frames"'),
        ("0.5", "0.85"),
        ("0.5,", ""),
        ("{", "["),
        ("0.5", '"nan"'),
    ],
)
def test_a_broken_table_is_named(tmp_path, before, after):
    table = conformal.radius_table(*draws(11, 20))
    path = write_json(tmp_path / "radius_table.json", table_as_json(table))
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(InputError, match=r"radius_table\.json"):
        conformal.read_radius_table(tmp_path)


# What scores mean


def test_the_meaning_of_scores_is_read_as_it_was_written(tmp_path):
    table = ScoreTable("mse_peak", np.array([0.25, -np.inf]), np.linspace(0, 1, 11), "absent")
    assert read_score_table(tmp_path) is None
    path = write_json(tmp_path / "score_table.json", table_as_json(table))
    read = read_score_table(tmp_path)
    np.testing.assert_array_equal(read.cutoffs, table.cutoffs)
    np.testing.assert_array_equal(read.deciles, table.deciles)
    assert (read.kind, read.empty) == ("mse_peak", "absent")
    for wrong in ('{"kind": "mse_peak"}', path.read_text().replace("absent", "gone")):
        path.write_text(wrong)
        with pytest.raises(InputError, match=r"score_table.json: cannot be read"):
            read_score_table(tmp_path)


def test_cutoffs_in_words():
    assert cutoffs_text(np.array([0.25, 0.25])) == "0.25"
    assert cutoffs_text(np.array([0.5, -np.inf, 0.25])) == "0.25 to 0.5 by keypoint"
    assert cutoffs_text(np.array([-np.inf])) == ""
