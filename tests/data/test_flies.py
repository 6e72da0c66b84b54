"""Crops of two flies: labels and images move together, the draw is fixed, and parts do not share a frame."""
import numpy as np
import pytest

from data import flies
from data.flies import DATASET, FLY
from experiments.pyramids import PRESETS
from experiments.pyramids.videos import open_videos
from kpjax.images.transforms import Letterbox
from kpjax.images.video import write_video
from kpjax.systems.configs import changed

sleap_io = pytest.importorskip("sleap_io", reason="sleap-io reads the clip; install the extra kpjax[sleap]")
WIDTH, HEIGHT, COUNT = 96, 80, 12
RANGES = {"first": range(4, 8), "second": range(8, 12), "tune": range(0, 4)}


def points_of(track, number):
    """The thorax, at a bright pixel of the frame, and the other points about it."""
    thorax = np.array([20.0 + 3 * number, 16.0]) if track == "female" else np.array([70.0 - 2 * number, 60.0])
    return thorax + np.array([[k % 4 - 2, k // 4 - 1] for k in range(13)]) * (np.arange(13) != 1)[:, None]


def write(folder, tracks=("female", "male"), names=FLY.names):
    """Writes the clip with some labels missing."""
    frames = np.full((COUNT, HEIGHT, WIDTH, 3), 30, np.uint8)
    for number in range(COUNT):
        for track in ("female", "male"):
            x, y = points_of(track, number)[1].astype(int)
            frames[number, y - 1:y + 2, x - 1:x + 2] = 220
    write_video(folder / "clip.mp4", frames)
    skeleton = sleap_io.Skeleton(list(names))
    video = sleap_io.Video(filename=str(folder / "clip.mp4"), open_backend=False)
    video.backend_metadata["shape"] = frames.shape
    known = [sleap_io.Track(name) for name in tracks]
    labelled, missing = [], min(5, len(names) - 1)
    for number in range(COUNT):
        instances = []
        for name, track in zip(("female", "male"), known or (None, None), strict=True):
            points = points_of(name, number)[:len(names)]
            if number == 6:
                points[missing] = np.nan
            instances.append(sleap_io.Instance.from_numpy(points, skeleton=skeleton, track=track))
        labelled.append(sleap_io.LabeledFrame(video, number, instances))
    sleap_io.save_slp(sleap_io.Labels(labelled, videos=[video], skeletons=[skeleton], tracks=known),
                      str(folder / "clip.slp"))


@pytest.fixture
def clip(tmp_path, monkeypatch):
    for name, value in {"SIDE": 24, "JITTER": 4, "CLIP": 2, "FRAMES": RANGES}.items():
        monkeypatch.setattr(flies, name, value)
    (tmp_path / "clip").mkdir()
    write(tmp_path / "clip")
    return tmp_path / "clip"


def test_labels_lie_on_their_fly_and_crops_move(clip, records):
    found = records(DATASET, clip)
    assert {part: len(one) for part, one in found.items()} == {"first": 8, "second": 8, "tune": 8}
    places = []
    for name, one in found["first"].items():
        x, y = np.round(one["keypoints"][1]).astype(int)
        assert one["image"].shape == (24, 24, 3)
        assert one["image"][y, x].min() > 150  # the bright pixel of the thorax
        assert one["visible"].tolist() == [1.0] * 5 + [0.0 if name.endswith("#000006") else 1.0] + [1.0] * 7
        places.append((x, y))
    assert len(set(places)) > 4  # off the middle by another draw in every frame
    assert sorted({name.rpartition("#")[0] for name in found["first"]}) == [
        "female/00", "female/01", "male/00", "male/01"]
    assert [one["keypoints"].tolist() for one in records(DATASET, clip)["first"].values()] == [
        one["keypoints"].tolist() for one in found["first"].values()]


def test_seeds_exchange_the_parts(clip, records, tmp_path):
    records(DATASET, clip)
    videos = changed(PRESETS["flies_part"], image_size=16).data

    def opened(seed):
        return open_videos(videos, seed, tmp_path / "prepared")

    train, test = opened(0)
    other_train, other_test = opened(1)
    assert (train.frame.min(), test.frame.min()) == (4, 8)
    assert (other_train.frame.min(), other_test.frame.min()) == (8, 4)
    assert opened(100)[1].frame.max() == 3
    assert opened(2)[0] is opened(4)[0]
    assert isinstance(videos.square(), Letterbox)
