"""Errors in pixels with and without the cutoff, as numbers, as a table, as files, and in words."""

import html
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kpjax import Skeleton, arrays
from kpjax.errors import InputError
from kpjax.files import absolute, write_json
from kpjax.input.source import identities
from kpjax.lab.own.report import go_on, own_report, unknown_of
from kpjax.lab.own.semi_supervised import OWN
from kpjax.lab.reports import pixel_errors
from kpjax.lab.reports.pixel_errors import TRAINED, join_animals, wrap_lines, write_errors
from kpjax.lab.reports.sheets import MOST, Compared, crop_to_animal
from kpjax.lab.reports.verdict import verdict
from kpjax.papers.configs import config_as_json, replace_fields
from kpjax.papers.reports.report import Column, Entry, tabulate
from kpjax.training.evaluation import labels_of

NAMES = ("snout", "left ear", "tail")
CUTOFFS = np.full(3, 0.3)


def made(errors, *, part=pixel_errors.HELD_OUT, scores=None, length=100.0, folder="day 1", first=0):
    """Animals whose predictions lie to the right of their labels by `errors` (N, K); nan is not
    labelled.
    """
    errors = np.asarray(errors, np.float64)
    count, keypoints = errors.shape
    true = np.stack(
        np.broadcast_arrays(np.arange(keypoints) * 10.0, np.full(errors.shape, 7.5)), -1
    )
    predicted = true + np.stack([np.nan_to_num(errors), np.zeros_like(errors)], -1)
    return pixel_errors.Animals(
        NAMES[:keypoints],
        (part,) * count,
        tuple(Path(f"/data/{folder}/img{n:03d}.png") for n in range(first, first + count)),
        (None,) * count,
        ("",) * count,
        np.full(count, length),
        true,
        np.isfinite(errors).astype(np.float32),
        predicted,
        np.ones(errors.shape) if scores is None else np.asarray(scores, np.float64),
        ~np.isfinite(errors),
        np.full(count, np.nan),
    )


def test_errors_with_and_without_the_cutoff():
    animals = made([[1, 20, np.nan], [3, 4, 30]], scores=[[1, 0.1, 0], [1, 0.5, 0.2]])
    found = pixel_errors.errors_of(animals, np.full(3, 0.5))
    assert found["snout"] == (2, 2.0, 2.0, 2.0, 0, 0, 0, 1.0, 0.02)
    assert found["left ear"][:5] == (2, 12.0, 12.0, 4.0, 1)
    assert found["tail"].hidden == 1
    assert np.isnan(found["tail"].shown)
    assert found[pixel_errors.ALL][:2] == (5, 4.0)
    assert found[pixel_errors.ALL].mean == pytest.approx(58 / 5)
    assert found[pixel_errors.ALL].shown == pytest.approx(8 / 3)
    assert (found[pixel_errors.ALL].hidden, found[pixel_errors.ALL].found) == (2, 0.6)
    metrics = pixel_errors.metrics_of(animals, np.full(3, 0.5))
    assert metrics["held_out/px"] == pytest.approx(58 / 5)
    assert (metrics["held_out/px/snout"], metrics["held_out/hidden"]) == (2.0, 2.0)


def test_each_keypoint_has_its_cutoff_and_empty_cells_that_are_drawn_stand_beside_hidden_points():
    animals = made(
        [[1, 2, np.nan], [3, np.nan, np.nan], [2, 2, 2]],
        scores=[[0.3, 0.9, 0.6], [0.2, 0.6, 0.1], [1, 1, 1]],
    )
    cutoffs = np.array([0.25, 0.5, 0.5])
    found = pixel_errors.errors_of(animals, cutoffs)
    counts = {name: (one.hidden, one.empty, one.drawn) for name, one in found.items()}
    whole = (1, 3, 2)
    assert counts == {
        "snout": (1, 0, 0),
        "left ear": (0, 1, 1),
        "tail": (0, 2, 1),
        pixel_errors.ALL: whole,
    }
    metrics = pixel_errors.metrics_of(animals, cutoffs)
    assert (metrics["held_out/empty"], metrics["held_out/empty_drawn"]) == (3, 2)
    lines = pixel_errors.table_lines(animals, cutoffs)
    assert [line.split()[-4:-1] for line in lines if line.startswith("tail")] == [["1", "of", "2"]]
    assert any("0.25 to 0.5 by keypoint" in line for line in lines)
    # a part without empty cells has no column of dashes
    labelled = made([[1, 2, 3]], part=TRAINED)
    lines = pixel_errors.table_lines(join_animals([animals, labelled]), cutoffs)
    titles, more = [line for line in lines if line.startswith("keypoint")]
    assert "empty, drawn" in titles
    assert "empty, drawn" not in more
    assert [line.count("–") for line in lines if line.startswith("tail")][-1] == 0
    said = " ".join(verdict(animals, cutoffs))
    assert "Of 3 cells that you left empty there, 2 are drawn" in said


def test_of_many_animals_that_were_learnt_from_a_sample_is_measured_and_said(tmp_path, monkeypatch):
    """All of them are in errors.csv, by which it is known what the run has seen."""
    monkeypatch.setattr(pixel_errors, "SAMPLE", 2)
    points = np.tile(np.array([[3.0, 4], [9, 9]], np.float32), (5, 1, 1))
    seen = np.ones((5, 2), np.float32)
    seen[1, 1] = 0
    images = np.zeros((5, 16, 16, 3), np.uint8)
    source = replace(
        arrays(images, points, seen, Skeleton(NAMES[:2]), "animals"),
        names=tuple(f"{n}.png" for n in range(5)),
    )
    some = pixel_errors.sample_of(TRAINED, source)
    assert identities(some) == ("0.png", "4.png")
    assert pixel_errors.sample_of(pixel_errors.HELD_OUT, source) is source
    labels = labels_of(some)
    found = {pixel_errors.OF_PART + TRAINED: labels._replace(keypoints=labels.keypoints + [3, 4])}
    parts = {TRAINED: pixel_errors.Part(source, tmp_path)}
    animals = pixel_errors.animals_of(
        parts, pixel_errors.beyond_sample(parts, found), empty="absent"
    )
    errors = pixel_errors.errors_of(animals, CUTOFFS[:2])[pixel_errors.ALL]
    assert (errors.labels, errors.mean, errors.hidden, errors.empty) == (4, 5.0, 0, 0)
    assert pixel_errors.frames_text(animals) == "trained on: 5 frames; errors are of 2 of them"
    without = animals._replace(scores=np.where(np.isnan(animals.scores), 0, animals.scores))
    assert pixel_errors.frames_text(without).endswith("; errors are of 2 of them")
    write_errors(tmp_path, animals, CUTOFFS[:2])
    read = pixel_errors.read_errors(tmp_path, NAMES[:2])
    assert read.images == animals.images
    assert pixel_errors.errors_of(read, CUTOFFS[:2])[pixel_errors.ALL] == errors


def test_a_run_that_has_not_learnt_its_labels_gives_the_command_that_goes_on(tmp_path):
    """In a folder that is not there yet, on the same projects, held-out part and meaning of empty cells."""
    folder = tmp_path / "runs" / "semi_supervised" / "own"
    run = folder / "supervised_warped" / "seed-0"
    run.mkdir(parents=True)
    own = {
        "more_projects": ["day 2"],
        "validation": "cam a",
        "empty": "absent",
        "empty_frames": "unlabelled",
    }
    data = {"project": "day 1", "unlabelled": [], "labelled": 1.0, "own": own}
    data |= {"transform": "letterbox", "unlabelled_pool": "rest"}
    stored = {"config": {"data": data}, "why": {"transform": "one animal on a frame"}}
    (run / "config.json").write_text(json.dumps(stored))

    def left(worst):
        finished = SimpleNamespace(metrics={"labelled/left_of_worst": worst})
        entry = SimpleNamespace(variant="supervised_warped")
        line = SimpleNamespace(runs=SimpleNamespace(finished=[finished]), entry=entry)
        return go_on(SimpleNamespace(line=line, folder=run), f"{tmp_path}/runs-3")

    assert left(0.2) == left(float("nan")) == []
    (said,) = left(0.5)
    assert "50% of the error of empty heatmaps is left" in said.text
    assert shlex.split(said.command) == [  # a line that can be pasted
        *("kpjax", "train", "--project", "day 1", "--project", "day 2", "--validation", "cam a"),
        *("--empty", "absent", "--variants", "supervised_warped", "--start", str(run)),
        *("--workdir", f"{tmp_path}/runs-3"),
    ]


def test_the_command_that_goes_on_says_how_the_project_is_read_as_the_first_one_did(tmp_path):
    """All that was typed of a project and its frames, and nothing that was chosen from them."""
    folder = tmp_path / "runs" / "semi_supervised" / "own"
    run = folder / "supervised_warped" / "seed-0"

    def typed_again(*why, **values):
        config = replace_fields(OWN, project="P", **values)
        reasons = dict.fromkeys(why, "chosen")
        write_json(run / "config.json", {"config": config_as_json(config), "why": reasons})
        finished = SimpleNamespace(metrics={"labelled/left_of_worst": 0.9})
        entry = SimpleNamespace(variant="supervised_warped")
        line = SimpleNamespace(runs=SimpleNamespace(finished=[finished]), entry=entry)
        (said,) = go_on(SimpleNamespace(line=line, folder=run), f"{folder}-2")
        words = shlex.split(said.command)
        assert words[:4] == ["kpjax", "train", "--project", "P"]
        assert words[-6::2] == ["--variants", "--start", "--workdir"]
        return words[4:-6]

    assert typed_again("transform", "every", transform="around_box", every=3) == []
    assert typed_again(
        *("transform", "every"),
        **{"video_root": "/my videos", "pixels_from": "1", "box_side": 60.0, "drop_zeros": True},
        **{"occluded": "drop", "on_bad_frame": "skip", "unlabelled_pool": "none"},
        category="mouse",
    ) == [
        *("--unlabelled-pool", "none", "--category", "mouse", "--video-root", "/my videos"),
        *("--pixels-from", "1", "--box-side", "60.0", "--drop-zeros", "--occluded", "drop"),
        *("--on-bad-frame", "skip"),
    ]
    assert typed_again(transform="letterbox", every=5) == [
        *("--transform", "letterbox", "--every", "5")
    ]


def test_errors_lie_in_the_bucket_of_their_run(bucket):
    folder = absolute("gs://box/runs/seed-0")
    animals = made([[1.0, 2, 3]])
    pixel_errors.write_errors(folder, animals, np.full(3, 0.25))
    assert {one.rpartition("/")[2] for one in bucket.puts} == {
        "errors.csv",
        "errors_by_keypoint.csv",
    }
    np.testing.assert_allclose(pixel_errors.read_errors(folder, NAMES).distances, animals.distances)


def test_what_is_written_is_read_again(tmp_path):
    learnt = made([[1.0, 1, 1]] * 2, part=pixel_errors.TRAINED, first=5)
    animals = pixel_errors.join_animals([made([[2.0, np.nan, 4.5]]), learnt])
    animals = animals._replace(frames=(None, 3, 4), instances=("", "animal 0", "animal 1"))
    pixel_errors.write_errors(tmp_path, animals, np.full(3, 0.25))
    found = pixel_errors.read_errors(tmp_path, NAMES)
    for field in ("names", "parts", "images", "frames", "instances"):
        assert getattr(found, field) == getattr(animals, field)
    np.testing.assert_allclose(found.distances, animals.distances)
    np.testing.assert_array_equal(found.visible, animals.visible)
    np.testing.assert_array_equal(found.empty, animals.empty)
    assert found.scores[0, 1] == 1  # of an empty cell
    assert pixel_errors.read_errors(tmp_path / "nothing") is None
    assert (
        "trained on,snout,2,1,1,1,0,0,0,0.25,100"
        in (tmp_path / "errors_by_keypoint.csv").read_text().splitlines()
    )
    for content in ((tmp_path / "errors.csv").read_text().replace("4.5", "far"), "x,y\n1,2\n"):
        (tmp_path / "errors.csv").write_text(content)
        with pytest.raises(InputError, match=r"errors\.csv: cannot be read"):
            pixel_errors.read_errors(tmp_path)


def test_labels_of_the_target_judge_before_those_held_out_and_a_line_warns_of_choosing_by_them():
    of_target = made([[9.0] * 3] * 2, part=pixel_errors.TARGET)
    held = made(np.full((12, 3), 4.0), first=50)
    said = verdict(pixel_errors.join_animals([of_target, held]), CUTOFFS)
    assert "On 2 frames of the target" in said[0]
    assert "the mean error is 9.0 px" in said[0]
    assert "is selecting on the test set" in said[1]
    (alone,) = verdict(held, CUTOFFS)
    assert "the mean error is 4.0 px" in alone


LEARNT = made(np.full((20, 3), 4.0), part=pixel_errors.TRAINED, first=50)


def test_frames_that_show_nobody_have_no_error_and_no_picture():
    """Six frames of which two are empty; warnings of empty means would be errors."""
    held = made(
        [[4.0] * 3] * 4 + [[np.nan] * 3] * 2, scores=[[0.9] * 3] * 4 + [[0.1, 0.1, 0.5]] * 2
    )
    both = pixel_errors.join_animals([held, LEARNT])
    assert held.worst_first() == [0, 1, 2, 3]
    found = pixel_errors.errors_of(held, CUTOFFS)
    assert (found["tail"].empty, found["tail"].drawn, found["tail"].mean) == (2, 2, 4.0)
    assert "Of 6 cells that you left empty there, 2 are drawn" in verdict(both, CUTOFFS)[-1]


def test_a_held_out_part_without_a_label_has_no_error():
    """Its median and share were nan."""
    held = made([[np.nan] * 3] * 2, scores=[[0.1] * 3] * 2)
    both = pixel_errors.join_animals([held, LEARNT])
    said = verdict(both, CUTOFFS)
    assert said == ["No keypoint is labelled on 2 frames, so the error on new ones is unknown."]


# Predictions beside labels on crops of the original images

TRUE = np.array([[300.0, 200.0], [340.0, 230.0]])
ONE = Compared(TRUE + 4.0, np.array([0.9, 0.1]), TRUE, np.ones(2))
IMAGE = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)


def test_a_crop_keeps_the_pixels_of_the_image_and_moves_the_points_along():
    image, one = crop_to_animal(IMAGE, ONE, np.full(2, 0.5))
    assert 360 <= max(image.shape[:2]) < 720
    factor = np.diff(one.true, axis=0) / np.diff(TRUE, axis=0)
    np.testing.assert_allclose(factor, round(factor[0, 0]))  # enlarged by a whole factor
    np.testing.assert_allclose(one.predicted - one.true, 4.0 * factor.repeat(2, 0))
    assert (one.true > 0).all()
    assert (one.true < image.shape[1::-1]).all()
    corners = np.array([[10.0, 10.0], [2900.0, 1900.0]])
    wide = Compared(corners, np.ones(2), corners, np.ones(2))
    large, moved = crop_to_animal(np.zeros((2000, 3000, 3), np.uint8), wide, np.full(2, 0.5))
    assert max(large.shape) == MOST
    assert (moved.true < large.shape[1::-1]).all()


def test_the_part_around_a_single_label_has_a_quarter_of_the_longer_side():
    alone = ONE._replace(visible=np.array([1.0, 0.0]))
    image, one = crop_to_animal(IMAGE, alone, np.full(2, 0.5))
    factor = np.diff(one.true, axis=0)[0] / np.diff(TRUE, axis=0)[0]
    assert image.shape[1] / factor[0] >= 0.25 * 640


# The page about the runs in a folder: nothing is cut or fetched

COLUMNS = (Column("test/pck", "PCK", "%", 100.0), Column("old/pck", "of old keypoints", "%", 100.0))
COMMAND = shlex.join(["kpjax", "train", "--project", "/home/me/my data/mice"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two variants' runs, whose images are not there any more, and a video of predictions."""
    folder = tmp_path_factory.mktemp("my runs") / "semi_supervised" / "own"
    for variant, error in (("supervised_warped", 4.0), ("sskl", 5.0)):
        run = folder / variant / "seed-0"
        run.mkdir(parents=True)
        (run / "results.json").write_text(
            json.dumps(
                {
                    "experiment": "semi_supervised",
                    "preset": "own",
                    "variant": variant,
                    "seed": 0,
                    "steps": 300,
                    "config": {},
                    "metrics": {"test/pck": 0.864, "old/pck": 0.5, "held_out/px": error},
                }
            )
        )
        (run / "config.json").write_text(json.dumps({"config": {}}))
        (run / "skeleton.json").write_text(
            json.dumps({"names": NAMES, "edges": [], "flip": [], "groups": {}})
        )
        write_errors(
            run,
            join_animals(
                [
                    made(np.full((12, 3), error), folder="<b>"),
                    made(np.full((20, 3), 3.5), part=TRAINED, first=50),
                ]
            ),
            np.full(3, 0.25),
        )
        rows = [
            {
                "step": step,
                "loss/total": 1 / step,
                "validation/distance": 9 - step / 100,
                "validation/pck": 0.5,
            }
            for step in (100, 200, 300)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "points").mkdir()
    (folder / "points" / "a video_overlay.mp4").touch()
    return folder


def test_the_best_run_is_shown_in_pixels_with_videos_beside_the_page_and_nothing_is_fetched(
    folder, capsys
):
    lines = tabulate(
        folder, [Entry("sskl", "method"), Entry("supervised_warped", "control")], COLUMNS
    )
    page, shown = own_report(
        folder, lines, COLUMNS, summary="<b>/mice", notes=["MobileNetV2"], command=COMMAND
    )
    assert shown == folder / "supervised_warped" / "seed-0"
    text, said = page.read_text(), capsys.readouterr().out
    assert (
        "of old keypoints"
        in text.partition("This page shows supervised_warped")[2].partition("Details")[0]
    )
    for shown in (text, said):
        assert "the mean error is 4.0 px" in " ".join(shown.split())
        assert "cannot be known" not in shown
    assert "no pictures in the report: " in said
    assert "what is wrong with these points, worst first:" in said
    assert COMMAND in html.unescape(text)
    assert '<video controls loop preload="metadata" src="points/a%20video_overlay.mp4"' in text
    for word in ("<script", "http://", "https://", "@import", "<b>/"):
        assert word not in text
    assert own_report(folder, [], COLUMNS, summary="", notes=[], command=COMMAND) is None


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        ({"project": "my mice", "own": {}}, " --labelled 'my mice'"),
        ({"source": "renders", "target": ["V"], "own": {}}, " --labelled renders"),
        (
            {"project": "P", "own": {"video_root": "/v", "drop_zeros": True, "box_side": 9.0}},
            " --labelled P --video-root /v --drop-zeros",
        ),
        ({"project": "P", "own": {"more_projects": ["Q"]}}, ""),
        ({"project": "P", "source": "Q", "own": {}}, ""),
        ({}, ""),
    ],
)
def test_frames_to_label_next_keep_away_from_those_of_the_runs_project(
    data, flags, folder, tmp_path
):
    """The command knew nothing of labels, and wrote for no tool. box_side was chosen."""
    copy = tmp_path / "semi_supervised" / "own"
    shutil.copytree(folder, copy)
    run = copy / "supervised_warped" / "seed-0"
    write_json(run / "config.json", {"config": {"data": data}, "why": {"box_side": "chosen"}})
    lines = tabulate(copy, [Entry("supervised_warped", "control")], COLUMNS)
    page, _ = own_report(copy, lines, COLUMNS, summary="", notes=[], command=COMMAND)
    shown = html.unescape(page.read_text())
    assert f"<pre>kpjax suggest {run} VIDEO{flags} --out to_label</pre>" in shown


@pytest.mark.parametrize(
    ("data", "known"),
    [
        ({"target": "V", "source": "P"}, False),
        ({"target": "V", "target_project": "Q"}, True),
        ({}, True),
    ],
)
def test_without_labels_of_the_target_errors_are_of_the_source(folder, data, known):
    (folder / "sskl" / "seed-0" / "config.json").write_text(json.dumps({"config": {"data": data}}))
    assert (not unknown_of(folder / "sskl" / "seed-0")) == known


def test_lines_of_a_screen_never_break_a_flag():
    flags = [f"--warm-start-learning-rate-{number}" for number in range(20)]
    lines = wrap_lines(" ".join(["chosen:", *flags])).splitlines()
    assert max(map(len, lines)) <= 110
    assert all(line.startswith("    ") for line in lines[1:])
    assert [word for line in lines for word in line.split()] == ["chosen:", *flags]
