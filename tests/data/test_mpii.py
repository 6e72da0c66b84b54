"""MPII: people of the converted lists, the draw by whole images, boxes, and heads from two MATLAB files."""
import json

import numpy as np
import scipy.io
from dataset_contract import Sample, of_sample, write_image

from data.mpii import DATASET, PERSON, RELEASE, Person, draw, person_box
from kpjax.images.transforms import PersonCrop

TRAIN = ("a.jpg", "a.jpg", "b.jpg", "c.jpg", "c.jpg", "c.jpg", "d.jpg", "d.jpg", "v.jpg")
VALID = ("v.jpg", "w.jpg", "w.jpg")


def struct_array(rows):
    """Returns a MATLAB struct array (1, n); every element has every field, empty if its row lacks it."""
    fields = sorted({field for row in rows for field in row})
    array = np.empty((1, len(rows)), [(field, object) for field in fields])
    for number, row in enumerate(rows):
        array[0, number] = tuple(row.get(field, np.zeros((0, 0))) for field in fields)
    return array


def people(images, seed):
    """Returns entries of the converted lists. Each wrist is on the dot, counted from 1."""
    rng = np.random.default_rng(seed)
    entries = [{"image": image, "center": [60.0 + number, 50.0], "scale": 0.4,
                "joints": rng.uniform(30, 80, (16, 2)).tolist(), "joints_vis": rng.integers(0, 2, 16).tolist()}
               for number, image in enumerate(images)]
    for entry in entries:
        entry["joints"][10], entry["joints_vis"][10] = [71.0, 41.0], 1
    return entries


def head(number):
    return [40.0, 30.0, 40.0 + 3 * (number + 1), 30.0 + 4 * (number + 1)]  # the diagonal is 5 (number + 1)


def write(folder, train=None, valid=None):
    train, valid = train or people(TRAIN, 1), valid or people(VALID, 2)
    for image in {*TRAIN, *VALID}:
        write_image(folder / "images" / image, 120, 100, {(70, 40): (255, 255, 255)})
    (folder / "annot").mkdir(exist_ok=True)
    (folder / "annot" / "train.json").write_text(json.dumps(train))
    (folder / "annot" / "valid.json").write_text(json.dumps(valid))
    images = []
    for image in dict.fromkeys(TRAIN):
        rectangles = [dict(zip(("x1", "y1", "x2", "y2"), head(number), strict=True))
                      | {"scale": 0.4, "objpos": {"x": 60.0 + number, "y": 50.0}, "annopoints": {}}
                      for number, name in enumerate(TRAIN) if name == image]
        if image == "a.jpg":
            rectangles.append({"objpos": {"x": 9.0, "y": 9.0}})  # a person without a head, in no list
        images.append({"image": {"name": image}, "annorect": struct_array(rectangles), "vididx": 1.0})
    images.append({"image": {"name": "nobody.jpg"}})
    scipy.io.savemat(folder / "annot" / RELEASE, {"RELEASE": {"annolist": struct_array(images), "img_train": 1}})
    joints = np.array([entry["joints"] for entry in valid]).transpose(1, 2, 0)
    missing = 1 - np.array([entry["joints_vis"] for entry in valid]).T
    corners = np.stack([np.reshape(head(number), (2, 2)) for number in range(len(valid))], -1)
    scipy.io.savemat(folder / "annot" / "gt_valid.mat",
                     {"headboxes_src": corners, "pos_gt_src": np.where(missing[:, None], np.nan, joints),
                      "jnt_missing": missing.astype(np.uint8), "dataset_joints": np.array([PERSON.names], object)})


def with_heads_of_others(folder):
    train, valid = people(TRAIN, 1), people(VALID, 2)
    for entry in train:
        entry["center"][1] += 20
    (folder / "annot" / "train.json").write_text(json.dumps(train))
    (folder / "annot" / "valid.json").write_text(json.dumps([valid[2], valid[1], valid[0]]))


SAMPLE = Sample(
    DATASET, write, {"train": 4, "validation": 2, "rest": 2, "test": ["v_0", "w_0", "w_1"]},
    constants={"mpii.TRAINING": 4, "mpii.VALIDATION": 2},
    damages=[
        (with_heads_of_others, [f"{RELEASE}: no head box for 8 of 8 people: annot/train.json entry ",
                                "gt_valid.mat: the joints differ from those of valid.json in the same order"]),
        (lambda folder: (folder / "annot" / "gt_valid.mat").unlink(),
         ["annot/valid.json has no head boxes, which PCKh needs; put gt_valid.mat into annot/"])])


def test_people_are_drawn_with_their_heads_and_boxes(tmp_path, monkeypatch):
    found = of_sample(SAMPLE, tmp_path, monkeypatch)
    images = {split: {name[:-2] for name in of} for split, of in found.items()}
    assert not images["train"] & images["validation"]
    assert "v" not in images["train"] | images["validation"]  # it tests
    train, valid = people(TRAIN, 1), people(VALID, 2)
    listed = {"v_0": (0, valid), "w_1": (2, valid)} | {name: (TRAIN.index(f"{name[0]}.jpg") + int(name[2]), train)
                                                       for split in set(found) - {"test"} for name in found[split]}
    for name, (number, entries) in listed.items():
        record = next(of[name] for of in found.values() if name in of)
        seen = np.array(entries[number]["joints_vis"]) > 0
        np.testing.assert_array_equal(record["visible"], seen)
        np.testing.assert_allclose(record["keypoints"][seen], np.array(entries[number]["joints"])[seen] - 1, rtol=1e-6)
        assert record["image"][40, 70].min() > 200  # the wrist is on its dot, counted from 0
        np.testing.assert_allclose(record["scale"], 0.6 * 5 * (number + 1), rtol=1e-6)
        np.testing.assert_allclose(record["box"], [60 + number - 1 - 40, 50 + 6 - 1 - 40, 80, 80], rtol=1e-6)


def test_boxes_make_the_official_crop():
    box = person_box(np.array([594.0, 257.0]), 3.021)
    np.testing.assert_allclose(box[:2] + box[2:] / 2, [593, 301.315])
    np.testing.assert_allclose(1.25 * box[2] / 200, 3.776250)
    *_, crop = PersonCrop(256)(np.zeros((8, 8, 3), np.uint8), np.zeros((1, 2)), np.zeros(1), np.float32(1), box)
    np.testing.assert_allclose(crop @ [128, 128, 1], [593, 301.315, 1], rtol=1e-5)
    np.testing.assert_allclose(crop[0, 0], 200 * 3.776250 / 256, rtol=1e-5)
    assert not person_box(np.array([-1.0, -1.0]), 1.0).any()


def test_the_draw_takes_whole_images_in_the_order_of_the_seed():
    everybody = [Person(number, f"{image:02d}", None, "") for number, image in enumerate(np.repeat(range(20), 2))]
    first, second = draw(everybody, (5, 6))
    order = np.random.default_rng(2021).permutation(20)
    assert [person.image for person in first] == [f"{order[k]:02d}" for k in (0, 0, 1, 1, 2)]
    assert [person.image for person in second] == [f"{order[k]:02d}" for k in (3, 3, 4, 4, 5, 5)]
    assert [person.annotation % 2 for person in first] == [0, 1, 0, 1, 0]
