"""Errors on a video's labelled frames, by made networks whose errors are known."""
import numpy as np
import pytest
from PIL import Image

from experiments.engine.own import video_errors as study
from experiments.engine.predictors import Predictor
from experiments.engine.results import read_results
from kpjax import Skeleton
from kpjax.errors import InputError
from kpjax.evaluation.conformal import radius_table
from kpjax.files import write_json
from kpjax.images.transforms import Letterbox
from kpjax.images.video import write_video

SIDE, FRAMES, LABELLED = 64, 24, (2, 9, 16)
OFFSETS = np.float32([[0, 0], [0, 0], [3, 0]])  # of three networks: one is always 3 px too far to the right


def place(number):
    return np.array([10.0 + 2 * number, 20.0])


def shown(number):
    """A frame whose bright square of five pixels has its middle at the frame's place."""
    image = np.full((SIDE, SIDE, 3), 20, np.uint8)
    x, y = place(number).astype(int)
    image[y - 2:y + 3, x - 2:x + 3] = 255
    return image


def three(images):
    """The middle of what is bright, to the pixel, and the same moved by the offsets."""
    bright = images.mean(-1) > 128
    points = np.stack([np.round([cols.mean(), rows.mean()]) for rows, cols in map(np.nonzero, bright)])[:, None]
    points = points.astype(np.float32)
    scores = np.full(points.shape[:2], 0.9, np.float32)
    return points, scores, np.stack([points + offset for offset in OFFSETS], 1)


def labelled(root, numbers=LABELLED, drawn=shown):
    rows = ["image,instance,keypoint,x,y"]
    for number in numbers:
        path = root / "clip" / f"img{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn(number)).save(path)
        rows.append("clip/{},0,middle,{},{}".format(path.name, *place(number)))
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root / "labels.csv"


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Runs the study; radii are 2.5 px whatever the score."""
    table = radius_table(np.full((100, 1), 2.5), np.full((100, 1), 0.9), np.ones((100, 1)))
    predictor = Predictor(Skeleton(("middle",)), SIDE, Letterbox(SIDE), lambda images: three(images)[:2], "peak", 0.6,
                          "made", {}, table, with_members=three)
    monkeypatch.setattr(study, "open_predictor", lambda folder: predictor)
    clip = write_video(tmp_path / "clip.mp4", map(shown, range(FRAMES)), rate=25)
    write_json(tmp_path / "ensemble" / "seed-0" / "results.json", {"commit": "abc"})

    def run(labels, **changes):
        monkeypatch.setattr(study, "open_predictor", lambda folder: predictor._replace(**changes))
        study.main(["made_up", str(tmp_path / "ensemble"), str(labels), str(clip), "--draws", "50", "--room",
                    str(tmp_path)])
        return {(one.variant, one.seed, one.metric): one for one in read_results(tmp_path)}

    (tmp_path / "ensemble" / "seed-0").mkdir(parents=True, exist_ok=True)
    return run


def test_errors_of_networks_alone_of_their_median_and_after_smoothing(measured, tmp_path):
    found = measured(labelled(tmp_path / "labelled"))
    assert [found["single", str(number), "error"].value for number in range(3)] == pytest.approx([0, 0, 3], abs=0.01)
    assert found["ensemble", "0", "error"].value == pytest.approx(0, abs=0.01)
    assert found["ensemble_smoothed", "0", "error"].value < 1
    less = found["ensemble - single", "mean", "error"]
    assert (less.value, less.low, less.high) == pytest.approx((-1, -1, -1), abs=0.01)
    assert found["single", "2", "within_radius"].value == 0
    assert found["ensemble", "0", "within_radius"].value == 1
    assert less.settings == "project=made_up"
    assert less.commit == "abc"


def test_steps_beyond_the_radius_are_jumps():
    points = np.zeros((5, 1, 2))
    points[2] = [4, 0]  # there and back
    points[4] = [2, 0]
    assert study.jumps(points, np.full((5, 1), 2.5)).ravel().tolist() == [False, True, True, False]
    assert study.jumps(points, np.array([2.5, 9, 9, 2.5, 1])[:, None]).ravel().tolist() == [False, False, True, True]


def test_a_keypoint_without_a_label_does_not_count():
    labels = study.Labels(np.array([0, 1]), np.zeros((2, 2, 2)), np.array([[True, False], [True, True]]), ())
    found = study.distances(np.full((2, 2, 2), [3.0, 4.0]), labels)
    np.testing.assert_array_equal(found, [[5, np.nan], [5, 5]])


def test_what_cannot_be_measured_is_named(measured, tmp_path):
    labels = labelled(tmp_path / "labelled")
    with pytest.raises(InputError, match="is one network; give a variant's folder with several seeds"):
        measured(labels, with_members=None)
    with pytest.raises(InputError, match="has no radii; train with labels held out"):
        measured(labels, radii=None)
    late = labelled(tmp_path / "late", (3, FRAMES))
    with pytest.raises(InputError, match=f"img0{FRAMES}.png is of frame {FRAMES}, .* has {FRAMES}; name the video"):
        measured(late)
    other = labelled(tmp_path / "other", drawn=lambda number: 255 - shown(number))
    with pytest.raises(InputError, match=r"img002\.png does not show frame 2"):
        measured(other)
    (tmp_path / "other" / "clip").rename(tmp_path / "other" / "film")
    text = (tmp_path / "other" / "labels.csv").read_text().replace("clip/", "film/")
    (tmp_path / "other" / "labels.csv").write_text(text)
    with pytest.raises(InputError, match="has no labelled image clip/"):
        measured(tmp_path / "other" / "labels.csv")
