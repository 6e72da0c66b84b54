"""Batches and pairs as a function of the step: repeatable, complete, and the same for any number of
processes.
"""

import contextlib
import io
import pickle
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import chex
import jax
import numpy as np
import pytest
from PIL import Image
from test_source import stored_record

import kpjax.input.stream as module
from kpjax.errors import InputError
from kpjax.images.transforms import Letterbox, PersonCrop, Stretch
from kpjax.input.pairs import frame_pairs, reference_frames
from kpjax.input.source import TfdsSource, arrays, identities
from kpjax.input.stream import read_by_processes, stream
from kpjax.input.video_source import frame_name, group_into_videos, in_videos
from kpjax.structures import Skeleton


@pytest.fixture(scope="module")
def source():
    images = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None, None], (10, 4, 4, 3))
    return arrays(images, np.ones((10, 1, 2)), np.ones((10, 1)), Skeleton(("centre",)), "ten")


def numbers(batches) -> list[int]:
    return [int(number) for batch in batches for number in batch.index]


def test_batches_are_a_function_of_seed_and_step(source):
    one, other = (stream(source, batch_size=4, seed=7) for _ in range(2))
    for step in (5, 0, 1_000_000):
        chex.assert_trees_all_equal(one[step], other[step], strict=True)
        np.testing.assert_array_equal(one[step].image[:, 0, 0, 0], one[step].index)
    assert numbers([one[0]]) != numbers([stream(source, batch_size=4, seed=8)[0]])
    batch = stream(source, batch_size=4, seed=0, labelled=False)[0]
    assert not batch.keypoints.any()
    assert not batch.visible.any()


def test_every_epoch_is_a_permutation_of_its_own(source):
    batches = stream(source, batch_size=4, seed=0)
    seen = numbers(batches[step] for step in range(10))
    epochs = [seen[first : first + 10] for first in range(0, 40, 10)]
    assert all(sorted(one) == list(range(10)) for one in epochs)
    assert len({tuple(one) for one in epochs}) == 4
    in_order = stream(source, batch_size=4, seed=0, shuffle=False)
    assert numbers([in_order[2], in_order[3]]) == [8, 9, 0, 1, 2, 3, 4, 5]


def test_counts_in_a_batch_larger_than_the_source_differ_by_two_at_most(source):
    differences = set()
    for batch_size in range(1, 34):
        batches = stream(source, batch_size=batch_size, seed=3, repeats=True)
        for step in range(10):
            counts = np.bincount(batches[step].index, minlength=len(source))
            differences.add(int(np.ptp(counts)))
    assert differences == {0, 1, 2}


@pytest.mark.parametrize("processes", [2, 4])
def test_the_global_batch_does_not_depend_on_the_number_of_processes(source, processes):
    whole = stream(source, batch_size=4, seed=3)
    parts = [
        stream(source, batch_size=4, seed=3, process_index=index, process_count=processes)
        for index in range(processes)
    ]
    for step in range(6):
        joined = jax.tree.map(lambda *rows: np.concatenate(rows), *(part[step] for part in parts))
        chex.assert_trees_all_equal(joined, whole[step], strict=True)


def test_a_batch_may_be_larger_than_a_handful_of_labelled_images(source):
    batches = stream(source, batch_size=16, seed=0, repeats=True)
    seen = numbers(batches[step] for step in range(5))
    assert [sorted(seen[first : first + 10]) for first in range(0, 80, 10)] == [list(range(10))] * 8
    counts = np.bincount(numbers([batches[3]]), minlength=10)
    assert counts.sum() == 16
    assert counts.min() >= 1
    parts = [
        stream(source, batch_size=16, seed=0, repeats=True, process_index=n, process_count=2)
        for n in (0, 1)
    ]
    assert numbers(part[1] for part in parts) == numbers([batches[1]])


@pytest.mark.slow  # a process that imports jax
def test_processes_read_the_same_batches_and_raise_where_it_is_due():
    """Each record is the bytes of an image file; the last one is cut off."""
    source = TfdsSource(
        [stored_record(number) for number in range(5)] + [stored_record(5, 0.5)],
        Skeleton(("left", "right")),
        Stretch(8),
        "set/train",
    )
    batches = stream(source, batch_size=2, seed=0, shuffle=False)
    with contextlib.closing(
        read_by_processes({"labelled": batches}, range(1, 3), workers=1)
    ) as read:
        chex.assert_trees_all_equal(next(read)["labelled"], batches[1], strict=True)
        with pytest.raises(InputError, match=r"set/train, image_5\.jpg: .*prepare the set again"):
            next(read)


# Pairs of frames: of one video, drawn fairly, one crop for both

SKELETON = Skeleton(("nose",))


def videos(*lengths):
    """Frames of 2 x 2 px: red says the video, green and blue its frame."""
    images = np.concatenate(
        [
            np.stack(
                [
                    np.full((2, 2, 3), (video, frame // 256, frame % 256), np.uint8)
                    for frame in range(length)
                ]
            )
            for video, length in enumerate(lengths)
        ]
    )
    count = len(images)
    return group_into_videos(
        arrays(images, np.ones((count, 1, 2)), np.ones((count, 1)), SKELETON, "toys"),
        lengths,
        [f"toy{video}" for video in range(len(lengths))],
    )


@pytest.mark.parametrize(
    ("length", "frame", "expected"),
    [
        (30, 0, range(1, 30)),
        (1000, 500, [*range(250, 500), *range(501, 751)]),
        (1000, 10, [*range(10), *range(11, 261)]),
    ],
)
def test_references_are_the_other_frames_within_the_window(length, frame, expected):
    source = videos(5, length, 5)
    np.testing.assert_array_equal(reference_frames(source, 5 + frame, 250) - 5, list(expected))
    kept = np.arange(0, 40, 5)  # frames that were left out count
    thinned = replace(videos(40), order=kept, video=np.zeros(8, np.int32), frame=kept)
    np.testing.assert_array_equal(thinned.frame[reference_frames(thinned, 4, 10)], [10, 15, 25, 30])


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
    again = pickle.loads(pickle.dumps(pairs["reference"]))[7]  # as other processes read it
    np.testing.assert_array_equal(again.index, pairs["reference"][7].index)
    other = frame_pairs(source, window=3, batch_size=29, seed=6)["reference"][7]
    assert (pairs["frame"].seed, pairs["frame"].window) == (5, 3)  # by which a run knows them
    assert (other.index != pairs["reference"][7].index).any()
    whole, *parts = (
        frame_pairs(source, window=3, batch_size=8, seed=1, **share)
        for share in (
            {},
            {"process_index": 0, "process_count": 2},
            {"process_index": 1, "process_count": 2},
        )
    )
    for name in whole:  # processes share the rows
        np.testing.assert_array_equal(
            np.concatenate([part[name][3].index for part in parts]), whole[name][3].index
        )


def png(shift):
    """A bright square whose upper left corner is at (10 + shift, 20), on a slope of grey."""
    image = np.tile(np.linspace(0, 99, 100, dtype=np.uint8)[:, None], (80, 1, 3))
    image[20:40, 10 + shift : 30 + shift] = 255
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def boxed(transform):
    """Two videos of four frames, in a mixed order, as prepared records."""
    records = [
        {
            "image": png(9 * frame),
            "id": frame_name(f"walk {video}", 10 * frame).encode(),
            "keypoints": np.array([[20 + 9 * frame, 30]], np.float32),
            "visible": np.ones(1, np.float32),
            "scale": np.float32(20),
            "box": np.array([10 + 9 * frame, 20, 20, 20], np.float32),
        }
        for frame in (2, 0, 3, 1)
        for video in (1, 0)
    ]
    return TfdsSource(records, SKELETON, transform, "walks")


def test_prepared_frames_are_put_in_order():
    source = in_videos(
        boxed(Letterbox(32)), lambda title: {"action": {"0": "slow", "1": "fast"}[title[-1]]}
    )
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
        left, right = (
            (10 + shifts.min(), 30 + shifts.max())
            if crop == "union"
            else (10 + shifts[0], 30 + shifts[0])
        )
        assert frame.crop[row, 0, 0] * 40 == pytest.approx(1.25 * (right - left), rel=1e-5)
        middle = frame.crop[row] @ np.array([20, 20, 1], np.float32)
        np.testing.assert_allclose(middle[:2], [(left + right) / 2, 30], atol=1e-4)
        if crop == "union":
            assert all(
                (image[row] == 255).all(-1).sum() > 100 for image in (frame.image, reference.image)
            )
    with pytest.raises(InputError, match="leaks motion"):
        frame_pairs(source, window=30, batch_size=8, seed=0)


def test_crops_that_move_later_in_some_video_are_seen():
    """The first two frames of the first video are cropped alike."""
    shifts = [0, 0, 2, 3, 9, 9, 4, 1]
    for moved in ([shifts], [[0] * 8, shifts], [[0] * 8, [5] * 8]):
        count = 8 * len(moved)
        crop = np.tile(np.eye(3), (count, 1, 1))
        crop[:, 0, 2] = np.ravel(moved)
        frames = arrays(
            np.zeros((count, 4, 4, 3), np.uint8),
            np.ones((count, 1, 2)),
            np.ones((count, 1)),
            SKELETON,
            "crops",
            crop=crop,
        )
        source = group_into_videos(frames, [8] * len(moved), [str(n) for n in range(len(moved))])
        assert source.cropped_anew == (shifts in moved)
        if source.cropped_anew:
            with pytest.raises(InputError, match="leaks motion"):
                frame_pairs(source, window=3, batch_size=4, seed=0)


def test_processes_read_where_shared_memory_has_room_for_their_batches(
    tmp_path, monkeypatch, capsys
):
    source = arrays(
        np.zeros((4, 8, 8, 3), np.uint8),
        np.zeros((4, 1, 2)),
        np.ones((4, 1)),
        Skeleton(("a",)),
        "four",
    )
    streams = {name: stream(source, batch_size=4, seed=0) for name in ("labelled", "unlabelled")}
    one = sum(np.asarray(part).nbytes for part in streams["labelled"][0])
    needed = (3 * 3 + 3) * 2 * one
    monkeypatch.setattr(module, "SHARED_MEMORY", tmp_path)
    for free, workers in ((needed, 3), (needed - 1, 0)):
        monkeypatch.setattr(
            "shutil.disk_usage", lambda path, free=free: SimpleNamespace(free=free, path=path)
        )
        assert module.workers_with_room(3, streams, 7) == workers
    (said,) = capsys.readouterr().err.splitlines()
    assert "3 processes that read images" in said
    assert "--shm-size" in said
    assert module.workers_with_room(0, {}, 0) == 0
    monkeypatch.setattr(module, "SHARED_MEMORY", tmp_path / "none")  # another system
    assert module.workers_with_room(3, streams, 0) == 3
    assert not capsys.readouterr().err


def test_readers_are_as_many_as_the_cores_that_a_job_has(monkeypatch):
    of_files = [object.__new__(module.TfdsSource)]
    for cores, readers in ((4, 0), (8, 6), (64, 32)):
        monkeypatch.setattr(module, "usable_cores", lambda cores=cores: cores)
        assert module.workers_for(of_files) == readers
        assert module.workers_for([object()]) == 0
