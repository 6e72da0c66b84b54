"""Decoded images kept on the disc: the same examples, never a stale or damaged one, within a limit."""
import contextlib
import errno
import fcntl
import os
from dataclasses import replace

import numpy as np
import pytest
from records import stored_record

from kpjax.images.transforms import Letterbox, Stretch
from kpjax.input.decoded_cache import Cache, CachedSource, kept_decoded, slot_of
from kpjax.input.source import TfdsSource, subset
from kpjax.input.stream import stream
from kpjax.input.video_source import numbered
from kpjax.structures import Skeleton

SKELETON = Skeleton(("left", "right"))
COUNT = 5


STRETCH = Stretch(8)


def prepared(transform=STRETCH, files="as of today"):
    return TfdsSource([stored_record(number) for number in range(COUNT)], SKELETON, transform, "set/train",
                      files=files)


def undecodable(source):
    """Returns an opened source without the images of its records: it can read those alone that are kept."""
    records = [{**record, "image": b""} for record in source.source.records]
    return replace(source, source=replace(source.source, records=records))


def opened(source, folder, stack, limit=2**20, said=None):
    """Returns what a stream of the source reads while images are kept."""
    streams = {"labelled": stream(source, batch_size=2, seed=0)}
    return stack.enter_context(kept_decoded(streams, Cache(folder, limit), (said if said is not None else []).append)
                               )["labelled"].source


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


def examples(source):
    return [source[index] for index in range(len(source))]


@pytest.fixture
def folder(tmp_path):
    """Returns a folder with a file of decoded images of `prepared()`, all of them."""
    with contextlib.ExitStack() as stack:
        examples(opened(prepared(), tmp_path / "cache", stack))
    return tmp_path / "cache"


def test_examples_are_the_same_bit_for_bit_and_decoded_once(tmp_path):
    expected, said = examples(prepared()), []
    with contextlib.ExitStack() as stack:
        source = opened(prepared(), tmp_path, stack, said=said)
        assert isinstance(source, CachedSource)
        for _ in range(2):
            for found, wanted in zip(examples(source), expected, strict=True):
                assert_equal(found, wanted)
        assert (source.name, source.digest, source.identity(1)) == ("set/train", prepared().digest, "image_1.jpg")
        with pytest.raises(IndexError, match="set/train has 5 examples"):
            source[5]
    assert len(said) == 1
    assert f"{tmp_path}/set_train-" in said[0]
    assert "5 of 5" in said[0]
    with contextlib.ExitStack() as stack:
        for found, wanted in zip(examples(undecodable(opened(prepared(), tmp_path, stack))), expected, strict=True):
            assert_equal(found, wanted)


@pytest.mark.parametrize("damage", ["half", "bit", "none"])
def test_a_slot_that_is_not_whole_is_decoded_again(folder, damage):
    file, = folder.glob("*.images")
    size = slot_of(prepared()[0]).itemsize
    content = bytearray(file.read_bytes())
    assert len(content) == COUNT * size
    if damage == "half":  # as if its process had been killed
        content[2 * size + size // 2:3 * size] = bytes(size - size // 2)
    elif damage == "bit":
        content[2 * size + 7] ^= 1
    file.write_bytes(content[:2 * size] if damage == "none" else content)
    with contextlib.ExitStack() as stack:
        source = opened(prepared(), folder, stack)
        assert_equal(source[2], prepared()[2])
    found = np.frombuffer(file.read_bytes()[:3 * size], slot_of(prepared()[0]))  # mended
    np.testing.assert_array_equal(found["image"][2], prepared()[2].image)


@pytest.mark.parametrize("other", [
    prepared(Stretch(9)), prepared(Letterbox(8)), prepared(files="as of tomorrow"), replace(prepared(), reduced=True),
    prepared(files="")], ids=["side", "transform", "files", "reduced", "unknown files"])
def test_other_records_or_transforms_have_a_file_of_their_own(folder, other):
    with contextlib.ExitStack() as stack:
        source = opened(other, folder, stack)
        assert not source.path.stat().st_size
        assert_equal(source[1], other[1])


def test_no_more_than_the_limit_is_kept(tmp_path):
    size = slot_of(prepared()[0]).itemsize
    for room in (3, 2):  # a smaller limit cuts the file
        with contextlib.ExitStack() as stack:
            source = opened(prepared(), tmp_path, stack, limit=room * size + 5)
            for found, expected in zip(examples(source), examples(prepared()), strict=True):
                assert_equal(found, expected)
            assert source.path.stat().st_size == room * size


def test_files_of_earlier_runs_make_room_unless_they_are_used(tmp_path):
    for name, when in (("older", 1), ("newer", 2), ("used", 0)):
        (tmp_path / f"{name}.images").write_bytes(bytes(8192))
        os.utime(tmp_path / f"{name}.images", (when, when))
    with contextlib.ExitStack() as stack, (tmp_path / "used.images").open() as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        source = opened(prepared(), tmp_path, stack, limit=16384 + 5 * slot_of(prepared()[0]).itemsize)
        assert {path.name for path in tmp_path.glob("*.images")} == {"newer.images", "used.images", source.path.name}
        assert source.kept == 5


def test_a_full_disc_is_one_line_and_nothing_is_lost(tmp_path, monkeypatch, capfd):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with contextlib.ExitStack() as stack:
        source = opened(prepared(), tmp_path, stack)
        for _ in range(2):
            for found, expected in zip(examples(source), examples(prepared()), strict=True):
                assert_equal(found, expected)
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert "No space left on device" in printed


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    said = []
    with contextlib.ExitStack() as stack:
        assert_equal(opened(prepared(), tmp_path / "file", stack, said=said)[0], prepared()[0])
    assert len(said) == 1
    assert "decoded images are not kept" in said[0]


def test_views_videos_and_no_cache(tmp_path):
    part = subset(prepared(), [4, 1])
    with contextlib.ExitStack() as stack:
        view = opened(part, tmp_path, stack)
        assert isinstance(view.source, CachedSource)
        assert_equal(view[0], part[0])
        assert view.digest == part.digest
    boxed = replace(prepared(), records=[{**record, "box": np.array([1, 2, 5, 6], np.float32)}
                                         for record in prepared().records])
    video = numbered(boxed, [COUNT], ["film"])
    with contextlib.ExitStack() as stack:
        cached = opened(video, tmp_path, stack)
        np.testing.assert_array_equal(cached.box(2), [1, 2, 5, 6])
        assert_equal(cached.within(2, np.array([0, 0, 3, 3])), video.within(2, np.array([0, 0, 3, 3])))
    streams = {"labelled": stream(prepared(), batch_size=2, seed=0)}
    with kept_decoded(streams, None, print) as same:
        assert same is streams
