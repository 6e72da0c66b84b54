"""Crops of two flies: labels and images move together, the draw is fixed, and parts do not share a
frame.
"""

import numpy as np
import pytest
from dataset_contract import records

from data import flies
from data.flies import DATASET, FLY
from experiments.pyramids import PRESETS
from experiments.pyramids.videos import open_videos
from kpjax.images.video import write_video
from kpjax.papers.configs import replace_fields

sleap_io = pytest.importorskip(
    "sleap_io", reason="sleap-io reads the clip; install the extra kpjax[sleap]"
)
WIDTH, HEIGHT, COUNT = 96, 80, 12
RANGES = {"first": range(4, 8), "second": range(8, 12), "tune": range(0, 4)}


def points_of(track, number):
    """The thorax, at a bright pixel of the frame, and the other points about it."""
    thorax = (
        np.array([20.0 + 3 * number, 16.0])
        if track == "female"
        else np.array([70.0 - 2 * number, 60.0])
    )
    return (
        thorax
        + np.array([[k % 4 - 2, k // 4 - 1] for k in range(13)]) * (np.arange(13) != 1)[:, None]
    )


def write(folder):
    """Writes the clip with a label missing."""
    frames = np.full((COUNT, HEIGHT, WIDTH, 3), 30, np.uint8)
    for number in range(COUNT):
        for track in ("female", "male"):
            x, y = points_of(track, number)[1].astype(int)
            frames[number, y - 1 : y + 2, x - 1 : x + 2] = 220
    write_video(folder / "clip.mp4", frames)
    skeleton = sleap_io.Skeleton(list(FLY.names))
    video = sleap_io.Video(filename=str(folder / "clip.mp4"), open_backend=False)
    video.backend_metadata["shape"] = frames.shape
    tracks, labelled = [sleap_io.Track(name) for name in ("female", "male")], []
    for number in range(COUNT):
        instances = []
        for track in tracks:
            points = points_of(track.name, number)
            if number == 6:
                points[5] = np.nan
            instances.append(sleap_io.Instance.from_numpy(points, skeleton=skeleton, track=track))
        labelled.append(sleap_io.LabeledFrame(video, number, instances))
    sleap_io.save_slp(
        sleap_io.Labels(labelled, videos=[video], skeletons=[skeleton], tracks=tracks),
        str(folder / "clip.slp"),
    )


@pytest.fixture
def clip(tmp_path, monkeypatch):
    for name, value in {"SIDE": 24, "JITTER": 4, "CLIP": 2, "FRAMES": RANGES}.items():
        monkeypatch.setattr(flies, name, value)
    (tmp_path / "clip").mkdir()
    write(tmp_path / "clip")
    return tmp_path / "clip"


def test_labels_lie_on_their_fly_and_crops_move(clip, tmp_path):
    found, again = (records(DATASET, clip, tmp_path / name) for name in ("prepared", "again"))
    assert {part: len(one) for part, one in found.items()} == {"first": 8, "second": 8, "tune": 8}
    places = []
    for name, one in found["first"].items():
        x, y = np.round(one["keypoints"][1]).astype(int)
        assert one["image"].shape == (24, 24, 3)
        assert one["image"][y, x].min() > 150  # the bright pixel of the thorax
        assert (
            one["visible"].tolist()
            == [1.0] * 5 + [0.0 if name.endswith("#000006") else 1.0] + [1.0] * 7
        )
        places.append((x, y))
    assert len(set(places)) > 4  # off the middle by another draw in every frame
    assert sorted({name.rpartition("#")[0] for name in found["first"]}) == [
        "female/00",
        "female/01",
        "male/00",
        "male/01",
    ]
    for name, one in found["first"].items():
        np.testing.assert_array_equal(again["first"][name]["keypoints"], one["keypoints"])


def test_seeds_exchange_the_parts(clip, tmp_path):
    records(DATASET, clip, tmp_path / "prepared")
    videos = replace_fields(PRESETS["flies_part"], image_size=16).data

    def opened(seed):
        return open_videos(videos, seed, tmp_path / "prepared")

    assert [[part.frame.min() for part in opened(seed)] for seed in (0, 1)] == [[4, 8], [8, 4]]
    assert opened(100)[1].frame.max() == 3
    assert opened(2)[0] is opened(4)[0]
