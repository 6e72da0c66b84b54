"""MoveNet in the place of a run: names of keypoints, predictions and errors on projects, and files that are refused."""
import csv
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from untrained import drawn, shapes_of

from kpjax import Example
from kpjax.lab import predictors
from kpjax.lab.commands import run_command
from kpjax.models import movenet_lightning, to_torch
from kpjax.models.movenet import KEYPOINTS, person_box
from kpjax.models.weights.pretrained import write_safetensors
from kpjax.systems import person, published

evaluate, predict = (functools.partial(run_command, name) for name in ("evaluate", "predict"))
MADE_UP = {"head_top": (20, 5), "LeftShoulder": (30, 20), "l_elbow": (34, 30), "tail": (3, 3)}


@pytest.fixture(scope="module")
def weights(shallow_mobilenet, tmp_path_factory):
    """A file of made-up weights of all layers of a shallow MoveNet."""
    path = tmp_path_factory.mktemp("weights") / "made.safetensors"
    write_safetensors(path, {name: array for name, array in to_torch(drawn(shapes_of(
        movenet_lightning(), np.zeros((1, 32, 32, 3), np.float32), False))).items()
                             if array.ndim})
    return path


@pytest.fixture
def small(monkeypatch):
    """Images of 32 px in place of 192."""
    monkeypatch.setattr(predictors, "SIDE", 32)


def project(folder, points):
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    rows = ["image,instance,keypoint,x,y"]
    for name in ("a", "b"):
        Image.fromarray(pixels).save(folder / f"{name}.png")
        rows += [f"{name}.png,0,{keypoint},{x},{y}" for keypoint, (x, y) in points.items()]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "labels.csv")


# Names

@pytest.mark.parametrize(("name", "known"), [
    ("left_shoulder", "left_shoulder"), ("LeftShoulder", "left_shoulder"), ("l_shoulder", "left_shoulder"),
    ("shoulder_right", "right_shoulder"), ("R-Knee", "right_knee"), ("Left ear", "left_ear"), ("Nose", "nose"),
    ("Head Top", "head_top"), ("neck", "neck"), ("shoulder", None), ("left_shoulder_right", None), ("tail", None),
    ("leftshoulderblade", None), ("", None)])
def test_names_are_those_of_a_person_however_they_are_spelt(name, known):
    assert person.of_person(name) == known


def test_a_person_has_arms_and_legs():
    assert person.is_person(["LeftShoulder", "RightShoulder", "l_hip", "r_hip", "tail"])
    assert not person.is_person(["nose", "left_ear", "right_ear", "tail"])  # a mouse
    assert not person.is_person([*KEYPOINTS[5:9], *"abcde"])
    assert not person.is_person([])


def test_the_mirror_image_of_a_person_has_left_and_right_exchanged():
    names = published.PERSON.names
    assert [names[k] for k in published.PERSON.flip[:3]] == ["nose", "right_eye", "left_eye"]
    assert published.WITH_HEAD.flip[-2:] == (17, 18)


def test_neck_and_head_are_worked_out_from_shoulders_and_ears():
    keypoints, scores = np.zeros((1, 17, 2), np.float32), np.full((1, 17), 0.5, np.float32)
    for name, point in (("left_shoulder", (8, 20)), ("right_shoulder", (4, 20)), ("left_ear", (7, 10)),
                        ("right_ear", (5, 10))):
        keypoints[0, KEYPOINTS.index(name)] = point
    scores[0, KEYPOINTS.index("left_ear")] = 0.25
    found, sure = published.with_neck_and_head(jnp.asarray(keypoints), jnp.asarray(scores))
    np.testing.assert_allclose(found[0, 17:], [(6, 20), (6, 1)], rtol=1e-6)
    np.testing.assert_allclose(sure[0, 17:], [0.5, 0.25])


@pytest.mark.slow
def test_where_turned_views_agree_turns_with_the_image(weights):
    """All turns of a view are among the views, and so is its mirror image, with left and right exchanged."""
    trained = published.load(weights)
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    predict = jax.jit(published.people(turned=True).predict)

    def found(pixels):
        pixels = pixels[None]
        return predict(trained, Example(pixels, np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32),
                                        np.ones(1, np.float32), np.eye(3, dtype=np.float32)[None], np.zeros(1, int)))

    plain, mirrored, upside_down = map(found, (image, image[:, ::-1], image[::-1, ::-1]))
    partners = np.array(mirrored.keypoints[0])[np.array(published.PERSON.flip)]
    np.testing.assert_allclose(np.array([31, 0]) + [-1, 1] * partners, plain.keypoints[0], atol=0.05)
    np.testing.assert_allclose(31 - upside_down.keypoints[0], plain.keypoints[0], atol=0.05)
    np.testing.assert_allclose(upside_down.scores, plain.scores, rtol=1e-3)


# Crops of videos

def person_at(middle, height):
    """Keypoints of a person whose shoulders lie above and whose ankles below the hips, by equal lengths."""
    points = np.tile(np.float64(middle), (17, 1))
    for part, share in (("shoulder", -0.5), ("ankle", 0.5)):
        for side, x in (("left", 5), ("right", -5)):
            points[KEYPOINTS.index(f"{side}_{part}")] += (x, share * height)
    return points


def test_the_next_frame_is_looked_at_around_the_hips():
    scores = np.full(17, 0.9)
    box = person_box(person_at((300, 200), 80), scores, (640, 480))
    np.testing.assert_allclose(box, (300.5 - 76, 200.5 - 76, 152, 152))  # 1.9 times 40 px either way
    scores[KEYPOINTS.index("left_ankle")] = 0.1
    far = person_at((300, 200), 80)
    far[KEYPOINTS.index("left_ankle")] += (0, 1000)  # too unsure to count
    np.testing.assert_allclose(person_box(far, scores, (640, 480)), box)


@pytest.mark.parametrize(("size", "part"), [((640, 480), "hip"), ((640, 480), "shoulder"), ((140, 100), "")])
def test_the_whole_image_is_looked_at_where_the_person_is_lost_or_fills_it(size, part):
    scores = np.array([0.1 if part and part in name else 0.9 for name in KEYPOINTS])
    assert person_box(person_at((70, 50), 80), scores, size) is None


# Commands

def test_points_of_images_are_those_of_the_network(weights, small, tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    predict([str(weights), str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--batch-size", "2",
             "--formats", "csv,dlc,slp,coco"])
    assert "MoveNet Lightning as published: 1 images at 32 px" in capsys.readouterr().out
    found, scores = predictors.open_people(weights).predict(np.stack([image] * 2))
    with (tmp_path / "out" / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["keypoint"] for row in rows] == list(KEYPOINTS)
    np.testing.assert_allclose([(float(row["x"]), float(row["y"])) for row in rows], found[0], atol=2e-3)
    np.testing.assert_allclose([float(row["score"]) for row in rows], scores[0], rtol=1e-4)


def test_a_project_of_people_is_measured_by_its_names(weights, small, tmp_path, capsys):
    labels = project(tmp_path / "people", MADE_UP)
    evaluate([str(weights), labels, "--out", str(tmp_path / "out"), "--batch-size", "2", "--threshold", "100"])
    out = capsys.readouterr().out
    assert "the same by their names: head_top, left_shoulder = LeftShoulder, left_elbow = l_elbow" in out
    assert "worked out, since MoveNet does not find it: head_top, 1.9 times" in out
    assert "not known to the run, and not measured: tail" in out
    assert max(len(line) for line in out.replace(str(tmp_path), "").splitlines()) <= 110
    with (tmp_path / "out" / "errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["keypoint"] for row in rows} == {"head_top", "left_shoulder", "left_elbow"}
