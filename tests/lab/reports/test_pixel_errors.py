"""Errors in pixels with and without the cutoff, as numbers, as a table, as files, and in words."""
from pathlib import Path

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.lab.out.reports import pixel_errors
from kpjax.lab.out.reports.sheets import MOST, Compared, cropped
from kpjax.lab.out.reports.verdict import advice, verdict

NAMES = ("snout", "left ear", "tail")


def made(errors, *, part=pixel_errors.HELD_OUT, scores=None, length=100.0, folder="day 1", first=0):
    """Animals whose predictions lie to the right of their labels by `errors` (N, K); nan is not labelled."""
    errors = np.asarray(errors, np.float64)
    count, keypoints = errors.shape
    true = np.stack(np.broadcast_arrays(np.arange(keypoints) * 10.0, np.full(errors.shape, 7.5)), -1)
    predicted = true + np.stack([np.nan_to_num(errors), np.zeros_like(errors)], -1)
    return pixel_errors.Animals(NAMES[:keypoints], (part,) * count,
                   tuple(Path(f"/data/{folder}/img{n:03d}.png") for n in range(first, first + count)), (None,) * count,
                   ("",) * count, np.full(count, length), true, np.isfinite(errors).astype(np.float32), predicted,
                   np.ones(errors.shape) if scores is None else np.asarray(scores, np.float64))


def test_errors_with_and_without_the_cutoff():
    animals = made([[1, 20, np.nan], [3, 4, 30]], scores=[[1, 0.1, 0], [1, 0.5, 0.2]])
    found = pixel_errors.errors_of(animals, 0.5)
    assert found["snout"] == (2, 2.0, 2.0, 2.0, 0, 1.0, 0.02)
    assert found["left ear"][:5] == (2, 12.0, 12.0, 4.0, 1)
    assert found["tail"].hidden == 1
    assert np.isnan(found["tail"].shown)
    assert found[pixel_errors.ALL][:2] == (5, 4.0)
    assert found[pixel_errors.ALL].mean == pytest.approx(58 / 5)
    assert found[pixel_errors.ALL].shown == pytest.approx(8 / 3)
    assert (found[pixel_errors.ALL].hidden, found[pixel_errors.ALL].found) == (2, 0.6)
    metrics = pixel_errors.metrics_of(animals, 0.5)
    assert metrics["held_out/px"] == pytest.approx(58 / 5)
    assert (metrics["held_out/px/snout"], metrics["held_out/hidden"]) == (2.0, 2.0)


def test_what_is_written_is_read_again(tmp_path):
    learnt = made([[1.0, 1, 1]] * 2, part=pixel_errors.TRAINED, first=5)
    animals = pixel_errors.joined([made([[2.0, np.nan, 4.5]]), learnt])
    animals = animals._replace(frames=(None, 3, 4), instances=("", "animal 0", "animal 1"))
    pixel_errors.write_errors(tmp_path, animals, 0.25)
    found = pixel_errors.read_errors(tmp_path, NAMES)
    for field in ("names", "parts", "images", "frames", "instances"):
        assert getattr(found, field) == getattr(animals, field)
    np.testing.assert_allclose(found.distances, animals.distances)
    np.testing.assert_array_equal(found.visible, animals.visible)
    assert pixel_errors.read_errors(tmp_path / "nothing") is None
    table = (tmp_path / "errors_by_keypoint.csv").read_text().splitlines()
    assert table[0].startswith("part,keypoint,labels,median_px,mean_px,mean_px_from_cutoff,hidden_by_cutoff,cutoff")
    assert "trained on,snout,2,1,1,1,0,0.25,100" in table
    (tmp_path / "errors.csv").write_text((tmp_path / "errors.csv").read_text().replace("4.5", "far"))
    with pytest.raises(InputError, match=r"errors\.csv: cannot be read"):
        pixel_errors.read_errors(tmp_path)
    (tmp_path / "errors.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match=r"errors\.csv: cannot be read .*not what a run writes"):
        pixel_errors.read_errors(tmp_path)


def test_the_verdict_has_the_numbers_and_what_the_cutoff_hides():
    scores = np.ones((12, 3))
    scores[:4, 2] = 0.1
    said = " ".join(verdict(pixel_errors.joined([made(np.full((12, 3), 4.0), scores=scores), made(
        np.full((20, 3), 3.0), part=pixel_errors.TRAINED, first=50)]), 0.3))
    assert "learnt 3 keypoints from 60 labels on 20 frames" in said
    assert "On 12 frames whose labels it has never seen, the mean error is 4.0 px, 4.0 % of the animal’s" in said
    assert "leave out 4 of the 36 held-out points" in said
    assert "tail 4." in said
    assert "nothing is known of new ones" in verdict(made([[1.0]], part=pixel_errors.TRAINED), 0.3)[-1]


def test_labels_of_the_target_come_first_and_are_no_place_to_choose_by():
    of_target = made([[9.0] * 3] * 2, part=pixel_errors.TARGET)
    said = verdict(pixel_errors.joined([of_target, made([[4.0] * 3] * 5, first=50)]), 0.3)
    assert said[0].startswith("On 2 frames of the target whose labels it has never seen, the mean error is 9.0 px")
    assert "choosing a variant or a setting by them is choosing on test images" in said[2]
    assert said[3] == "On 5 held-out frames of the source, the mean error is 4.0 px."


LEARNT = made(np.full((20, 3), 4.0), part=pixel_errors.TRAINED, first=50)


@pytest.mark.parametrize(("held", "learnt", "words"), [
    (made([[4.0, 4.0, 12.0]] * 12), LEARNT,
     ["More frames on which tail (12.0 px) looks different or is hard to see: the usual keypoint has 4.0 px"]),
    (made([[4.0, 4.0, 12.0]] * 12), LEARNT._replace(visible=LEARNT.visible * np.array([1, 1, 0.0])),
     ["More labels of tail (12.0 px, 0 labels): the usual keypoint has 4.0 px, and up to 20 labels."]),
    (pixel_errors.joined([made([[4.0] * 3] * 6), made([[10.0] * 3] * 6, folder="night")]), LEARNT,
     ["More labels from recordings like night: its error is 10.0 %"]),
    (made([[12.0] * 3] * 12), LEARNT,
     ["More labelled frames, of other moments and animals: the held-out error is 3.0 times"]),
    (made([[4.0] * 3] * 12), LEARNT, ["Longer training (--steps)"]),
    (made([[6.0] * 3] * 3), LEARNT, ["More labels that are held out: with 3 frames"]),
    (made([[6.0] * 3] * 12), LEARNT, [])])
def test_advice_by_plain_rules(held, learnt, words):
    found = advice(pixel_errors.joined([held, learnt]), 0.3)
    assert len(found) == len(words), found
    for text, start in zip(found, words, strict=True):
        assert text.startswith(start)


# Predictions beside labels on crops of the original images


TRUE = np.array([[300.0, 200.0], [340.0, 230.0]])
ONE = Compared(TRUE + 4.0, np.array([0.9, 0.1]), TRUE, np.ones(2))
IMAGE = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)


def test_a_crop_keeps_the_pixels_of_the_image_and_moves_the_points_along():
    image, one = cropped(IMAGE, ONE, 0.5)
    assert 360 <= max(image.shape[:2]) < 720
    left = one.true[0] - (TRUE[0] - TRUE[0].round())
    factor = np.diff(one.true, axis=0) / np.diff(TRUE, axis=0)
    np.testing.assert_allclose(factor, round(factor[0, 0]))  # enlarged by a whole factor
    np.testing.assert_allclose(one.predicted - one.true, 4.0 * factor.repeat(2, 0))
    assert (left > 0).all()
    assert (left < image.shape[1::-1]).all()
    wide = Compared(np.array([[10.0, 10.0], [2900.0, 1900.0]]), np.ones(2), np.array([[10.0, 10.0], [2900.0, 1900.0]]),
                    np.ones(2))
    large, moved = cropped(np.zeros((2000, 3000, 3), np.uint8), wide, 0.5)
    assert max(large.shape) == MOST
    assert (moved.true < large.shape[1::-1]).all()
