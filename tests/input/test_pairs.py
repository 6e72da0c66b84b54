"""Pairs and runs of frames: of one video, drawn fairly, the same on any number of processes, one crop for a pair."""
import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kpjax.errors import InputError
from kpjax.images.transforms import Letterbox, PersonCrop
from kpjax.input.pairs import frame_pairs, reference_frames
from kpjax.input.source import TfdsSource, arrays, identities
from kpjax.input.video_source import frame_name, in_videos, numbered
from kpjax.structures import Skeleton

SKELETON = Skeleton(("nose",))


def videos(*lengths):
    """Frames of 2 x 2 px: red says the video, green and blue its frame."""
    images = np.concatenate([
        np.stack([np.full((2, 2, 3), (video, frame // 256, frame % 256), np.uint8) for frame in range(length)])
        for video, length in enumerate(lengths)])
    count = len(images)
    return numbered(arrays(images, np.ones((count, 1, 2)), np.ones((count, 1)), SKELETON, "toys"), lengths,
                    [f"toy{video}" for video in range(len(lengths))])


@pytest.mark.parametrize(("length", "frame", "expected"), [
    (30, 0, range(1, 30)), (1000, 500, [*range(250, 500), *range(501, 751)]),
    (1000, 10, [*range(10), *range(11, 261)])])
def test_references_are_the_other_frames_within_the_window(length, frame, expected):
    source = videos(5, length, 5)
    np.testing.assert_array_equal(reference_frames(source, 5 + frame, 250) - 5, list(expected))


def test_pairs_are_of_one_video_and_uniform_over_the_window():
    source = videos(40, 7, 40)
    pairs = frame_pairs(source, window=3, batch_size=29, seed=5)
    assert set(pairs) == {"frame", "reference"}
    seen = Counter()
    for step in range(30):  # 10 epochs
        frame, reference = pairs["frame"][step], pairs["reference"][step]
        assert not frame.visible.any()
        assert not reference.keypoints.any()
        np.testing.assert_array_equal(frame.image[..., 0], reference.image[..., 0])
        apart = reference.index - frame.index
        assert (np.abs(apart) <= 3).all()
        assert apart.all()
        inner = (frame.index % 47 >= 3) & (frame.index % 47 < 37)
        seen.update(apart[inner].tolist())
    counts = np.array([seen[apart] for apart in (-3, -2, -1, 1, 2, 3)])
    expected = counts.sum() / 6
    assert ((counts - expected) ** 2 / expected).sum() < 20.5  # 0.1 % of fair draws
    again = frame_pairs(source, window=3, batch_size=29, seed=5)["reference"][7]
    np.testing.assert_array_equal(again.index, pairs["reference"][7].index)
    other = frame_pairs(source, window=3, batch_size=29, seed=6)["reference"][7]
    assert (other.index != pairs["reference"][7].index).any()


def test_processes_share_the_rows():
    source = videos(20, 20)
    whole = frame_pairs(source, window=9, batch_size=8, seed=1)
    for name in whole:
        parts = [frame_pairs(source, window=9, batch_size=8, seed=1, process_index=process, process_count=2)[name]
                 for process in range(2)]
        np.testing.assert_array_equal(np.concatenate([part[3].index for part in parts]), whole[name][3].index)


def test_frames_that_were_left_out_count():
    kept = np.arange(0, 40, 5)
    thinned = replace(videos(40), order=kept, video=np.zeros(8, np.int32), frame=kept)
    np.testing.assert_array_equal(thinned.frame[reference_frames(thinned, 4, 10)], [10, 15, 25, 30])


def png(shift):
    """A bright square whose upper left corner is at (10 + shift, 20), on a slope of grey."""
    image = np.tile(np.linspace(0, 99, 100, dtype=np.uint8)[:, None], (80, 1, 3))
    image[20:40, 10 + shift:30 + shift] = 255
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def boxed(transform):
    """Two videos of four frames, in a mixed order, as prepared records."""
    records = [{"image": png(9 * frame), "id": frame_name(f"walk {video}", 10 * frame).encode(),
                "keypoints": np.array([[20 + 9 * frame, 30]], np.float32), "visible": np.ones(1, np.float32),
                "scale": np.float32(20), "box": np.array([10 + 9 * frame, 20, 20, 20], np.float32)}
               for frame in (2, 0, 3, 1) for video in (1, 0)]
    return TfdsSource(records, SKELETON, transform, "walks")


def test_prepared_frames_are_put_in_order():
    source = in_videos(boxed(Letterbox(32)), lambda title: {"action": {"0": "slow", "1": "fast"}[title[-1]]})
    assert source.titles == ("walk 0", "walk 1")
    assert source.facts == {"action": ("slow", "fast")}
    np.testing.assert_array_equal(source.frame, [0, 10, 20, 30] * 2)
    assert identities(source)[5] == "walk 1#000010"
    assert source[5].index == 5


@pytest.mark.parametrize("crop", ["union", "first"])
def test_one_crop_for_both_frames(crop):
    source = in_videos(boxed(PersonCrop(40, 1.25)))
    pairs = frame_pairs(source, window=30, batch_size=8, seed=0, crop=crop)
    frame, reference = pairs["frame"][0], pairs["reference"][0]
    np.testing.assert_array_equal(frame.crop, reference.crop)
    for row, (own, other) in enumerate(pairs["frame"].pairs(0)):
        shifts = 0.9 * source.frame[[own, other]]
        left, right = (10 + shifts.min(), 30 + shifts.max()) if crop == "union" else (10 + shifts[0], 30 + shifts[0])
        assert frame.crop[row, 0, 0] * 40 == pytest.approx(1.25 * (right - left), rel=1e-5)
        middle = frame.crop[row] @ np.array([20, 20, 1], np.float32)
        np.testing.assert_allclose(middle[:2], [(left + right) / 2, 30], atol=1e-4)
        if crop == "union":
            assert all((image[row] == 255).all(-1).sum() > 100 for image in (frame.image, reference.image))
    with pytest.raises(InputError, match="crops each frame on its own, which leaks motion"):
        frame_pairs(source, window=30, batch_size=8, seed=0)
