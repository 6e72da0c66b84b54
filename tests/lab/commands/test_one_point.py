"""Two keypoints that are one point: the first thing that commands and the report say, and what they show.

The made run finds the brightest pixel, and its second keypoint at the same place, as of a mouse whose
hind paws were one point on 99 % of a video and nothing said so.
"""

import functools

import numpy as np
import pytest
from brightest import as_system, write_run
from PIL import Image
from predict_folder import predict_folder, rows_of

from kpjax.drawing.overlays import WARNING
from kpjax.errors import InputError
from kpjax.evaluation.coincidence import label_distances
from kpjax.files import write_json
from kpjax.images.video import write_video
from kpjax.lab.animals.calibration import table_as_json
from kpjax.lab.commands import run_command
from kpjax.lab.predictors import open_predictor

NAMES = ("spot", "beside")


def with_labels(run, apart, count=30):
    """Gives a run labels of both keypoints so far apart, on animals of 32 px of its 64."""
    points = np.zeros((count, 2, 2))
    points[:, 1, 0] = apart
    known = label_distances(points, np.ones((count, 2)), np.full(count, 32.0), NAMES, size=32.0)
    write_json(run / "label_distances.json", table_as_json(known))


@pytest.fixture
def run(tmp_path, monkeypatch):
    as_system(monkeypatch)
    return write_run(tmp_path / "runs", (0, 0))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, size in enumerate((64, 128, 320)):
        Image.fromarray(image_of(20 + 5 * number, size)).save(folder / f"{number}.png")
    return folder


def image_of(x, size=64):
    pixels, unit = np.full((size, size, 3), 20, np.uint8), size // 64
    pixels[30 * unit : 32 * unit, x * unit : (x + 2) * unit] = 250
    return pixels


def reds(path):
    """The number of pixels that have nearly the colour of the ring."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(pixels - WARNING).max(-1) < 40).sum())


def test_predict_says_first_that_two_keypoints_are_one_point_and_rings_them(
    run, images, tmp_path, capsys
):
    with_labels(run, 6.0)
    predict_folder(run, images, tmp_path / "out")
    said = capsys.readouterr().out
    sentence = "spot and beside are one point on 3 of 3 images; in labels they are never closer than 12 px."
    assert sentence in said  # of the image in the middle, of which a pixel of the run is two
    assert said.index(sentence) < said.index("3 images in ")
    assert "kpjax suggest proposes such frames first" in said
    assert min(reds(path) for path in (tmp_path / "out" / "overlays").iterdir()) >= 10


@pytest.mark.parametrize("apart", [None, 0.1], ids=["no labels known", "labels as one, too"])
def test_nothing_is_said_and_ringed_where_labels_do_not_contradict(
    run, images, tmp_path, capsys, apart
):
    if apart is not None:
        with_labels(run, apart)
    predict_folder(run, images, tmp_path / "out")
    assert "one point" not in capsys.readouterr().out
    assert not any(reds(path) for path in (tmp_path / "out" / "overlays").iterdir()) >= 10


def test_hidden_points_are_not_one_point(run, images, tmp_path, capsys):
    with_labels(run, 6.0)
    predict_folder(run, images, tmp_path / "out", cutoff=0.7)  # the score of `beside` is half
    assert "one point" not in capsys.readouterr().out


def test_labels_of_other_keypoints_are_not_compared_and_broken_ones_are_named(run):
    with_labels(run, 6.0)
    assert open_predictor(run).labels.names == NAMES
    known = label_distances(np.zeros((2, 1, 2)), np.ones((2, 1)), np.ones(2), ("tail",))
    write_json(run / "label_distances.json", table_as_json(known))
    assert open_predictor(run).labels is None
    write_json(run / "label_distances.json", {"names": ["spot"]})
    with pytest.raises(InputError, match=r"label_distances\.json: cannot be read"):
        open_predictor(run)


def test_evaluate_says_it_before_its_table(run, images, tmp_path, capsys):
    rows = ["image,instance,keypoint,x,y"]
    rows += [
        f"{n}.png,0,{name},{x},30"
        for n in range(3)
        for name, x in zip(NAMES, (20, 40), strict=True)
    ]
    (images / "labels.csv").write_text("\n".join(rows) + "\n")
    main = functools.partial(run_command, "evaluate")
    main([str(run), str(images / "labels.csv"), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "spot and beside are one point on 3 of 3 labelled animals; in labels" in said
    assert said.index("one point") < said.index("labelled: 3 frames")


def test_suggest_proposes_such_frames_first(run, tmp_path, capsys):
    """The score of the second keypoint is above the cutoff where the spot is bright: those frames come
    first, though the others look less alike."""
    with_labels(run, 6.0)
    (run / "score_table.json").write_text('{"kind": "peak", "cutoffs": [0.3, 0.3]}')
    dark = [np.minimum(image_of(number, 64), 100) for number in range(0, 60, 3)]
    write_video(tmp_path / "mouse.mp4", [*dark, *(image_of(40) for _ in range(12))])
    run_command(
        "suggest",
        [
            str(run),
            str(tmp_path / "mouse.mp4"),
            "--out",
            str(tmp_path / "out"),
            "--n",
            "4",
            "--apart",
            "3",
        ],
    )
    frames = [int(row["frame"]) for row in rows_of(tmp_path / "out" / "suggestions.csv")]
    assert len(frames) == 4
    assert [frame >= 20 for frame in frames] == [True, True, False, False]
    said = capsys.readouterr().out
    assert (
        "the first 2 of 12 frames on which keypoints are one point that labels show apart" in said
    )


def test_suggest_proposes_a_short_moment_that_lies_between_frames_put_apart(run, tmp_path, capsys):
    """Four such frames, of which none was a tenth one, were proposed never."""
    with_labels(run, 6.0)
    (run / "score_table.json").write_text('{"kind": "peak", "cutoffs": [0.3, 0.3]}')
    dark = np.minimum(image_of(40), 100)
    clip = [image_of(40) if 13 <= number < 17 else dark for number in range(40)]
    write_video(tmp_path / "mouse.mp4", clip)
    flags = ["--out", str(tmp_path / "out"), "--n", "3", "--apart", "10"]
    run_command("suggest", [str(run), str(tmp_path / "mouse.mp4"), *flags])
    frames = [int(row["frame"]) for row in rows_of(tmp_path / "out" / "suggestions.csv")]
    assert 13 <= frames[0] < 17
    assert len(frames) == 3
    assert min(np.diff(sorted(frames))) >= 10
    said = capsys.readouterr().out
    assert "frames on which keypoints are one point that labels show apart" in said
