"""What runs on a person's own labels keep of their errors, by a made system that trains nothing."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kpjax.files import read_json
from kpjax.input.source import ArraySource, arrays, subset
from kpjax.lab.animals.calibration import read_score_table
from kpjax.lab.animals.conformal import missing, radius_table_from, read_radius_table
from kpjax.lab.own.declaration import beside
from kpjax.lab.own.project import Own
from kpjax.lab.predictors import meaning_of_all
from kpjax.lab.reports.pixel_errors import (
    HELD_OUT,
    OF_PART,
    TARGET,
    TRAINED,
    Part,
    meaning_of_scores,
    read_errors,
)
from kpjax.lab.reports.told import nothing_told
from kpjax.papers.engine import Predicting
from kpjax.structures import Skeleton
from kpjax.training.evaluation import labels_of, write_predictions

CONFIG = SimpleNamespace(data=SimpleNamespace(own=Own()))
PAIR = Skeleton(("nose", "tail"))
OUTCOME = SimpleNamespace(method=SimpleNamespace(skeleton=PAIR))
# Frame 7 of a video has two animals; an image may have a "#" in its name.
NAMES = {
    TRAINED: ("day 1/a#1.png", "day 1/b.png"),
    HELD_OUT: ("clip.mp4#000007", "clip.mp4#000007", "day 2/c.png"),
}


def source_of(part: str) -> ArraySource:
    """Images that show the original ones at half of their size: 3 px to the right and 1 px
    below."""
    count = len(NAMES[part])
    crop = np.tile(np.array([[2, 0, 3], [0, 2, 1], [0, 0, 1]], np.float32), (count, 1, 1))
    points = np.tile(np.array([[5.0, 6.0], [15.0, 6.0]]), (count, 1, 1))
    visible = np.ones((count, 2))
    visible[0, 1] = part == TRAINED
    images = np.zeros((count, 32, 32, 3), np.uint8)
    made = arrays(images, points, visible, PAIR, part, scale=np.full(count, 10.0), crop=crop)
    return ArraySource(made.examples, PAIR, part, NAMES[part])


@pytest.fixture
def parts():
    return {name: Part(source_of(name), Path("/data/mice")) for name in (TRAINED, HELD_OUT)}


@pytest.fixture
def own(parts):
    """What runs on these parts do beside what their paper says."""
    return declared(parts, lambda config: {})


def declared(parts, cutoffs):
    paper = SimpleNamespace(predicting=lambda run: Predicting(None, None, "made_peak"))
    return beside(
        paper,
        lambda job, data: parts,
        lambda job, data: None,
        nothing_told,
        lambda data: None,
        lambda config, variants: None,
        cutoffs,
        lambda config: None,
    )


def predictions_of(parts, errors=0.0, scores=1.0):
    """Predictions that lie `errors` (in pixels of the small images) to the right of their
    labels."""
    found = {OF_PART + name: labels_of(part.source) for name, part in parts.items()}
    return {
        name: one._replace(
            keypoints=one.keypoints + np.array([errors, 0], np.float32),
            scores=np.full_like(one.scores, scores),
        )
        for name, one in found.items()
    }


def test_errors_are_in_pixels_of_the_original_images(own, parts, tmp_path):
    job = SimpleNamespace(folder=tmp_path, config=CONFIG, variant="made")
    assert list(own.evaluated(job, None)) == [
        OF_PART + TRAINED,
        OF_PART + HELD_OUT,
    ]
    predictions = predictions_of(parts, errors=0.25)
    found = own.measure(job, None, OUTCOME, predictions)
    assert (found["held_out/px"], found["trained_on/px/tail"]) == pytest.approx((0.5, 0.5))
    assert (found["held_out/labels"], found["held_out/hidden"]) == (5, 0)
    own.draw(job, None, OUTCOME, predictions)
    animals = read_errors(tmp_path, PAIR.names)
    assert [animals.title(n) for n in range(5)] == [
        "day 1/a#1.png",
        "day 1/b.png",
        "clip.mp4 frame 7 animal 0",
        "clip.mp4 frame 7 animal 1",
        "day 2/c.png",
    ]
    assert animals.images[2] == Path("/data/mice/clip.mp4")
    np.testing.assert_allclose(animals.true[0], [[13, 13], [33, 13]])
    np.testing.assert_allclose(animals.predicted[0], [[13.5, 13], [33.5, 13]])
    np.testing.assert_allclose(animals.lengths, 20)
    assert read_score_table(tmp_path).kind == "made_peak"
    # an image and a frame, of two recordings
    radii = read_radius_table(tmp_path)
    assert (radii.images, radii.recordings) == (2, 2)
    np.testing.assert_allclose(radii.quantiles[0], 0.25)  # the levels above a half need more images
    assert missing(radii).tolist() == [0, 2, 7, 17]
    # half of the animal's length: no cutoff from labels
    predictions = predictions_of(parts, errors=5.0, scores=0.1)
    found = own.measure(job, None, OUTCOME, predictions)
    own.draw(job, None, OUTCOME, predictions)
    assert np.isneginf(read_score_table(tmp_path).cutoffs).all()
    assert (found["held_out/hidden"], found["held_out/px_shown"]) == (0, pytest.approx(10.0))


def test_old_keypoints_without_labels_have_the_cutoffs_of_their_own_run(many, tmp_path):
    """New labels lack the old keypoint, whose scores are lower: one cutoff hid 44 of 45."""
    job = SimpleNamespace(folder=tmp_path, config=CONFIG, variant="made")
    own = declared(many, lambda config: {0: 0.05})

    def said(seen):
        return {
            name: one._replace(
                scores=np.tile([[0.1, 0.9]], (len(one.index), 1)),
                visible=np.tile([[seen, 1.0]], (len(one.index), 1)),
            )
            for name, one in predictions_of(many).items()
        }

    for seen in (0.0, np.nan):
        tables = meaning_of_scores(said(seen), HELD_OUT, None, "made_peak")
        assert tables["score_table.json"]["cutoffs"] == [0.9, 0.9]
        tables = meaning_of_scores(said(seen), HELD_OUT, None, "made_peak", kept={0: 0.05})
        assert tables["score_table.json"]["cutoffs"] == [0.05, 0.9]
        own.draw(job, None, OUTCOME, said(seen))
        assert read_score_table(tmp_path).cutoffs[0] == 0.05
    # labels that are held out say more than the cutoff of another network
    own.draw(job, None, OUTCOME, said(1.0))
    assert read_score_table(tmp_path).cutoffs[0] == 0.1


def test_scores_of_an_ensemble_are_of_the_medians_of_what_its_members_said(own, parts, tmp_path):
    folders = [tmp_path / f"seed-{number}" for number in range(3)]
    for folder, (error, score) in zip(folders, ((1.0, 0.2), (5.0, 0.9), (2.0, 0.4)), strict=True):
        found = predictions_of(parts, errors=error, scores=score)
        own.draw(
            SimpleNamespace(folder=folder, config=CONFIG, variant="made"), None, OUTCOME, found
        )
        write_predictions(folder, found)
    tables = meaning_of_all(folders, tables_of(folders))
    radii = radius_table_from(tables["radius_table.json"], "")
    np.testing.assert_allclose(radii.quantiles[0], 2.0)
    assert tables["score_table.json"]["kind"] == "made_peak"
    np.testing.assert_allclose(tables["score_table.json"]["deciles"], 0.5)
    other = {
        name: one._replace(true_keypoints=one.true_keypoints + 1)
        for name, one in found.items()
        if one
    }
    write_predictions(folders[1], other)
    assert meaning_of_all(folders, tables_of(folders)) == {}


def tables_of(folders):
    return [read_score_table(folder) for folder in folders]


def written(folders, own, found):
    """Writes what runs keep of the same predictions."""
    for folder in folders:
        own.draw(
            SimpleNamespace(folder=folder, config=CONFIG, variant="made"), None, OUTCOME, found
        )
        write_predictions(folder, found)
    return meaning_of_all(folders, tables_of(folders))


@pytest.fixture
def many():
    """Each image nine times, as enough for cutoffs."""
    found = {}
    for name in (TRAINED, HELD_OUT):
        source = source_of(name)
        found[name] = Part(subset(source, [*range(len(source))] * 9, name), Path("/data/mice"))
    return found


def test_an_ensemble_keeps_the_cutoffs_that_its_members_have_of_an_older_run(many, tmp_path):
    """Members of an incremental run: the new labels do not have the old keypoint."""
    folders = [tmp_path / "seed-0", tmp_path / "seed-1"]
    found = {
        name: one._replace(
            scores=np.tile([[0.1, 0.9]], (len(one.index), 1)),
            visible=np.tile([[np.nan, 1]], (len(one.index), 1)),
        )
        for name, one in predictions_of(many).items()
    }
    cutoffs = written(folders, declared(many, lambda config: {0: 0.05}), found)["score_table.json"]
    assert cutoffs["cutoffs"] == [0.05, 0.9]


def test_an_ensemble_that_target_images_judge_alone_has_their_tables(many, tmp_path):
    folders = [tmp_path / "seed-0", tmp_path / "seed-1"]
    judged = {TARGET: many[HELD_OUT]}
    found = predictions_of(judged, errors=0.25, scores=0.7)
    tables = written(folders, declared(judged, lambda config: {}), found)
    assert tables["score_table.json"] == read_json(folders[0] / "score_table.json")
    assert tables["score_table.json"]["cutoffs"] == pytest.approx([0.7, 0.7])
    radii = radius_table_from(tables["radius_table.json"], "")
    np.testing.assert_array_equal(radii.quantiles, read_radius_table(folders[0]).quantiles)


def test_an_ensemble_of_equal_members_hides_what_each_of_them_does(many, tmp_path):
    """Empty cells of frames that taught nothing there count for both, as long as nobody says what they
    mean."""
    folders = [tmp_path / "seed-0", tmp_path / "seed-1"]
    found = {}
    for name, one in predictions_of(many).items():
        scores = np.tile([[0.85, 0.9]], (len(one.index), 1)).astype(np.float32)
        visible = np.ones_like(scores)
        if name == OF_PART + TRAINED:
            visible[::2, 1], scores[::2, 1] = 0, 0.7  # empty, and drawn without a cutoff above
        found[name] = one._replace(scores=scores, visible=visible)
    tables = written(folders, declared(many, lambda config: {}), found)
    assert tables["score_table.json"] == read_json(folders[0] / "score_table.json")
    assert tables["score_table.json"]["cutoffs"][1] == pytest.approx(0.775)
