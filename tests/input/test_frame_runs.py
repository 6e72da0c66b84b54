"""Runs of frames: one after another, of one video, without gaps, the same for any number of processes."""
from dataclasses import replace

import numpy as np

from kpjax.input.frame_runs import frame_runs
from kpjax.input.source import arrays
from kpjax.input.video_source import numbered
from kpjax.structures import Skeleton

IMAGES = np.zeros((19, 4, 4, 3), np.uint8)
VIDEOS = numbered(arrays(IMAGES, np.ones((19, 1, 2)), np.ones((19, 1)), Skeleton(("nose",)), "toys"), [3, 6, 10],
                  ["a", "b", "c"])
GAPS = replace(VIDEOS, frame=np.array([0, 2, 4, 0, 2, 4, 6, 8, 10, 0, 2, 4, 6, 10, 12, 14, 16, 18, 20]))


def test_runs_begin_everywhere_they_can_once_an_epoch():
    runs = frame_runs(VIDEOS, length=4, seed=1)
    firsts = [runs[step].index[0] for step in range(2 * 10)]
    assert sorted(firsts[:10]) == sorted(firsts[10:]) == [3, 4, 5, 9, 10, 11, 12, 13, 14, 15]
    for step in range(10):
        np.testing.assert_array_equal(np.diff(runs[step].index), 1)
        assert not runs[step].visible.any()
    assert [frame_runs(VIDEOS, length=4, seed=1)[step].index[0] for step in range(20)] == firsts


def test_frames_left_out_end_a_run():
    runs = frame_runs(GAPS, length=4, seed=1)
    assert {int(runs[step].index[0]) for step in range(30)} == {3, 4, 5, 9, 13, 14, 15}


def test_processes_share_a_run():
    whole, parts = frame_runs(VIDEOS, length=4, seed=3), [
        frame_runs(VIDEOS, length=4, seed=3, process_index=index, process_count=2) for index in (0, 1)]
    for step in range(3):
        np.testing.assert_array_equal(whole[step].index, np.concatenate([part[step].index for part in parts]))
