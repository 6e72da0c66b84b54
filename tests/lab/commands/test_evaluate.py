"""The command `evaluate`: errors of a made run, whose method finds the brightest pixel, on labelled
images.
"""

import functools
from pathlib import Path

import numpy as np
import pytest
from brightest import as_system, write_run
from PIL import Image
from predict_folder import rows_of
from test_predict import with_radii
from test_predict_videos import find, frame, passing, with_finder

from kpjax.errors import InputError
from kpjax.formats.predictions import empty_table, write_predictions
from kpjax.formats.project import Frame, Project, instance_of
from kpjax.images.transforms import Letterbox
from kpjax.images.video import write_video
from kpjax.lab.commands import Evaluate, evaluate as command, run_command
from kpjax.lab.own import animals
from kpjax.lab.reports.pixel_errors import HELD_OUT, TARGET, TRAINED, Animals, write_errors
from kpjax.structures import Skeleton

main = functools.partial(run_command, "evaluate")
SPOTS = {"a": (100, 40), "b": (20, 90), "c": (64, 64)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run of the system `brightest`, whose second keypoint `beside` lies 10 px to the
    right of 64.
    """
    as_system(monkeypatch)
    return str(write_run(tmp_path / "runs", (10, 0)))


def project(folder, rows):
    """Writes images of 128 px with a bright spot each, and a table of labels."""
    folder.mkdir()
    for name, (x, y) in SPOTS.items():
        pixels = np.full((128, 128, 3), 20, np.uint8)
        pixels[y - 2 : y + 3, x - 2 : x + 3] = 250
        Image.fromarray(pixels).save(folder / f"{name}.png")
    path = folder / "labels.csv"
    path.write_text("\n".join(["image,instance,keypoint,x,y", *rows]) + "\n")
    return str(path)


def test_errors_are_in_pixels_of_the_frames_and_the_worst_come_first(run, tmp_path, capsys):
    # Of "b" the label is 30 px off; that of "beside" of "c" is beyond its image, and "tail" is no
    # keypoint of the run.
    labels = project(
        tmp_path / "labelled",
        [
            "a.png,0,spot,100,40",
            "a.png,0,beside,120,40",
            "a.png,0,tail,100,80",
            "b.png,0,spot,20,60",
            "b.png,0,beside,40,90",
            "b.png,0,tail,20,90",
            "c.png,0,spot,64,64",
            "c.png,0,tail,64,104",
            "c.png,0,beside,900,64",
        ],
    )
    main([run, labels, "--out", str(tmp_path / "out"), "--batch-size", "2"])
    out = capsys.readouterr().out
    assert "not measured: tail" in out
    rows = rows_of(tmp_path / "out" / "errors.csv")
    found = {(row["image"].rpartition("/")[2], row["keypoint"]): row for row in rows}
    assert found.keys() == {
        (f"{name}.png", keypoint) for name in "abc" for keypoint in ("spot", "beside")
    } - {("c.png", "beside")}
    for (name, keypoint), row in found.items():  # a pixel of the run is two of the frames
        assert float(row["error"]) == pytest.approx(
            30 if (name, keypoint) == ("b.png", "spot") else 0, abs=3
        )
    table = {
        line.split()[0]: line.split()[1:]
        for line in out.splitlines()
        if line.startswith(("spot", "beside "))
    }
    assert [table[name][0] for name in ("spot", "beside")] == ["3", "2"]
    assert [table[name][-1] for name in ("spot", "beside")] == ["66.7", "100.0"]
    assert (tmp_path / "out" / "worst.png").exists()
    with pytest.raises(InputError, match=r"errors\.csv exists already"):
        main([run, labels, "--out", str(tmp_path / "out")])


def test_points_that_the_cutoff_hides_are_counted_and_named(run, tmp_path):
    # The score of "beside" is half of that of "spot".
    labels = project(
        tmp_path / "labelled",
        ["a.png,0,spot,100,40", "a.png,0,beside,100,40", "b.png,0,beside,40,90"],
    )
    (tmp_path / "runs/brightest/demo/spot/seed-0/score_table.json").write_text(
        '{"kind": "peak", "cutoffs": [0.55, 0.55]}'
    )
    main([run, labels, "--out", str(tmp_path / "out")])
    found = {row["keypoint"]: row for row in rows_of(tmp_path / "out" / "errors_by_keypoint.csv")}
    assert [found[name]["hidden_by_cutoff"] for name in ("spot", "beside", "all keypoints")] == [
        "0",
        "2",
        "2",
    ]
    assert found["beside"]["mean_px_from_cutoff"] == "nan"
    assert (
        float(found["all keypoints"]["mean_px_from_cutoff"]) == float(found["spot"]["mean_px"]) < 4
    )
    assert float(found["beside"]["mean_px"]) == pytest.approx(10, abs=3)


def test_the_share_of_points_within_their_radii_is_told(run, tmp_path, capsys):
    # A pixel of the run is two of the frames; of "b" the label is 30 px off.
    labels = project(
        tmp_path / "labelled", ["a.png,0,spot,100,40", "b.png,0,spot,20,60", "c.png,0,spot,64,64"]
    )
    with_radii(Path(run), np.tile(np.linspace(2, 12, 41)[:, None], (1, 2)))
    main([run, labels, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    lines = {
        line.split(",")[0].strip(): line.split()[2:]
        for line in out.splitlines()
        if line.startswith("    ")
    }
    assert lines["within"] == ["66.7"] * 4
    assert float(lines["median radius"][1]) == pytest.approx(2 * 7, abs=0.6)


def test_a_level_without_a_radius_covers_nothing(run, tmp_path, capsys):
    """Every point is nearer than infinity: 100 % stood there."""
    labels = project(tmp_path / "labelled", ["a.png,0,spot,100,40", "b.png,0,spot,20,60"])
    with_radii(Path(run), np.full((9, 2), 2.0))
    main([run, labels, "--out", str(tmp_path / "out")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "    " in line[:4]]
    shares, medians = (line[-4:] for line in lines if line[0] in ("within,", "median"))
    assert "none" in shares
    assert [one == "none" for one in shares] == [one == "none" for one in medians]


def test_keypoints_without_a_radius_do_not_count_as_within_it(run, tmp_path, capsys):
    """Of "spot" no label was held out: it has none, and all its points would lie within."""
    labels = project(
        tmp_path / "labelled",
        ["a.png,0,spot,100,40", "a.png,0,beside,100,60", "b.png,0,spot,20,60"],
    )
    with_radii(Path(run), np.full((40, 2), 1.0), labelled=[0, 1])
    main([run, labels, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert "radii, on 1 label of frames" in out
    within = next(line for line in out.splitlines() if line.startswith("    within"))
    assert within.split()[2:] == ["0.0"] * 4
    spots = project(tmp_path / "spots", ["c.png,0,spot,64,64"])
    main([run, spots, "--out", str(tmp_path / "other")])
    assert "keypoints that are labelled here have none" in capsys.readouterr().out


def write_list(run, folder, parts):
    """Writes what a run keeps of the images a, b and so on of a folder, by what they are for it."""
    count = len(parts)
    one, points = np.ones((count, 1)), np.zeros((count, 1, 2))
    images = tuple(folder / f"{name}.png" for name in "abc"[:count])
    write_errors(
        run,
        Animals(
            *(("spot",), parts, images, (None,) * count, ("",) * count, np.full(count, 50.0)),
            *(points, one, points, one, one == 0, np.full(count, np.nan)),
        ),
        np.array([0.5]),
    )


def test_radii_of_held_out_labels_are_tried_on_those_of_the_target(run, tmp_path, capsys):
    """The radii come from frame "c", and the labels of the target taught nothing."""
    rows = ["a.png,0,spot,100,40", "b.png,0,spot,20,60"]
    labels = project(tmp_path / "labelled", rows)
    with_radii(Path(run), np.tile(np.linspace(2, 12, 41)[:, None], (1, 2)))

    def said(name, parts):
        write_list(Path(run), tmp_path / "labelled", parts)
        main([run, labels, "--out", str(tmp_path / name)])
        return " ".join(capsys.readouterr().out.split())

    tried = said("out", (TARGET, TARGET, HELD_OUT))
    assert "radii, on 2 labels of frames not listed in the run" in tried
    assert "or of its target; meant for" in tried
    assert "within, % 50.0 50.0 50.0 50.0" in tried
    # without a held-out frame the radii come from the target itself
    assert "radii: not measured, since the run knows" in said("other", (TARGET, TARGET))


def test_two_keypoints_on_one_row_of_pixels_bound_an_animal(run, tmp_path, capsys):
    """Their box has no height. Training crops about it, and so do errors: nothing is left out."""
    labels = project(
        tmp_path / "labelled",
        [
            *("a.png,0,spot,100,40", "a.png,0,beside,120,40"),
            *("a.png,1,spot,20,90", "a.png,1,beside,40,90"),
        ],
    )
    main([run, labels, "--out", str(tmp_path / "out")])
    assert "left out" not in capsys.readouterr().out
    rows = rows_of(tmp_path / "out" / "errors.csv")
    assert [(row["instance"], row["keypoint"]) for row in rows] == [
        (f"animal {number}", name) for number in range(2) for name in ("spot", "beside")
    ]


def test_an_ensemble_has_learnt_from_what_any_of_its_seeds_has_learnt_from(run, tmp_path):
    labels = project(
        tmp_path / "labelled", [f"{name}.png,0,spot,{x},{y}" for name, (x, y) in SPOTS.items()]
    )
    other = write_run(tmp_path / "runs", (10, 0), seed=1)
    write_list(Path(run), tmp_path / "labelled", (TRAINED, HELD_OUT))
    write_list(other, tmp_path / "labelled", (HELD_OUT, HELD_OUT))
    main([str(Path(run).parent), labels, "--out", str(tmp_path / "out")])
    parts = [row["part"] for row in rows_of(tmp_path / "out" / "errors.csv")]
    assert parts == ["trained on", "held out", "other labels"]


# A run that finds several animals by itself: on a video of two bright spots that pass each other

FRAMES = 28


def test_labels_of_some_keypoints_without_boxes_do_not_bound_whole_animals():
    """Of a run that sees crops; errors in such crops say nothing of it."""
    points = np.array([[1.0, 2], [5, 9]])
    crops = with_finder()
    assert crops.skeleton.names == ("spot", "beside")

    def said(names, predictor=crops, box=None):
        one = instance_of(0, points[: len(names)], box=box)
        some = Project(Path("p"), "csv", Skeleton(names), (), (one,))
        return command.narrow_crops(some, predictor, 0.0)

    (line,) = said(("spot",))
    assert "labels lack keypoints of the run, and 1 animal a box" in line
    made = np.array([-3.5, -2.5, 10, 10])  # about the single keypoint, by nobody
    assert said(("spot",), box=made) == [line]
    assert said(("spot",), box=np.array([0.0, 0, 9, 9])) == []
    assert said(("spot", "beside")) == []
    assert said(("spot",), crops._replace(transform=Letterbox(32))) == []


def test_animals_found_by_the_run_stand_beside_those_in_the_labels_boxes_and_missed_ones_count(
    monkeypatch, tmp_path, capsys
):
    write_video(
        tmp_path / "clip.mp4", (frame(*passing(number)) for number in range(FRAMES)), rate=25
    )
    rows = ["video,frame,instance,track,keypoint,x,y,box_x,box_y,box_w,box_h"]
    rows += [
        f"clip.mp4,{number},{animal},{name},{keypoint},{x + dx},{y + 1.5},{x},{y},4,4"
        for number in range(FRAMES)
        for animal, (name, (x, y)) in enumerate(zip(("ann", "bob"), passing(number), strict=True))
        for keypoint, dx in (("spot", 1.5), ("beside", 2.5))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")

    def evaluated(predictor):
        monkeypatch.setattr(command, "open_predictor", lambda folder, **_: predictor)
        command.evaluate(
            Evaluate(
                run=str(tmp_path / "run"),
                project=tmp_path / "labels.csv",
                out=tmp_path / "out",
                threshold=0.4,
                overwrite=True,
            )
        )
        return " ".join(capsys.readouterr().out.split())

    printed = evaluated(with_finder())
    assert (
        "56 of 56 animals (100.0 %), some twice on 0 frames, and 0 places where none is labelled"
        in printed
    )
    assert "0 swaps, 0 fragments, " in printed
    # Frames are read in pieces where memory asks for it.
    with monkeypatch.context() as patch:
        patch.setattr(animals, "MOST_BYTES", 10 * 3 * with_finder().finder.side ** 2)
        assert evaluated(with_finder()) == printed
    # Without names animals are numbered, so that errors.csv tells them apart.
    (tmp_path / "labels.csv").write_text(
        "\n".join(rows).replace(",ann,", ",,").replace(",1,bob,", ",1,,") + "\n"
    )
    evaluated(with_finder())
    assert {row["instance"] for row in rows_of(tmp_path / "out" / "errors.csv")} == {
        "animal 0",
        "animal 1",
    }
    half = with_finder().finder._replace(
        find=lambda images: (found := find(images))._replace(
            scores=found.scores * np.array([1, 0, 1, 1])
        )
    )  # without the second animal
    printed = evaluated(with_finder()._replace(finder=half))
    assert "28 of 56 animals (50.0 %), some twice on 0 frames," in printed
    words = printed.partition("PCK ")[2].replace(",", "").split()
    assert float(words[0]) <= 0.6 * float(words[words.index("missed)") + 1])


def test_animals_are_followed_over_labelled_frames_alone():
    """A file of SLEAP lists frames that were only predicted, too: they passed for frames without a swap."""
    frames = tuple(Frame(f"clip/{n}", Path("clip.mp4"), n, (64, 48)) for n in range(60))
    points = np.array([[2.0, 2], [7, 5]])
    instances = tuple(
        instance_of(number, points + corner, box=np.array([*corner, 9, 7]), track=name)
        for number in range(0, 60, 5)
        for name, corner in (("ann", (5.0, 6.0)), ("bob", (40.0, 30.0)))
    )
    clip = Project(Path("p"), "sleap", Skeleton(("spot", "beside")), frames, instances)

    def followed(some):
        points = np.stack([one.keypoints for one in some.instances])
        scores = np.ones(points.shape[:2])
        return command.over_time(some, some, points, scores, np.full(scores.shape, np.nan), 2)

    counts, _, apart = followed(clip)
    assert (counts.frames, counts.swaps, counts.fragments, apart) == (12, 0, 0, 5)
    assert followed(clip._replace(instances=instances[:18])) is None  # nine labelled frames


def test_animals_of_one_keypoint_are_followed_by_their_boxes():
    """One point spans nothing: no animal was found, which counted as no swap."""
    frames = tuple(Frame(f"clip/{n}", Path("clip.mp4"), n, (64, 48)) for n in range(12))
    instances = tuple(
        instance_of(number, np.array([corner]) + 4, box=np.array([*corner, 9, 7]), track=name)
        for number in range(12)
        for name, corner in (("ann", (5.0, 6.0)), ("bob", (40.0, 30.0)))
    )
    clip = Project(Path("p"), "sleap", Skeleton(("spot",)), frames, instances)
    points = np.stack([one.keypoints for one in instances])
    scores = np.ones(points.shape[:2])
    unknown = np.full(scores.shape, np.nan)
    counts, _, _ = command.over_time(clip, clip, points + 0.5, scores, unknown, 2)
    assert (counts.matched >= 0).all()
    assert counts.swaps == 0


@pytest.mark.parametrize("form", ["csv", "dlc", "slp", "coco"])
def test_predictions_of_any_tool_are_measured_and_written_again_with_radii(form, tmp_path, capsys):
    """Thirty frames of a video; the right ear is 5 px off, both ears are exchanged on two frames, and
    the last frame is not predicted."""
    if form in ("dlc", "slp"):
        pytest.importorskip({"dlc": "tables", "slp": "sleap_io"}[form])
    write_video(tmp_path / "v.mp4", [frame((60, 60))] * 30)
    names = ("left_ear", "right_ear")
    rows, points = ["video,frame,keypoint,x,y"], np.zeros((29, 1, 2, 2))
    for n in range(30):
        for k, name in enumerate(names):
            at = np.array([10 + 0.5 * n, 10 + 20 * k])
            rows.append(f"v.mp4,{n},{name},{at[0]},{at[1]}")
            if n < 29:
                points[n, 0, k] = at + k * np.array([3, 4])
    points[[10, 11]] = points[[10, 11]][:, :, ::-1]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    table = empty_table(tmp_path / "v.mp4", ["v.mp4"] * 29, range(29), Skeleton(names), "made")
    table = table._replace(keypoints=points, scores=np.full((29, 1, 2), 0.5))
    table.status[:] = "ok"
    path = {p.suffix: p for p in write_predictions(table, [form], tmp_path / "given", "v")}
    given = path.get(".h5") or next(iter(path.values()))
    if form == "coco":
        given = tmp_path / "given" / "v.coco.json"
    main([str(given), str(tmp_path / "labels.csv"), "--out", str(tmp_path / "out")])
    said = " ".join(capsys.readouterr().out.split())
    assert "counted nowhere: 2 labelled points, among them all of 1 animal" in said
    assert "left and right change places 1 time on 29 frames" in said
    errors = rows_of(tmp_path / "out" / "errors.csv")
    usual = {row["keypoint"]: float(row["error"]) for row in errors if row["frame"] == "5"}
    assert usual == {"left_ear": pytest.approx(0, abs=1e-6), "right_ear": pytest.approx(5)}
    assert len(errors) == 58
    (side,) = rows_of(tmp_path / "out" / "sides.csv")
    assert (side["frame"], side["until"], side["left"]) == ("10", "12", "left_ear")
    written = rows_of(tmp_path / "out" / "v_radii.csv")
    assert len(written) == 58
    assert min(float(row["radius"]) for row in written if row["keypoint"] == "right_ear") >= 5
