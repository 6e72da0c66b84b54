"""Folders for several tools, and the table of their predictions."""

import json

import numpy as np
import pytest
from PIL import Image
from predict_folder import rows_of

from experiments.measure.peers.__main__ import main
from experiments.measure.peers.results import METRICS, TABLES
from experiments.own import default, results as default_results
from kpjax import InputError, Skeleton
from kpjax.formats.plain_csv import write
from kpjax.formats.project import Frame, Project, instance_of
from kpjax.formats.reading import read_project
from kpjax.formats.tables import write_rows

NAMES, SIDE, FORMATS = (
    ("nose", "left ear", "right ear"),
    64,
    ("csv", "deeplabcut", "lightning_pose"),
)


def points_of(frame: int, animal: int = 0) -> np.ndarray:
    """Returns a triangle that moves by a pixel a frame; animals are 24 px apart."""
    return np.array([[8.0, 10.0], [14.0, 20.0], [8.0, 30.0]]) + [frame + 24 * animal, animal]


def labelled_project(folder, *, animals: int) -> Project:
    """Writes ten frames, each in the grey of its number and with some animals."""
    (folder / "images").mkdir(parents=True)
    frames, instances = [], []
    for number in range(10):
        path = folder / "images" / f"{number:04d}.png"
        Image.fromarray(np.full((SIDE, SIDE, 3), number, np.uint8)).save(path)
        frames.append(Frame(f"images/{path.name}", path, None, (SIDE, SIDE), "images"))
        instances += [
            instance_of(number, points_of(number, animal), track=str(animal) * (animals > 1))
            for animal in range(animals)
        ]
    return Project(folder, "csv", Skeleton(NAMES), tuple(frames), tuple(instances))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five labelled frames of one animal, and two that test."""
    root = tmp_path_factory.mktemp("peers")
    project = labelled_project(root / "walk", animals=1)
    write(project, project.root)
    out = root / "five"
    main(["prepare", str(project.root), "--labelled", "5", "--subset", "3", "--out", str(out)])
    return out


def predict(folder, tool: str, *, by=(0.0, 0.0), score: float = 1.0, **more) -> None:
    """Writes the labels of the frames that test, moved, as a tool's predictions."""
    split = json.loads((folder / "split.json").read_text())
    with np.load(folder / "truth.npz") as truth:
        points = truth["keypoints"] + by
    scored = np.concatenate([points, np.full((*points.shape[:2], 1), score)], -1)
    given = {"tool": tool, "version": "1.0", "cap": 900, "cut": False, "seconds": 60.0, "rate": 9.0}
    given |= {
        "cutoffs": [0.5, 0.5, 0.0],
        "keypoints": dict(zip(split["test"], scored.tolist(), strict=True)),
    }
    (folder / f"predictions_{tool}.json").write_text(json.dumps(given | more))


def values_of(room) -> dict[tuple[str, str], float]:
    return {
        (row["variant"], row["metric"]): float(row["value"])
        for row in rows_of(room / "results.csv")
    }


def test_all_tools_are_given_the_same_labels_and_none_of_those_that_test(folder):
    split = json.loads((folder / "split.json").read_text())
    assert (split["name"], split["labelled"], split["subset"]) == ("walk", 5, 3)
    assert split["top_view"] is False
    assert len(split["train"]) == 5
    for form in FORMATS:
        project = read_project(folder / form)
        assert (project.format, project.skeleton.names) == (form, NAMES)
        assert {frame.path.name for frame in project.frames} == {*split["train"]}
        for one in project.instances:
            with Image.open(project.frames[one.frame].path) as image:
                number = np.asarray(image)[0, 0, 0]
            np.testing.assert_allclose(one.keypoints, points_of(int(number)))
    tests = [np.asarray(Image.open(folder / "test" / name))[0, 0, 0] for name in split["test"]]
    assert tests == [0, 1]


def test_animals_of_a_crowded_frame_are_cropped_alike(tmp_path):
    project = labelled_project(tmp_path / "pair", animals=2)
    write(project, project.root)
    out = tmp_path / "few"
    main(["prepare", str(project.root), "--labelled", "2", "--every", "2", "--out", str(out)])
    found = read_project(out / "csv")
    assert {frame.size for frame in found.frames} == {(26, 26)}  # 1.25 times 20 px, an even number
    assert len(found.frames) == len(found.instances) == 4
    for one in found.instances:
        apart = one.keypoints - one.keypoints[0]
        np.testing.assert_allclose(apart, points_of(0) - points_of(0)[0])
        assert (one.keypoints >= 0).all()
        assert (one.keypoints < 26).all()
    with np.load(out / "truth.npz") as truth:
        assert len(truth["keypoints"]) == 2  # both animals of the first of five frames
    with pytest.raises(InputError, match=r"--labelled.* 5 of 4 frames"):
        main(
            [
                "prepare",
                str(project.root),
                *("--labelled", "5", "--every", "2"),
                "--out",
                str(out) + "2",
            ]
        )


def test_tools_are_measured_alike(folder, tmp_path, capsys):
    """The body is hypot(6, 20) = 20.9 px: 1 px is good, 3 px are not, and a score below its keypoint's
    cutoff hides a good point."""
    predict(folder, "deeplabcut", by=(1.0, 0.0))
    predict(folder, "lightning_pose", by=(0.0, 3.0))
    predict(folder, "kpjax", score=0.2, cut=True, seconds=900.0)
    main(["score", str(folder), "--room", str(tmp_path)])
    values = values_of(tmp_path)
    assert values["deeplabcut", "test/median"] == pytest.approx(1)
    assert values["lightning_pose", "test/median"] == pytest.approx(3)
    shares = {tool: values[tool, "test/pck"] for tool in ("deeplabcut", "lightning_pose", "kpjax")}
    assert shares == {"deeplabcut": 1, "lightning_pose": 0, "kpjax": 1}
    assert values["kpjax", "test/hidden"] == pytest.approx(2 / 3)
    assert (values["kpjax", "train/cut"], values["deeplabcut", "test/hidden"]) == (1, 0)
    assert values["kpjax", "predict/rate"] == 9
    (row,) = [
        row
        for row in rows_of(tmp_path / "results.csv")
        if (row["variant"], row["metric"]) == ("kpjax", "test/pck")
    ]
    assert (row["preset"], row["settings"], row["seed"], row["seconds"]) == (
        "walk",
        "labelled=5 seconds=900",
        "3",
        "900",
    )
    assert "900*" in capsys.readouterr().out


def test_the_share_of_one_point_is_that_of_the_worst_pair_and_not_of_pictures_with_any(
    folder, tmp_path
):
    """Another pair on each of two pictures: each pair on a half of them, and any on both. A point that
    is not known is one with none."""
    split = json.loads((folder / "split.json").read_text())
    predict(folder, "deeplabcut")
    path = folder / "predictions_deeplabcut.json"
    given = json.loads(path.read_text())
    first, second = (given["keypoints"][name] for name in split["test"])
    first[1], first[0] = first[2], [float("nan")] * 3
    second[0] = second[2]
    path.write_text(json.dumps(given))
    main(["score", str(folder), "--room", str(tmp_path)])
    values = values_of(tmp_path)
    assert values["deeplabcut", "test/one_point"] == 0.5
    assert values["deeplabcut", "test/pck"] == pytest.approx(3 / 6)
    assert "the worst pair" in METRICS["test/one_point"][0]


def test_predictions_of_other_pictures_are_refused(folder):
    predict(folder, "deeplabcut", keypoints={})
    with pytest.raises(InputError, match="2 test images have no prediction"):
        main(["score", str(folder)])


def test_the_table_shows_all_that_is_measured(folder, tmp_path):
    predict(folder, "deeplabcut")
    main(["score", str(folder), "--room", str(tmp_path)])
    assert {metric for _, metric in values_of(tmp_path)} >= {*TABLES["projects"][2]}


def test_the_table_of_defaults_is_run_cell_by_cell_and_goes_on(tmp_path, monkeypatch):
    """Points lie 1 px off, on all frames; a nose has no label on one of two frames that test."""
    project = labelled_project(tmp_path / "walk", animals=1)
    bare = project.instances[0]._replace(visible=np.array([0, 1, 1], np.float32))
    project = project._replace(instances=(bare, *project.instances[1:]))
    write(project, project.root)
    commands = []

    def kpjax(command, *rest):
        commands.append(rest)
        out = rest[rest.index("--workdir" if command == "train" else "--out") + 1]
        out.mkdir()
        (out / "results.json").write_text("{}")
        (out / "score_table.json").write_text('{"cutoffs": [0.5, 0.5, 0.5]}')
        rows = [("image", "keypoint", "x", "y", "score")]
        for number in range(2):
            for keypoint, (x, y) in zip(NAMES, points_of(number), strict=True):
                rows.append((f"test000{number}.png", keypoint, x + 1, y, 0.6 - 0.2 * (x == 8)))
        write_rows(out / "points.csv", rows)

    monkeypatch.setattr(default, "kpjax", kpjax)
    monkeypatch.setattr(default, "ROOM", tmp_path)
    typed = [f"reaching={project.root}", "--labelled", "4", "0", "--seeds", "1"]
    for _ in range(2):
        default.main([*typed, "--workdir", str(tmp_path / "runs")])
        assert len(commands) == 8  # two networks of four and of all labelled frames
    assert [given[-2:] == ("--weights", "none") for given in commands].count(True) == 2
    values = values_of(tmp_path)
    assert {metric for _, metric in values} >= {*default_results.DEFAULT_METRICS}
    for network in default_results.NETWORKS:
        assert f"reaching labelled=all/{network}" in default_results.DEFAULT_LINES
        assert values[network, "test/distance"] == values[network, "test/pck"] == 1
        hidden, drawn = values[network, "test/hidden"], values[network, "test/absent_drawn"]
        assert (hidden, drawn) == (pytest.approx(1 / 5), 0)
    with pytest.raises(InputError, match="'elsewhere' is none of reaching"):
        default.main(["elsewhere=P"])
