"""What a report says first of each system, and the pictures of runs side by side."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpjax.input.source import ArraySource, arrays
from kpjax.lab.own import adaptation, incremental, pyramids
from kpjax.lab.own.report import own_report
from kpjax.lab.reports import shown as pictures_of_runs
from kpjax.lab.reports.pixel_errors import Part
from kpjax.lab.reports.shown import (
    SHOWN,
    agreeing,
    patch_side,
    read_shown,
    side_by_side,
    strips,
    write_frames,
)
from kpjax.papers.reports.report import Column, Entry, console_table, tabulate
from kpjax.structures import Skeleton
from kpjax.training.evaluation import Gathered, write_predictions
from kpjax.training.finished_runs import FinishedRun


def run_of(variant: str, metrics: dict[str, float], **config) -> FinishedRun:
    return FinishedRun(
        Path(), "s", "own", variant, 0, 100, metrics, None, None, None, None, None, config
    )


@pytest.mark.parametrize(
    ("heaped", "heaps", "words"),
    [
        (0, 0, None),
        (
            2,
            1,
            "2 of the 6 lie on top of others, in 1 heap (untrained 2): there are 5 different places.",
        ),
        (
            5,
            2,
            "5 of the 6 lie on top of others, in 2 heaps (untrained 2): the points have collapsed to 3 different "
            "places.",
        ),
    ],
)
def test_points_in_heaps_are_counted_once_and_a_collapse_is_called_one(heaped, heaps, words):
    found = {
        "following_points": 4.0,
        "heaped_points": float(heaped),
        "heaps": float(heaps),
        "live_points": 5.0,
    }
    control = run_of("untrained", {"following_points": 1.0, "heaped_points": 2.0})
    run = run_of("pyramids", found, pyramid={"level_sizes": [2, 4]})
    assert pyramids.told(run, [control]) == [
        "4 of 6 points follow something that moves (untrained 1).",
        *filter(None, [words]),
        "1 of them rest in one place, or at the border of the images.",
    ]
    assert "Nothing moves" in pyramids.told(run._replace(metrics={}), [control])[0]


@pytest.mark.parametrize(
    ("labelled", "judged"),
    [
        (
            0.0,
            "within a tenth of the animal’s length of where the old model finds them.",
        ),
        (1.0, "near their labels; with the old model 98 are."),
        (
            0.25,
            "near their labels, or without one within a tenth of the animal’s length of where the old model "
            "finds them; with the old model 98 are.",
        ),
    ],
)
def test_old_points_that_stay_are_said_with_what_judges_them(labelled, judged):
    run = run_of("kamp", {"old/pck": 0.949, "old/pck_before": 0.98, "old/labelled": labelled})
    others = [run_of("finetune", {"old/pck": 0.21}), run_of("other", {})]
    assert incremental.told(run, others) == [
        f"Old points: 95 of 100 stay (finetune 21). On held-out frames so many are {judged}"
    ]
    assert incremental.told(run._replace(metrics={}), others) == []


def test_points_that_keep_their_places_are_said_with_and_without_labels():
    found = {"kept_points": 7.0, "varying_points": 9.0, "void": 0.0, "consistency": 2.12}
    found |= {"median_spread": 17.0}
    run = run_of("adapted", found, landmarks=10, data={"image_size": 64})
    control = run_of("random_core", {"kept_points": 2.0, "forward/all": 9.0, "consistency": 5.27})
    first, rest, caution = adaptation.told(run, [control])
    assert first == (
        "7 of 10 points keep their places when an image is turned, within 3.2 of 64 px (random_core 2); on average "
        "a point is then 2.1 px off (random_core 5.3)."
    )
    assert rest.startswith("1 rest in one place")
    assert "Only labels could tell" in caution
    for spread, words in (
        (
            {"median_spread": 9.0},
            "two of them are 9.0 px apart, two points all over the image 32.6 px",
        ),
        ({"annotated_median_spread": 40.0}, "two of them are 17.0 px apart, two labels 40.0 px"),
    ):
        clump, second, *_ = adaptation.told(run._replace(metrics=found | spread), [control])
        assert clump.startswith(f"The points lie in a clump: {words}. They mark one part of")
        assert second == first
    *_, useless = adaptation.told(run._replace(metrics=found | {"kept_points": 0.0}), [control])
    assert (
        useless == "No point follows what is on the images, so nothing can be measured with them."
    )
    labelled = {"forward/all": 5.1, "mean_landmarks/all": 8.2, "void": 1.0}
    *_, collapsed, found_from = adaptation.told(run._replace(metrics=found | labelled), [control])
    assert "collapsed" in collapsed
    assert "5.1 % of the labelled extent (random_core 9.0)" in found_from
    assert "8.2 %" in found_from


NAMES = ("point_0", "point_1")


@pytest.fixture
def folder(tmp_path):
    """A method and its control, see `made_runs`."""
    return made_runs(tmp_path)


def made_runs(tmp_path, keypoints=NAMES):
    """Writes runs of a method and its control, on three images of 40 x 30 px that are halved for the
    network; point 1 is labelled on the first. Returns the folder of the preset.
    """
    crop = np.tile(np.diag([2.0, 2.0, 1.0]).astype(np.float32), (3, 1, 1))
    names = tuple(f"{n}.png" for n in range(3))
    for n, name in enumerate(names):
        image = np.zeros((30, 40, 3), np.uint8)
        image[10 : 10 + 4 * (n + 1), 20:24] = 255
        Image.fromarray(image).save(tmp_path / name)
    true = np.zeros((3, len(keypoints), 2), np.float32)
    visible = np.zeros(true.shape[:2], np.float32)
    true[0, 1], visible[0, 1] = (6, 7), 1
    source = arrays(
        np.zeros((3, 20, 20, 3), np.uint8), true, visible, Skeleton(keypoints), "images", crop=crop
    )
    source = ArraySource(source.examples, source.skeleton, source.name, names)
    for variant, at in (("adapted", 5.0), ("random_core", 3.0)):
        run = tmp_path / "adaptation" / "own" / variant / "seed-0"
        run.mkdir(parents=True)
        points = np.full(true.shape, at, np.float32)
        points[:, 1] += 4
        found = Gathered(
            points, np.ones(visible.shape), np.arange(3), true, visible, np.full(3, 20.0), crop
        )
        write_predictions(run, {SHOWN: found})
        write_frames(run, Part(source, tmp_path), keypoints)
        (run / "skeleton.json").write_text(
            json.dumps({"names": keypoints, "edges": [], "flip": [], "groups": {}})
        )
        (run / "config.json").write_text(json.dumps({"config": {}, "why": {"every": "1: all"}}))
        (run / "results.json").write_text(
            json.dumps(
                {
                    "experiment": "adaptation",
                    "preset": "own",
                    "variant": variant,
                    "seed": 0,
                    "steps": 100,
                    "config": {"steps": 100},
                    "metrics": {"consistency": at, "gone": at, "spread": at},
                }
            )
        )
    return tmp_path / "adaptation" / "own"


def test_points_are_kept_in_pixels_of_the_original_images_with_what_is_known(folder):
    shown = read_shown(folder / "adapted" / "seed-0")
    assert [path.name for path in shown.images] == ["0.png", "1.png", "2.png"]
    np.testing.assert_allclose(shown.predicted[:, 0], 10)
    np.testing.assert_allclose(shown.true[0, 1], (12, 14))
    assert np.isnan(shown.true).sum() == 2 * 5
    assert read_shown(folder) is None
    skeleton = Skeleton(NAMES)
    (title, (picture, other)), *_ = side_by_side([shown, shown], skeleton)
    assert title == "0.png"
    assert picture == other
    assert patch_side([shown]) == pytest.approx(8.0)  # at least
    assert len(strips(shown, skeleton, 8.0)) > 100
    (folder / "gone" / "seed-0").mkdir(parents=True)
    assert read_shown(folder / "gone" / "seed-0") is None


def test_without_labels_of_the_target_a_page_says_so_first_and_shows_the_last_method(
    folder, tmp_path
):
    """Not the control, which stands last: the question is what adapting has changed."""
    for variant in ("adapted", "random_core"):
        path = folder / variant / "seed-0" / "config.json"
        path.write_text(json.dumps({"config": {"data": {"source": "P", "target": "V"}}}))
    first = folder / "first"
    shutil.copytree(folder / "adapted", first)
    (first / "seed-0" / "results.json").write_text(
        (first / "seed-0" / "results.json").read_text().replace("adapted", "first")
    )
    entries = [
        Entry("first", "method"),
        Entry("adapted", "method"),
        Entry("random_core", "control"),
    ]
    page, shown = own_report(
        folder, tabulate(folder, entries, COLUMNS), COLUMNS, summary="", notes=[], command=""
    )
    assert shown == folder / "adapted" / "seed-0"
    text = page.read_text().partition('<p class="finding">')[2]
    assert text.startswith("The error on the target is unknown")
    agree = (
        "0 of 100 points of adapted lie within a tenth of the animal’s length of where random_core"
    )
    assert f"has a label. On 3 frames of the target, {agree} finds them." in text
    assert text.index(agree) < text.index("All errors below are of the source. Label some twenty")


def test_points_of_two_runs_agree_within_a_share_of_their_extent(folder):
    shown, other = (read_shown(folder / name / "seed-0") for name in ("adapted", "random_core"))
    # 4 x sqrt(2) px, of points that lie 8 px apart along both axes
    assert [agreeing(shown, other, share) for share in (0.49, 0.51)] == [0, 1]
    assert np.isnan(agreeing(shown, other._replace(frames=(1, 2, 3)), 0.5))
    assert np.isnan(agreeing(shown._replace(predicted=shown.predicted[:, :1]), other, 0.5))


def test_a_frame_of_a_video_is_cropped_to_the_points_of_the_first_run(folder, monkeypatch):
    black = np.zeros((300, 400, 3), np.uint8)
    monkeypatch.setattr(pictures_of_runs, "read_frame", lambda frame: black)
    one = read_shown(folder / "adapted" / "seed-0")
    points = np.array([[[10, 10], [20, 20]], [[10, 10], [310, 20]], [[200, 10], [210, 290]]])
    video = one._replace(frames=(0, 9, 18), predicted=points, true=np.full_like(one.true, np.nan))
    anywhere = video._replace(predicted=points * 0 + [[0, 0], [399, 299]])

    def shape(picture):
        width, height = Image.open(io.BytesIO(base64.b64decode(picture))).size
        return width / height

    found = side_by_side([video, anywhere], Skeleton(NAMES))
    shapes = [(shape(first), shape(other)) for _, (first, other) in found]
    assert [first == other for first, other in shapes] == [True] * 3
    assert shapes[0][0] == pytest.approx(1, abs=0.05)
    assert shapes[1][0] > 2 > 0.9 > shapes[2][0]


COLUMNS = (
    Column("consistency", "consistency", "px", better="lower"),
    Column("spread", "spread", "px", better=""),
    Column("absent", "nobody has it"),
)


def reported(folder, lines, told):
    """Writes the page of runs of 100 of 1,000 steps."""
    return own_report(
        folder,
        lines,
        COLUMNS,
        summary="three images",
        notes=[],
        command="kpjax train",
        told=told,
        usual_steps=1000,
    )


def test_a_page_without_labels_answers_first_and_shows_the_method_beside_its_control(
    folder, capsys
):
    lines = tabulate(folder, [Entry("random_core", "control"), Entry("adapted", "method")], COLUMNS)
    page, shown = reported(
        folder,
        lines,
        lambda run, others: [f"{run.variant} before {', '.join(o.variant for o in others)}."],
    )
    assert shown == folder / "adapted" / "seed-0"
    text, said = page.read_text(), capsys.readouterr().out
    assert "<b>random_<wbr>core</b>" in text  # a long name breaks where it may
    first = "adapted before random_core."
    assert "100 of the usual 1,000 steps were run.<pre>kpjax train --workdir " in text
    assert f'<p class="finding">{first}</p>' in text
    assert said.index(first) < said.index("consistency")
    assert text.count("data:image/jpeg") == 2 * 3 + 2
    assert text.index("All points on some frames") < text.index("All variants")
    for absent in ("nobody has it", "Errors in pixels", "kpjax suggest", ">–<"):
        assert absent not in text.partition(">Details<")[0]
        assert absent not in said
    assert "Why settings were chosen" in text.partition(">Details<")[2]
    assert "consistency, lower is better (px)" in said
    assert "spread (px)" in said


@pytest.mark.parametrize("count", [20, 21])
def test_a_legend_names_every_point_and_is_folded_where_it_is_long(tmp_path, count):
    names = tuple(f"left metatarsal {number}" for number in range(count))
    folder = made_runs(tmp_path, names)
    lines = tabulate(folder, [Entry("adapted", "method")], COLUMNS)
    page, _ = reported(folder, lines, lambda run, others: [])
    text = page.read_text()
    (legend,) = re.findall(r'<p class="legend">(.*?)</p>', text, re.DOTALL)
    assert re.findall(r"</i>([^<]*)</span>", legend) == list(names)
    assert len(set(re.findall(r"background:(rgb\([^)]*\))", legend))) == count
    assert ".legend { display: flex; flex-wrap: wrap;" in text  # as many lines as the page needs
    fold = f"<details><summary>{count} points and their colours</summary>"
    assert (fold in text.partition("All points on some frames")[2]) == (count > 20)
    assert text.count("<details") == text.count("</details>")


def test_a_start_that_was_kept_was_not_trained_too_briefly(folder, capsys):
    results = folder / "adapted" / "seed-0" / "results.json"
    result = json.loads(results.read_text())
    result["metrics"]["kept_start"] = 1.0
    results.write_text(json.dumps(result))
    lines = tabulate(folder, [Entry("adapted", "method")], COLUMNS)
    reported(folder, lines, lambda run, others: ["the start is kept."])
    said = capsys.readouterr().out
    assert "the start is kept." in said
    assert "of the usual" not in said
    assert "Longer training" not in said


def test_a_star_says_which_way_is_better_and_none_stands_where_neither_is(folder):
    lines = tabulate(folder, [Entry("random_core", "control"), Entry("adapted", "method")], COLUMNS)
    heads = {line.split("  ")[0]: line for line in console_table(lines, COLUMNS, 80).splitlines()}
    assert heads["consistency, lower is better (px)"].count("*") == 1
    assert "*" not in heads["spread (px)"]
