"""Frames to label next, by a made run whose method finds the brightest pixel, on videos and images
made here.
"""

import contextlib
import functools
import importlib.util
import json
import pathlib

import numpy as np
import pytest
from brightest import as_system, write_run
from PIL import Image
from predict_folder import rows_of
from test_predict_videos import frame as frame_with

from kpjax.errors import InputError
from kpjax.formats.predictions import empty_table, fill
from kpjax.formats.project import Frame
from kpjax.formats.reading import read_project
from kpjax.images.video import open_video, write_video
from kpjax.lab.commands import run_command
from kpjax.lab.suggestions.frames import has_label, k_centre
from kpjax.lab.suggestions.proposals import Proposals, write_proposals
from kpjax.structures import Skeleton

main = functools.partial(run_command, "suggest")
JUMP = 30  # the frame of 48 on which the spot leaps


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run, a video and an image."""
    folder = tmp_path_factory.mktemp("suggest")
    write_run(folder / "runs", (6, 0), seed=0)
    write_video(folder / "mouse.mp4", map(image_of, range(48)))
    Image.fromarray(image_of(3)).save(folder / "still3.png")
    with pytest.MonkeyPatch.context() as patch:
        as_system(patch)
        yield folder


def image_of(number):
    """A bright square that wanders to the right, and leaps once."""
    return frame_with((8 + number // 2, 22 if number < JUMP else 6))


def suggested(made, out, *flags, inputs=("mouse.mp4",)):
    """The rows of suggestions.csv, by one command."""
    main(
        [
            str(made / "runs/brightest/demo/spot/seed-0"),
            *(str(made / name) for name in inputs),
            "--out",
            str(out),
            "--batch-size",
            "8",
            *map(str, flags),
        ]
    )
    return rows_of(out / "suggestions.csv")


def test_frames_that_look_unlike_are_found_whole_and_apart(made, tmp_path):
    rows = suggested(made, tmp_path / "out", "--n", 3)
    frames = [int(row["frame"]) for row in rows]
    assert min(np.diff(sorted(frames))) >= 10
    assert min(frames) < JUMP <= max(frames)
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    with Image.open(tmp_path / "out" / "images" / rows[0]["file"]) as kept:
        np.testing.assert_array_equal(np.asarray(kept), open_video(made / "mouse.mp4")[frames[0]])
    assert (tmp_path / "out" / "suggestions.png").exists()


def test_labels_are_kept_away_from(made, tmp_path):
    """A project of two labelled frames: they and their neighbours are not suggestions, whatever
    their values.
    """
    project = tmp_path / "labels"
    project.mkdir()
    table = ["video,frame,keypoint,x,y"]
    for frame, (x, y) in ((JUMP, (25, 8)), (0, (10, 24))):
        table += [
            f"{made / 'mouse.mp4'},{frame},{name},{x + shift},{y}"
            for name, shift in (("spot", 0), ("beside", 6))
        ]
    (project / "labels.csv").write_text("\n".join(table) + "\n")
    rows = suggested(made, tmp_path / "out", "--n", 9, "--labelled", project, "--to", "csv")
    taken = [int(row["frame"]) for row in rows]
    assert taken
    assert all(abs(frame - labelled) >= 10 for frame in taken for labelled in (0, JUMP))
    # a project whose videos have moved
    moved = (project / "labels.csv").read_text().replace(str(made / "mouse.mp4"), "x/mouse.mp4")
    (project / "labels.csv").write_text(moved)
    flags = ("--n", 9, "--labelled", project, "--to", "csv", "--video-root", made)
    assert suggested(made, tmp_path / "moved", *flags) == rows


def test_labels_of_another_video_of_that_name_keep_nothing_away(tmp_path):
    days = [tmp_path / day / "cam.mp4" for day in ("monday", "tuesday")]
    for day in days:
        day.parent.mkdir()
        day.write_bytes(b"")
    frames = [Frame("", day, 3, (8, 8), "") for day in days]
    assert has_label(frames, frames[:1], 5).tolist() == [True, False]
    moved = frames[0]._replace(path=tmp_path / "gone" / "cam.mp4")
    assert has_label(frames, [moved], 5).tolist() == [True, True]


SKELETON = Skeleton(("spot", "beside"), ((0, 1),))


@pytest.fixture
def proposals(made):
    """Two frames of the video and an image."""
    video, still = Frame("v", made / "mouse.mp4", 5, (64, 48), "mouse"), made / "still3.png"
    placed = (
        (video, "mouse", "img0005.png"),
        (video._replace(number=20), "mouse", "img0020.png"),
        (Frame("s", still, None, (64, 48), ""), "stills", "still3.png"),
    )
    names = [f"{folder}/{name}" for _, folder, name in placed]
    table = empty_table(pathlib.Path(), names, np.zeros(3), SKELETON, "kpjax", files=names)
    for row in range(3):
        fill(
            table,
            row,
            (64, 48),
            np.array([[[10.25, 20], [16, 20]]]) + row,
            np.array([[0.5, 0.25]]),
            np.ones(1, bool),
        )
    return Proposals(tuple(frame for frame, *_ in placed), (image_of(0),) * len(placed), table)


def with_pandas(folder):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    return pandas.read_hdf(
        next(folder.rglob("machinelabels-iter0.h5")), "df_with_missing"
    ).to_numpy()[1]


def with_sleap(folder):
    (instance,) = (
        pytest.importorskip("sleap_io").load_slp(str(folder / "proposals.slp"))[1].instances
    )
    return np.column_stack([instance.numpy(), instance.points["score"]])


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # sleap-io asks the system what it is
@pytest.mark.parametrize(
    ("form", "points_of_second"),
    [
        (
            "csv",
            lambda folder: [
                [row[cell] for cell in ("x", "y", "score")]
                for row in rows_of(folder / "proposals.csv")[2:4]
            ],
        ),
        (
            "coco",
            lambda folder: json.loads((folder / "proposals.json").read_text())[1]["keypoints"],
        ),
        (
            "lp",
            lambda folder: (folder / "proposals.csv").read_text().splitlines()[4].split(",")[1:],
        ),
        ("dlc", with_pandas),
        ("slp", with_sleap),
    ],
)
def test_tools_find_proposals_and_no_label(form, points_of_second, proposals, tmp_path):
    write_proposals(form, tmp_path, tmp_path, proposals)
    np.testing.assert_allclose(
        np.reshape(points_of_second(tmp_path), (2, 3)).astype(float),
        [[11.25, 21, 0.5], [17, 21, 0.25]],
    )
    assert len(list(tmp_path.rglob("*.png"))) == 3
    with contextlib.suppress(InputError):  # of a folder that is no project
        assert not read_project(tmp_path).instances


def without_scores_csv(folder):
    """Saves proposals as labels, as the page on what follows prediction says."""
    rows = rows_of(folder / "proposals.csv")
    kept = [name for name in rows[0] if name not in ("score", "status", "radius")]
    lines = [kept, *([row[name] for name in kept] for row in rows)]
    (folder / "labels.csv").write_text("\n".join(map(",".join, lines)) + "\n")


def without_likelihoods(folder):
    lines = [line.split(",") for line in (folder / "proposals.csv").read_text().splitlines()]
    kept = [place for place, name in enumerate(lines[2]) if name != "likelihood"]
    shown = "\n".join(",".join(line[place] for place in kept) for line in lines)
    (folder / "CollectedData.csv").write_text(shown + "\n")


def as_annotations(folder):
    images = json.loads((folder / "images.json").read_text())
    for number, one in enumerate(json.loads((folder / "proposals.json").read_text()), start=1):
        points = np.reshape(one["keypoints"], (-1, 3))
        points[:, 2] = 2
        annotation = {key: one[key] for key in ("image_id", "category_id")}
        annotation |= {"id": number, "keypoints": points.ravel().tolist()}
        images["annotations"].append(annotation)
    (folder / "images.json").write_text(json.dumps(images))


@pytest.mark.parametrize(
    ("form", "correct"),
    [("csv", without_scores_csv), ("lp", without_likelihoods), ("coco", as_annotations)],
)
def test_corrected_proposals_are_read_as_labels_where_they_lie(form, correct, proposals, tmp_path):
    write_proposals(form, tmp_path, tmp_path, proposals)
    correct(tmp_path)
    project = read_project(tmp_path)
    assert len(project.instances) == 3
    np.testing.assert_allclose(project.instances[1].keypoints, [[11.25, 21], [17, 21]])


@pytest.mark.parametrize(("form", "installed"), [("dlc", False), ("dlc", True), ("csv", False)])
def test_proposals_for_deeplabcut_without_its_tables_say_so(
    form, installed, made, tmp_path, monkeypatch, capsys
):
    """DeepLabCut opens .h5: proposals that are csv alone looked whole."""
    there = importlib.util.find_spec
    if installed:
        pytest.importorskip("tables")
    else:
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *more: None if name == "tables" else there(name, *more),
        )
    suggested(made, tmp_path / "out", "--n", 2, "--to", form)
    said = capsys.readouterr().out
    wanted = form == "dlc" and not installed
    assert (
        ("none is written beside the csv" in said) == ("pip install 'kpjax[dlc]'" in said) == wanted
    )
    assert bool([*tmp_path.rglob("*.h5")]) == installed


def test_several_animals_are_suggested_by_their_boxes(made, tmp_path, capsys):
    """A video of two spots, and a box about each on all frames but the last."""
    place = {"male": (12, 12), "female": (50, 36)}
    spots = frame_with(*((x - 2, y - 2) for x, y in place.values()))
    write_video(tmp_path / "pair.mp4", [spots // 20 * (20 - number) for number in range(6)])
    table = ["video,frame,instance,x,y,w,h"]
    table += [
        f"pair.mp4,{number},{name},{x - 8},{y - 8},16,16"
        for number in range(5)
        for name, (x, y) in place.items()
    ]
    (tmp_path / "boxes.csv").write_text("\n".join(table) + "\n")
    suggested(
        made,
        tmp_path / "out",
        "--boxes",
        tmp_path / "boxes.csv",
        "--apart",
        1,
        "--n",
        3,
        inputs=(tmp_path / "pair.mp4",),
    )
    assert "1 frames have no box and are left out" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out" / "proposals.csv")
    assert len(rows) == 3 * 2 * 2
    for row in rows[::2]:
        assert (float(row["x"]), float(row["y"])) == pytest.approx(place[row["instance"]], abs=3)


# The choice


def test_k_centre_takes_the_farthest_and_keeps_away_from_what_has_labels():
    features = np.array([(0, 0), (10, 0), (5, 5)], float)
    assert k_centre(features, 3, taken=np.array([[9.0, 0.0]])).tolist() == [0, 2, 1]
    # from the middle
    assert k_centre(np.array([(0, 0), (4, 0), (5, 0), (20, 0)], float), 2).tolist() == [2, 3]
    assert k_centre(features, 9).tolist() == [2, 0, 1]
    assert k_centre(np.ones((4, 2)), 3).tolist() == [0, 1, 2]  # no image twice
    assert k_centre(np.zeros((0, 2)), 3).tolist() == []
