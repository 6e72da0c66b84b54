"""Several animals found and followed, by a finder of bright spots and a predictor of the brightest pixel."""
import csv

import numpy as np
from PIL import Image
from scipy import ndimage
from test_predict_videos import HEIGHT, PREDICTOR, WIDTH

from kpjax.centres import Animals
from kpjax.images.transforms import AroundBox
from kpjax.images.video import open_video, write_video
from kpjax.lab.formats.boxes_file import boxes_of
from kpjax.lab.formats.prediction_reading import read_predictions
from kpjax.lab.own.animals import Finder

SIDE, MOST = 64, 4


def find(images):
    """The centres of bright spots; the larger, the surer."""
    centres, extents, scores = np.zeros((len(images), MOST, 2)), np.ones((len(images), MOST)), np.zeros(
        (len(images), MOST))
    for row, image in enumerate(images):
        marked, count = ndimage.label(image[..., 0] > 150)
        for spot in range(min(count, MOST)):
            y, x = np.nonzero(marked == spot + 1)
            centres[row, spot], extents[row, spot] = (x.mean(), y.mean()), max(np.ptp(x), np.ptp(y)) + 1
            scores[row, spot] = 0.5 + len(x) / 1000
    return Animals(centres, extents, scores)


def with_finder(most=2, always=True):
    return PREDICTOR._replace(transform=AroundBox(PREDICTOR.side), finder=Finder(SIDE, most, always, find))


def frame(*spots):
    """A frame with a bright square of four pixels at each place x, y."""
    image = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    for x, y in spots:
        image[y:y + 4, x:x + 4] = 255
    return image


def passing(number):
    """Two animals that pass each other, on two rows."""
    return [(2 * number, 10), (56 - 2 * number, 18)]


def clip_of(tmp_path, *frames):
    return write_video(tmp_path / "clip.mp4", frames, rate=25)


def ways(rows):
    """x of the spot of each animal by frame, nan where it is not there."""
    found = {}
    for row in rows:
        if row["keypoint"] == "spot":
            found.setdefault(row["instance"], []).append(float(row["x"]))
    return found


def test_two_animals_are_found_cropped_and_followed(predict, tmp_path):
    clip = clip_of(tmp_path, *(frame(*passing(number)) for number in range(28)))
    rows, printed, out = predict(clip, predictor=with_finder(), overlay=True, formats="csv,dlc,slp,coco")
    found = ways(rows)
    assert set(found) == {"animal1", "animal2"}
    first, second = (np.array(found[name]) for name in ("animal1", "animal2"))
    np.testing.assert_allclose(first, 2 * np.arange(28) + 1.5, atol=3)
    np.testing.assert_allclose(second, 56 - 2 * np.arange(28) + 1.5, atol=3)
    assert "animals: 2 on 28 frames; 2 told apart" in printed
    with (out / "clip_doubts.csv").open() as file:
        assert next(csv.reader(file)) == ["frame", "first", "second", "why"]
    assert len(open_video(out / "clip_overlay.mp4")) == 28
    names, boxes = boxes_of(out / "clip_boxes.csv", [("clip.mp4", number) for number in range(28)])
    assert names == ("animal1", "animal2")
    np.testing.assert_allclose(boxes[:, 0, 0] + boxes[:, 0, 2] / 2, 2 * np.arange(28) + 2, atol=3)
    for name in ("clip.csv", "clip.slp", "clipDLC_kpjax_made_run_0.h5"):
        back = read_predictions(next(out.glob(name)))
        assert back.instances == ("animal1", "animal2"), name
        np.testing.assert_allclose(back.keypoints[:, 0, 0, 0], first, atol=2e-3)


def test_one_animal_more_than_there_are_is_left_out_and_told(predict, tmp_path):
    clip = clip_of(tmp_path, *(frame((10, 10), (40, 10)) for _ in range(4)), frame((10, 10), (40, 10), (25, 35)))
    rows, printed, out = predict(clip, predictor=with_finder())
    assert {row["instance"] for row in rows} == {"animal1", "animal2"}
    assert "4,,,\"1 more than there are, left out\"" in (out / "clip_doubts.csv").read_text()
    assert "1 moment of doubt: frame 4 (1 more than there are, left out)" in printed


def test_animals_come_and_go_where_their_number_is_not_known(predict, tmp_path):
    clip = clip_of(tmp_path, *(frame((10, 10)) for _ in range(3)), frame(), frame((10, 10), (40, 30)))
    rows, printed, _ = predict(clip, predictor=with_finder(), animals=0, overlay=True)
    found = ways(rows)
    assert np.isnan(found["animal1"]).tolist() == [False] * 3 + [True, False]
    assert np.isnan(found["animal2"]).tolist() == [True] * 4 + [False]
    assert {row["status"] for row in rows if row["frame"] == "3"} == {"no_box"}
    assert "animals: 2 on 1 frame, 1 on 3 frames, 0 on 1 frame; 2 told apart" in printed


def test_animals_of_images_stand_from_left_to_right(predict, tmp_path):
    for name, spots in (("a", [(40, 10), (10, 10)]), ("b", [(30, 30)])):
        Image.fromarray(frame(*spots)).save(tmp_path / f"{name}.png")
    rows, printed, out = predict(tmp_path / "a.png", tmp_path / "b.png", predictor=with_finder())
    spots = [(row["image"], row["instance"], row["status"], round(float(row["x"]) / 10))
             for row in rows if row["keypoint"] == "spot" and row["status"] == "ok"]
    assert spots == [("a.png", "animal1", "ok", 1), ("a.png", "animal2", "ok", 4), ("b.png", "animal1", "ok", 3)]
    assert "animals: 2 on 1 image, 1 on 1 image" in printed
    assert not list(out.glob("*doubts*"))
