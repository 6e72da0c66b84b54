"""Short moving images: which frames, for how long, and what a viewer finds in the file."""
import numpy as np
import pytest
from PIL import Image, ImageSequence

from kpjax.drawing.moving import FRAMES, SIDE, kept_on_the_way, moving_rows, write_moving


@pytest.mark.parametrize(("times", "count", "rate", "rows", "milliseconds"), [
    (None, 5, 10.0, [0, 1, 2, 3, 4], 100), (None, 100, 30.0, [*range(0, 88, 3)], 100), (None, 1, 25.0, [0], 80),
    ([0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12], 7, 25.0, [0, 5], 100), ([3.0, 3.0], 2, 5.0, [0, 1], 200)])
def test_the_first_seconds_at_about_ten_frames_a_second(times, count, rate, rows, milliseconds):
    assert moving_rows(times, count, rate) == (rows, milliseconds)
    assert len(rows) <= FRAMES


def test_a_spot_moves(tmp_path):
    images = np.zeros((6, 200, 640, 3), np.uint8)
    for number in range(6):
        images[number, 90:110, 100 * number:100 * number + 40] = 250, 120, 0
    kept = []
    assert sum(1 for _ in kept_on_the_way(iter(images), [0, 2, 4], kept)) == 6
    assert [image.shape for image in kept] == [(SIDE * 200 // 640, SIDE, 3)] * 3
    path = write_moving(tmp_path / "deep" / "spot.gif", kept, milliseconds=120)
    with Image.open(path) as found:
        assert (found.info["loop"], found.info["duration"], found.n_frames) == (0, 120, 3)
        for number, frame in enumerate(ImageSequence.Iterator(found)):
            row = np.asarray(frame.convert("RGB"))[50].astype(int)
            assert np.flatnonzero(row[:, 0] > 200).mean() == pytest.approx(100 * number + 9.5, abs=1.5)
