"""Coverage of radii on drawn errors: promises are kept, and a heatmap that is taken for a distribution is not."""
import numpy as np
import pytest

from experiments.engine.own import coverage as study
from kpjax.evaluation.conformal import LEVELS


def drawn(images=120, keypoints=4, recordings=12):
    """Heavy-tailed errors whose spread falls with the score, on recordings of equal size."""
    generator = np.random.default_rng(3)
    scores = generator.uniform(0.2, 1, (images, keypoints))
    errors = generator.standard_exponential((images, keypoints)) / scores
    return study.Points(errors, scores, np.ones((images, keypoints)), np.arange(images) % recordings)


def test_widths_of_a_gaussian_hold_their_share_of_it():
    errors = np.linalg.norm(np.random.default_rng(5).normal(0, 1.7, (40_000, 1, 2)), axis=-1)
    points = study.Points(errors, np.ones_like(errors), np.ones_like(errors), np.arange(len(errors)))
    for found in (study.by_width(1.7), study.by_temperature(points)):
        shares = study.within(points, found)
        assert [shares[f"within/{level:g}"] for level in LEVELS] == pytest.approx(LEVELS, abs=0.01)


def test_halves_share_no_unit():
    units = np.repeat(np.arange(11), 7)
    half = study.halves(units, np.random.default_rng(0))
    assert not {*units[half]} & {*units[~half]}
    assert len({*units[half]}) == 5


def test_a_table_keeps_its_promise_on_the_other_half_where_a_temperature_does_not():
    points = drawn()
    images = np.arange(len(points.errors))
    by_table = study.drawn(points, study.by_table, images, 40, 0)
    for level in LEVELS:
        assert by_table[f"within/{level:g}"].mean() == pytest.approx(level, abs=0.03)
    assert study.drawn(points, study.by_temperature, images, 40, 0)["within/0.5"].mean() > 0.55


def test_points_without_a_label_do_not_count():
    points = drawn()
    hidden = points.visible.copy()
    hidden[:, 1] = 0
    without = study.Points(*(part if part.ndim == 1 else np.delete(part, 1, 1) for part in points))
    widths = study.by_width(2.0)
    assert study.within(points._replace(visible=hidden), widths) == study.within(without, widths)


def test_all_ways_are_told_and_one_recording_cannot_be_halved():
    asked = study.Asked("a", None, None, draws=3)
    ways = {way for way, *_ in study.numbers(drawn(), None, 2.0, asked)}
    assert ways == {"heatmap", "images", "temperature", "recordings", "temperature_recordings"}
    alone = {way for way, *_ in study.numbers(drawn(recordings=1), None, 2.0, asked)}
    assert alone == {"heatmap", "images", "temperature"}
