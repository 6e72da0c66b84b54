"""A made run, whose method finds the brightest pixel, on images of several sizes, kinds and
faults."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from brightest import as_system, write_run
from PIL import Image
from predict_folder import predict_folder, rows_of

from kpjax.errors import InputError, RunError
from kpjax.files import write_json
from kpjax.lab import predictors
from kpjax.lab.animals.calibration import table_as_json
from kpjax.lab.animals.conformal import radius_table, read_radius_table
from kpjax.lab.commands.predict import rate_text
from kpjax.lab.commands.predict.drawing import overlays_of, rings_of, towards_the_mean
from kpjax.lab.own.report import radius_text
from kpjax.lab.predictors import open_run, open_runs


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run of the system `brightest`."""
    as_system(monkeypatch)
    return write_run(tmp_path / "runs", (60, 0))


@pytest.fixture
def images(tmp_path):
    """Five images of four sizes and three kinds, each with a bright square of known centre."""
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    (folder / "notes.txt").write_text("no image")
    for name, (height, width), x, y, mode in CASES:
        pixels = np.full((height, width, 3), 20, np.uint8)
        half = max(1, max(height, width) // 40)
        pixels[y - half : y + half + 1, x - half : x + half + 1] = 250
        Image.fromarray(pixels).convert(mode).save(folder / name)
    return folder


CASES = [
    ("a.png", (480, 640), 100, 300, "RGB"),
    ("a.jpg", (30, 40), 20, 10, "RGB"),
    ("wide.png", (64, 128), 64, 32, "P"),
    ("below/grey image.png", (64, 64), 40, 50, "L"),
    ("below/tall.png", (200, 50), 25, 150, "RGBA"),
]


def test_points_in_original_pixels_of_every_size_and_one_compile(run, images, tmp_path):
    table = predict_folder(run, images, tmp_path / "out", batch_size=2)
    rows = rows_of(table)
    assert list(rows[0]) == ["image", "instance", "keypoint", "x", "y", "score", "status"]
    assert [(row["image"], row["keypoint"]) for row in rows] == [
        (name, keypoint)
        for name in sorted(case[0] for case in CASES)
        for keypoint in ("spot", "beside")
    ]
    for name, size, x, y, _ in CASES:
        spot, beside = (row for row in rows if row["image"] == name)
        # A pixel of the 64 that the method sees is max(size) / 64 pixels of the image; the square
        # is about 3 of them.
        tolerance = 2 * max(size) / 64
        assert abs(float(spot["x"]) - x) <= tolerance
        assert abs(float(spot["y"]) - y) <= tolerance
        assert spot["status"] == "ok"
        assert float(beside["x"]) - float(spot["x"]) == pytest.approx(60 * max(size) / 64, rel=0.01)
        assert beside["status"] == "outside"
        assert 0.5 < float(spot["score"]) <= 1
    # The first looks whether the weights fit.
    assert sys.modules["kpjax.papers.brightest"].TRACED == [(1, 64, 64, 3), (2, 64, 64, 3)]
    assert len(list((tmp_path / "out" / "overlays").rglob("*_overlay.png"))) == len(CASES)


def test_each_image_has_an_overlay_of_its_own_however_alike_their_names_are(run, tmp_path):
    names = ["a.jpg", "a.jpg.png", "a.jpg.png.bmp", "a.png"]
    (tmp_path / "seen").mkdir()
    for number, name in enumerate(names):
        Image.new("RGB", (64, 48 + number), "white").save(tmp_path / "seen" / name)
    predict_folder(run, tmp_path / "seen", tmp_path / "out")
    drawn = [path.name for path in (tmp_path / "out" / "overlays").iterdir()]
    assert sorted(drawn) == sorted(f"{name}_overlay.png" for name in names)
    assert overlays_of(["a.jpg", "a.jpg.png", "b.jpg"]) == [
        f"overlays/{stem}_overlay.png" for stem in ("a", "a.jpg.png", "b")
    ]


def with_radii(run, errors, labelled=1):
    """Gives a run radii of `errors` (images, keypoints), in pixels of its squares, and a score that
    says nothing. labelled: (keypoints,), 0 of those without a label.
    """
    errors = np.asarray(errors, float)
    visible = np.ones_like(errors) * labelled
    table = radius_table(errors, np.ones_like(errors), visible)
    write_json(run / "radius_table.json", table_as_json(table))


def test_points_have_the_radius_of_held_out_errors_in_pixels_of_each_image(
    run, images, tmp_path, capsys
):
    with_radii(run, np.tile([1.5, 4.0], (40, 1)))
    table = predict_folder(run, images, tmp_path / "out", formats="coco")
    found = {(row["image"], row["keypoint"]): float(row["radius"]) for row in rows_of(table)}
    for name, size, *_ in CASES:
        growth = max(size) / 64
        assert found[name, "spot"] == pytest.approx(1.5 * growth, abs=1e-3)
        assert found[name, "beside"] == pytest.approx(4 * growth, abs=1e-3)
    radii = json.loads((tmp_path / "out" / "points.coco.json").read_text())[0]["radii"]
    assert radii == [found["a.jpg", "spot"], found["a.jpg", "beside"]]
    assert "\nradius that holds the truth of 90 % of points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (3, "no radius: 6 more labelled images must be held out for it; --level 0.5 gives one"),
        (8, "no radius: 1 more labelled images must be held out for it; --level 0.8 gives one"),
        (9, ""),
    ],
)
def test_too_few_held_out_images_for_a_radius_name_the_level_that_has_one(
    count, line, run, images, tmp_path, capsys
):
    with_radii(run, np.tile([1.5, 4.0], (count, 1)))
    predict_folder(run, images, tmp_path / "out")
    said = capsys.readouterr().out
    assert (f"{line}\n" in said) if line else ("no radius" not in said)
    if line:
        level = float(line.split()[-3])
        table = predict_folder(run, images, tmp_path / "lower", level=level)
        assert all(np.isfinite(float(row["radius"])) for row in rows_of(table))


def test_a_keypoint_without_a_held_out_label_has_no_radius_and_is_named(
    run, images, tmp_path, capsys
):
    with_radii(run, np.tile([1.5, 4.0], (40, 1)), labelled=[1, 0])
    rows = rows_of(predict_folder(run, images, tmp_path / "out"))
    assert {row["radius"] == "" for row in rows if row["keypoint"] == "spot"} == {False}
    assert {row["radius"] for row in rows if row["keypoint"] == "beside"} == {""}
    said = capsys.readouterr().out
    assert "beside: no held-out label, and so no radius" in said
    table = read_radius_table(run)
    assert "1 keypoint without a held-out label has none" in radius_text(table)
    of_target = radius_text(table, of_target=True)
    assert "of the target, predictions have a radius" in of_target
    assert "1 keypoint without a label of the target has none" in of_target


def test_where_nothing_is_there_points_are_unsure_and_have_no_radius(run, tmp_path, capsys):
    with_radii(run, np.tile([1.5, 4.0], (40, 1)))
    write_json(run / "score_table.json", {"kind": "peak", "cutoffs": [0.6, 0.3]})
    (tmp_path / "seen").mkdir()
    for name, brightest in (("empty", 40), ("dim", 160), ("there", 250)):
        pixels = np.full((64, 64, 3), 20, np.uint8)
        pixels[30, 20] = brightest
        Image.fromarray(pixels).save(tmp_path / "seen" / f"{name}.png")
    found = {
        (row["image"][:-4], row["keypoint"]): (row["status"], row["radius"])
        for row in rows_of(predict_folder(run, tmp_path / "seen", tmp_path / "out", formats="coco"))
    }
    assert set(found.values()) == {("unsure", "inf"), ("ok", "1.500"), ("outside", "4.000")}
    unsure = {name for name, (status, _) in found.items() if status == "unsure"}
    assert unsure == {("empty", "spot"), ("empty", "beside")}
    dim, empty, there = json.loads((tmp_path / "out" / "points.coco.json").read_text())
    assert "radii" not in empty
    assert dim["radii"] == there["radii"] == [1.5, 4.0]
    said = capsys.readouterr().out
    assert "cutoff 0.3 to 0.6 by keypoint, from held-out labels: 2 of 6 points lie below it" in said
    assert "like those held out, median: 2.75 px; the table has that of each point" in said
    typed = predict_folder(run, tmp_path / "seen", tmp_path / "typed", cutoff=0.99)
    assert {row["status"] for row in rows_of(typed)} == {"unsure"}
    assert "no radius: all points are unsure" in capsys.readouterr().out


def test_radii_of_few_labels_are_drawn_nearer_to_those_of_all_keypoints():
    table = radius_table(
        np.tile([1.0, 9.0, 1.0], (100, 1)),
        np.ones((100, 3)),
        np.repeat([[1, 1, 1]], 100, 0) * (np.arange(100)[:, None] < np.array([100, 25, 100])),
    )
    times = towards_the_mean(table, 0.9)
    labels, radii = table.labels, table.quantiles[2]
    assert times[1] < times[0] * 0.9
    mean = (labels * radii).sum() / labels.sum()
    np.testing.assert_allclose(times * radii, (labels * radii + 20 * mean) / (labels + 20))


def test_no_ring_is_drawn_above_a_tenth_of_the_animal():
    points = np.array([[[0.0, 0], [60, 80]], [[0, 0], [6, 8]]])  # animals of 100 and 10 px
    radii, boxes = np.array([[9.0, 11], [0.9, 9]]), np.array([[np.nan] * 4, [0, 0, 60, 80.0]])
    for found, expected in ((None, [[9, np.nan], [0.9, np.nan]]), (boxes, [[9, np.nan], [0.9, 9]])):
        np.testing.assert_array_equal(
            rings_of(radii, points, found, (396, 406), np.ones(2)), expected
        )
    np.testing.assert_array_equal(
        rings_of(np.array([[49.0], [51]]), points[:, :1], None, (300, 400), np.ones(1)),
        [[49], [np.nan]],
    )  # a single point has the frame's size


def test_too_few_held_out_labels_give_no_radius(run, images, tmp_path):
    with_radii(run, np.ones((5, 2)))
    table = predict_folder(run, images, tmp_path / "out", no_overlay=True)
    assert "radius" not in rows_of(table)[0]
    with_radii(run, np.ones((5, 3)))
    with pytest.raises(InputError, match=r"radius_table\.json: is of 3 keypoints"):
        predict_folder(run, images, tmp_path / "other")


def test_a_folder_with_several_seeds_predicts_the_medians_of_their_points(
    run, images, tmp_path, capsys
):
    for seed, offset in ((3, (30, 8)), (12, (50, 4))):
        write_run(tmp_path / "runs", offset, seed=seed)
    tables = [
        predict_folder(one, images, tmp_path / f"out {number}", no_overlay=True)
        for number, one in enumerate((run.parent, run))
    ]
    assert capsys.readouterr().out.startswith("brightest demo 3 seeds of spot")
    found, first = (
        [row for row in rows_of(table) if row["keypoint"] == "beside"] for table in tables
    )
    # of 60, 30 and 50; of 0, 8 and 4
    for ours, alone, (_, size, *_) in zip(found, first, sorted(CASES), strict=True):
        growth = max(size) / 64
        assert float(ours["x"]) - float(alone["x"]) == pytest.approx(-10 * growth, abs=2e-3)
        assert float(ours["y"]) - float(alone["y"]) == pytest.approx(4 * growth, abs=2e-3)
        assert float(ours["score"]) == pytest.approx(float(alone["score"]), rel=1e-4)


def test_seeds_with_other_networks_are_no_ensemble(run, tmp_path, monkeypatch):
    first, second = open_run(run), open_run(write_run(tmp_path / "runs", (20, 6), seed=1))
    stored = {"config": {"network": {"name": "another"}}}
    second = second._replace(files={**second.files, "config.json": stored})
    monkeypatch.setattr(
        predictors, "open_run", lambda folder: second if folder.name == "seed-1" else first
    )
    with pytest.raises(InputError, match="its seeds have other networks"):
        open_runs(run.parent)


def test_unreadable_images_are_named_and_counted_and_the_others_written(
    run, images, tmp_path, capsys
):
    whole = (images / "a.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "empty.jpg").write_bytes(b"")
    with pytest.raises(RunError, match=r"2 of 7 images cannot be read \(cut.png; empty.jpg\)"):
        predict_folder(run, images, tmp_path / "out", batch_size=3)
    rows = rows_of(tmp_path / "out" / "points.csv")
    bad = [row for row in rows if row["image"] in ("cut.png", "empty.jpg")]
    assert [(row["x"], row["y"], row["score"], row["status"]) for row in bad] == [
        ("nan", "nan", "0", "unreadable")
    ] * 4
    assert all(row["status"] != "unreadable" for row in rows if row not in bad)
    predict_folder(run, images / "empty.jpg", tmp_path / "none", on_bad_frame="skip")
    # nothing could be drawn
    assert capsys.readouterr().out.endswith(f"\n{tmp_path / 'none' / 'points.csv'}\n")


ALONE = """
import sys
from pathlib import Path

import pytest

from brightest import as_system, write_run
from predict_folder import predict_folder

as_system(pytest.MonkeyPatch())
folder = Path(sys.argv[1])
predict_folder(write_run(folder / "runs", (60, 0)), folder / "images", folder / "out")
assert "scipy.optimize" not in sys.modules
"""


@pytest.mark.slow
def test_one_animal_waits_for_no_assignment_of_animals(images, tmp_path):
    """`scipy.optimize` takes a second to load, and tracks need it alone."""
    here = Path(__file__).parents[1]
    child = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(here)!r})\n{ALONE}"]
    subprocess.run([*child, str(tmp_path)], check=True, timeout=120)


def test_the_rate_leaves_out_the_batch_that_waits_for_the_compiler():
    assert rate_text(90, 2.0) == " (45.0 a second once compiled)"
    assert not rate_text(0, 0.1)  # one batch in all: nothing is known
