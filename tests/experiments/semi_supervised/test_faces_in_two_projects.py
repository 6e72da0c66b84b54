"""Faces cut into two projects: what either names and shows, and errors against closed forms."""
import csv

import numpy as np
import pytest
from PIL import Image

from data.youtube_faces import person, read
from experiments.engine.results import read_results
from experiments.semi_supervised import two_projects
from kpjax.annotations.face_points import FACE
from kpjax.annotations.reading import read_project
from kpjax.errors import InputError
from kpjax.files import write_json


@pytest.fixture
def faces(tmp_path):
    root, generator = tmp_path / "faces", np.random.default_rng(0)
    for part, count in {"training": 8, "test": 4}.items():
        rows = [["", *range(136)]]
        for number in range(count):
            (root / part).mkdir(parents=True, exist_ok=True)
            name = f"Ann_{part}{number}_0.jpg"
            Image.fromarray(generator.integers(0, 255, (48, 48, 3), np.uint8)).save(root / part / name, "PNG")
            rows.append([name, *generator.integers(8, 80, 136) / 2])
        with (root / f"{part}_frames_keypoints.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return root


@pytest.mark.parametrize(("seed", "judged"), [(0, "test"), (100, "tune")])
def test_no_point_is_in_both_and_nobody_both_trains_and_tests(faces, tmp_path, seed, judged):
    out = tmp_path / "out"
    two_projects.main(["write", str(faces), str(out), "--seed", str(seed)])
    first, second, every, judge = (read_project(out / name) for name in ("first", "second", "all", "judge"))
    assert len(first.skeleton.names) == len(second.skeleton.names) == 34
    assert {*first.skeleton.names, *second.skeleton.names} == {*FACE.names}
    assert set(every.skeleton.names) == set(judge.skeleton.names) == {*FACE.names}
    parts = read(faces, [])
    people = {name: {path.name for path in (out / name / "images").rglob("*.jpg")} for name in ("first", "second")}
    assert not people["first"] & people["second"]
    both = {person(face) for part in ("train", judged) for face in parts[part]}
    assert {name.rpartition("_")[0] for name in people["first"] | people["second"]} == both
    assert len(judge.frames) == len(parts[judged])
    with pytest.raises(InputError, match="exists already; name another folder"):
        two_projects.main(["write", str(faces), str(out)])


def written(path, shift):
    """Writes the errors of two faces whose eyes are 10 px apart; the first project's points are `shift` px off."""
    rows = [["keypoint", "true_x", "true_y", "error"]]
    for face in range(2):
        for name in FACE.names:
            x = {"right_eye_0": 0.0, "left_eye_3": 10.0}.get(name, 5.0)
            rows.append([name, x + face, 3.0, shift if name in two_projects.chosen(two_projects.FIRST).names else 0.5])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_errors_are_shares_of_the_distance_between_the_eyes(tmp_path):
    found = two_projects.errors_of(written(tmp_path / "errors.csv", 2.0))
    assert found == pytest.approx({"test/nme": (0.2 + 0.05) / 2, "test/nme_first": 0.2, "test/nme_second": 0.05,
                                   "test/pck": 0.5, "test/points": 136})


def test_the_first_run_is_the_one_with_all_labels(tmp_path, monkeypatch, capsys):
    runs = []
    for variant, shift in (("supervised_warped", 1.0), ("union", 1.5)):
        runs.append(tmp_path / variant / "seed-3")
        runs[-1].mkdir(parents=True)
        written(runs[-1] / "errors.csv", shift)
        write_json(runs[-1] / "results.json", {
            "variant": variant, "seed": 3, "settings": "image_size=96 project=first", "steps": 500, "wall_seconds": 7.0,
            "commit": "abc"})
    monkeypatch.setattr(two_projects, "evaluate", lambda asked, tell: type(tmp_path)(asked.run) / "errors.csv")
    two_projects.main(["measure", str(tmp_path), *map(str, runs), "--room", str(tmp_path)])
    assert "union, seed 3" in capsys.readouterr().out
    kept = {(one.variant, one.metric): one for one in read_results(tmp_path)}
    assert kept["union", "test/over_all_labels"].value == pytest.approx((0.15 + 0.05) / (0.1 + 0.05) - 1)
    assert ("all_labels", "test/over_all_labels") not in kept
    assert kept["all_labels", "test/nme"].settings == "image_size=96"
