"""Points over time: gaps, outliers, jitter, and several networks as an ensemble."""

import functools

import numpy as np
import pytest
from predict_folder import rows_of

from kpjax.errors import InputError
from kpjax.formats.predictions import empty_table, fill, write_predictions
from kpjax.lab.commands import run_command
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


def test_gaps_outliers_and_jitter(table, tmp_path, capsys):
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
    assert (tmp_path / "clip_smoothed.svg").exists()
    assert "19 of 120 points were missing or below 0.3: 4 are filled" in capsys.readouterr().out
    with pytest.raises(InputError, match="--overwrite"):
        main([str(path)])
    main([str(path), "--overwrite", "--median", "1", "--gap", "0", "--no-kalman"])
    np.testing.assert_allclose(nose(tmp_path / "clip_smoothed.csv"), nose(path), atol=1e-3)
    main([str(path.rename(tmp_path / "2024.01.05 a.csv")), "--formats", "csv,coco"])
    assert (tmp_path / "2024.01.05 a_smoothed.csv").exists()
    table.outside[0] = True  # which a csv file says, and not the size of the frame
    main([str(write_predictions(table, ("csv",), tmp_path, "edge")[0])])
    assert rows_of(tmp_path / "edge_smoothed.csv")[0]["status"] == "outside"


def test_several_networks_are_an_ensemble(table, tmp_path):
    random, paths = np.random.default_rng(1), []
    for number in range(3):
        other = table._replace(
            keypoints=table.keypoints + random.normal(0, 1, table.keypoints.shape)
        )
        paths += write_predictions(other, ("csv",), tmp_path, f"seed{number}")
    main([*map(str, paths), "--cutoff", "0.3", "--out", str(tmp_path / "out")])
    found = nose(tmp_path / "out" / "seed0_smoothed.csv")
    expected = np.column_stack([10.0 + np.arange(FRAMES), np.full(FRAMES, 20.0)])
    assert np.abs(found - expected)[np.isfinite(found).all(1)].max() < 2.5
    write_predictions(
        table._replace(skeleton=Skeleton(("nose", "paw"))), ("csv",), tmp_path, "paws"
    )
    with pytest.raises(InputError, match="has other keypoints than"):
        main([str(paths[0]), str(tmp_path / "paws.csv")])
