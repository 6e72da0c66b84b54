"""Points over time: gaps, outliers, and what the table says of them."""

import functools

import numpy as np
import pytest
from predict_folder import rows_of

from kpjax.errors import InputError
from kpjax.formats.predictions import empty_table, fill, write_predictions
from kpjax.lab.commands import run_command
from kpjax.lab.commands.smooth import fill_gaps, median_filtered
from kpjax.structures import Skeleton

main = functools.partial(run_command, "smooth")
FRAMES, GAP, LONG = 60, slice(20, 24), slice(40, 55)


@pytest.fixture
def table(tmp_path):
    """Two keypoints of a video that move along lines; one jumps once, and is unsure in a short and
    in a long gap.
    """
    made = empty_table(
        tmp_path / "clip.mp4",
        ["clip.mp4"] * FRAMES,
        np.arange(FRAMES),
        Skeleton(("nose", "tail")),
        "made",
        times=np.arange(FRAMES) / 25,
    )
    random = np.random.default_rng(0)
    for row in range(FRAMES):
        points = np.array([[[10.0 + row, 20], [80 - row, 40]]]) + random.normal(0, 0.1, (1, 2, 2))
        scores = np.array([[0.9, 0.8]])
        if row == 10:
            points[0, 0] += 30
        if row in range(*GAP.indices(FRAMES)) or row in range(*LONG.indices(FRAMES)):
            points[0, 0], scores[0, 0] = 0, 0.05
        fill(made, row, (100, 60), points, scores, np.ones(1, bool))
    return made


def nose(path):
    return np.array(
        [(float(row["x"]), float(row["y"])) for row in rows_of(path) if row["keypoint"] == "nose"]
    )


def test_gaps_and_outliers(table, tmp_path, capsys):
    (path,) = write_predictions(table, ("csv",), tmp_path, "clip")
    before = path.read_bytes()
    main([str(path), "--cutoff", "0.3", "--gap", "5"])
    found = nose(tmp_path / "clip_smoothed.csv")
    expected = np.column_stack([10.0 + np.arange(FRAMES), np.full(FRAMES, 20.0)])
    assert np.isnan(found[LONG]).all()
    rows = [
        row["status"]
        for row in rows_of(tmp_path / "clip_smoothed.csv")
        if row["keypoint"] == "nose"
    ]
    assert set(rows[LONG]) == {"empty"}
    there = np.isfinite(found).all(1)
    assert there.sum() == FRAMES - 15
    # the jump of 30 px and the points at 0 are gone
    assert np.abs(found - expected)[there].max() < 2
    assert path.read_bytes() == before
    assert "19 of 120 points were missing or below 0.3: 4 are filled" in capsys.readouterr().out
    with pytest.raises(InputError, match="--overwrite"):
        main([str(path)])
    main([str(path), "--overwrite", "--median", "1", "--gap", "0"])
    np.testing.assert_allclose(nose(tmp_path / "clip_smoothed.csv"), nose(path), atol=1e-3)
    main([str(path.rename(tmp_path / "2024.01.05 a.csv")), "--formats", "csv,coco"])
    assert (tmp_path / "2024.01.05 a_smoothed.csv").exists()
    table.outside[0] = True  # which a csv file says, and not the size of the frame
    main([str(write_predictions(table, ("csv",), tmp_path, "edge")[0])])
    assert rows_of(tmp_path / "edge_smoothed.csv")[0]["status"] == "outside"


def test_points_that_predict_found_unsure_are_gaps_without_a_cutoff(table, tmp_path, capsys):
    """Points at 0, of a frame of 400 px, were taken for sure ones that moved by 480 px."""
    table = table._replace(unsure=table.scores < 0.3)
    (path,) = write_predictions(table, ("csv",), tmp_path, "clip")
    assert rows_of(path)[40]["status"] == "unsure"
    main([str(path), "--gap", "5"])
    found = nose(tmp_path / "clip_smoothed.csv")
    assert np.isnan(found[LONG]).all()
    assert np.nanmin(found[:, 0]) > 9
    assert "19 of 120 points were missing or unsure: 4 are filled" in capsys.readouterr().out
    everywhere = table._replace(unsure=np.ones_like(table.unsure))
    (path,) = write_predictions(everywhere, ("csv",), tmp_path, "nowhere")
    with pytest.raises(InputError, match="all are unsure; give a --cutoff"):
        main([str(path)])


def test_why_a_frame_has_no_points_stays(table, tmp_path):
    """An animal that had walked off was a frame that does not decode."""
    nothing = np.zeros((1, 2, 2)), np.zeros((1, 2))
    for row in (50, 51):
        fill(table, row, (100, 60), *nothing, np.zeros(1, bool))
    table.status[52], table.keypoints[52] = "unreadable", np.nan
    table.status[53], table.keypoints[53] = "failed", np.nan
    (path,) = write_predictions(table, ("csv",), tmp_path, "clip")

    def statuses(name):
        return [row["status"] for row in rows_of(tmp_path / name)][2 * 50 : 2 * 54]

    expected = [*["no_box"] * 4, *["unreadable"] * 2, *["failed"] * 2]
    assert statuses("clip.csv") == expected
    main([str(path), "--gap", "1"])
    assert statuses("clip_smoothed.csv") == expected
    main([str(tmp_path / "clip_smoothed.csv"), "--gap", "1"])
    assert statuses("clip_smoothed_smoothed.csv") == expected


def test_an_animal_that_is_missing_beside_another_is_not_there(tmp_path):
    """A file that lacks its rows says nothing of it, and the frame decodes."""
    rows = ["video,frame,instance,keypoint,x,y,score,status"]
    rows += [f"clip.mp4,{number},ann,nose,{number},2,0.9,ok" for number in range(9)]
    rows += [f"clip.mp4,{number},bob,nose,{number},9,0.9,ok" for number in range(4)]
    (tmp_path / "clip.csv").write_text("\n".join(rows) + "\n")
    main([str(tmp_path / "clip.csv")])
    found = rows_of(tmp_path / "clip_smoothed.csv")
    assert [row["status"] for row in found if row["instance"] == "bob"] == [
        *["ok"] * 4,
        *["no_box"] * 5,
    ]


def track(*values):
    """Returns points that move along x, with y = 2 x."""
    return np.array([[value, 2 * value] for value in values], float)


def test_an_outlier_goes_and_a_gap_stays():
    found = median_filtered(track(1, 2, 90, 4, 5, np.nan, 7), 3)
    np.testing.assert_array_equal(found[:, 0], [1, 2, 4, 5, 5, np.nan, 7])
    np.testing.assert_array_equal(found[:, 1], 2 * found[:, 0])
    np.testing.assert_array_equal(median_filtered(track(3, 1, 2), 1), track(3, 1, 2))
    np.testing.assert_array_equal(median_filtered(track(0, 9, 1, 9, 2), 5)[:, 0], [0, 1, 2, 2, 2])
    # shorter than the window
    np.testing.assert_array_equal(median_filtered(track(5, 1, 3, 9), 7)[:, 0], [5, 3, 3, 9])


def test_short_gaps_are_filled_and_long_ones_and_ends_are_not():
    nan = np.nan
    points = track(nan, 1, nan, nan, 4, nan, nan, nan, 8, nan)
    np.testing.assert_array_equal(
        fill_gaps(points, 2)[:, 0], [nan, 1, 2, 3, 4, nan, nan, nan, 8, nan]
    )
    np.testing.assert_array_equal(fill_gaps(points, 3), track(nan, *range(1, 9), nan))
    np.testing.assert_array_equal(fill_gaps(points, 0), points)
    np.testing.assert_array_equal(fill_gaps(track(nan, nan), 5), track(nan, nan))
    assert fill_gaps(np.stack([points, points + 1], 1), 3).shape == (10, 2, 2)
