"""Coverage of radii on drawn errors: promises are kept, and a heatmap that is taken for a distribution is not."""
import numpy as np
import pytest
from own_runs import untrained_run
from PIL import Image

from experiments.engine.own import coverage as study
from experiments.engine.results import read_results
from kpjax import Skeleton
from kpjax.errors import InputError
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


def test_a_run_is_measured_on_a_project_by_the_pixels_of_its_network(tmp_path, capsys):
    """Two recordings of 20 frames of 64 px; the network, of 32 px, has learnt nothing."""
    run, rows = untrained_run(tmp_path / "runs", Skeleton(("tip", "base"))), ["image,instance,keypoint,x,y"]
    for name in (f"{recording}/{number}" for recording in ("one", "two") for number in range(20)):
        path = tmp_path / "labelled" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(path)
        rows += [f"{name}.png,0,tip,20,30", f"{name}.png,0,base,40,30"]
    (tmp_path / "labelled" / "labels.csv").write_text("\n".join(rows) + "\n")
    labels = str(tmp_path / "labelled" / "labels.csv")
    study.main(["made_up", str(run), labels, "--draws", "2", "--room", str(tmp_path)])
    found = {(one.variant, one.metric): one for one in read_results(tmp_path)}
    assert {way for way, _ in found} == {"heatmap", "images", "temperature", "recordings", "temperature_recordings"}
    assert all(one.settings == "project=made_up" and 0 <= one.value <= 1 for (_, metric), one in found.items()
               if metric.startswith("within/"))
    assert "recordings" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"run: .*no config\.json"):
        study.main(["made_up", str(tmp_path), str(tmp_path), "--room", str(tmp_path)])
