"""COCO's measure against numbers of faster-coco-eval 1.8, and the shift of labels."""

import numpy as np
import pytest
from test_pixel_errors import made

from kpjax.lab.reports import pixel_errors
from kpjax.lab.reports.oks import average_precision, oks_text, sigmas_of, similarities
from kpjax.lab.reports.verdict import label_shift, shift_text

AP = 0.34171617  # of `frames_of(0)` with sigma 0.05, by faster-coco-eval


def frames_of(seed):
    """Six images with two labelled animals of five points; on every other one three are found."""
    random = np.random.default_rng(seed)
    for image in range(6):
        true = random.uniform(20, 80, (2, 5, 2))
        visible = random.uniform(size=(2, 5)) > 0.2
        visible[:, 0] = True
        areas = np.ptp(true, axis=1).prod(1)
        found = true + random.normal(0, [[[1.0]], [[8.0]]], true.shape)
        found = np.concatenate([found, random.uniform(20, 80, (image % 2, 5, 2))])
        yield random.uniform(size=len(found)), found, true, visible, areas


def test_average_precision_is_cocos():
    frames = []
    for scores, found, *labels in frames_of(0):
        frames.append((scores, similarities(found, *labels, np.full(5, 0.05))))
    assert average_precision(frames) == pytest.approx(AP, abs=1e-6)
    k = 0.2  # twice the usual sigma
    near = similarities(
        np.full((1, 1, 2), [k * 10, 0]),
        np.zeros((1, 1, 2)),
        np.ones((1, 1)),
        np.array([100.0]),
        np.array([0.1]),
    )
    assert near[0, 0] == pytest.approx(np.exp(-0.5))
    assert average_precision([(np.ones(1), np.ones((1, 1)))]) == 1


def test_sigmas_are_cocos_for_its_person_alone():
    sides = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    person = ("nose", *(f"{side}_{part}" for part in sides for side in ("left", "right")))
    assert sigmas_of(person)[[0, 1, -1]].tolist() == [0.026, 0.025, 0.089]
    assert sigmas_of(("nose", "tail")).tolist() == [0.1, 0.1]


def test_oks_needs_an_area():
    animals = made([[0.0, 0, 0], [3, 4, 5]])
    assert oks_text(animals) == ""
    said = oks_text(animals._replace(areas=np.full(2, 900.0)))
    assert said.startswith("OKS 0.898, AP ")
    assert "2 animals with an area; sigma 0.1 of each keypoint" in said


@pytest.mark.parametrize(
    ("shift", "read", "flag"),
    [
        ((0.5, 0.5), "tool", "--pixels-from 0.5"),
        ((-0.5, -0.5), "tool", "--pixels-from 0 "),
        ((-0.5, -0.5), "0.5", "--pixels-from 0 "),
        ((0.5, 0.5), "0.5", "--pixels-from 1 "),
        ((0.5, 0.0), "tool", ""),
        ((0.0, 0.0), "tool", ""),
        ((2.0, 2.0), "tool", ""),
    ],
)
def test_a_shift_of_labels_is_measured_and_half_a_pixel_has_a_flag(shift, read, flag):
    for seed in range(5):
        animals = made(np.zeros((60, 3)), part=pixel_errors.TRAINED)
        noise = np.random.default_rng(seed).normal(0, 0.6, animals.true.shape)
        mean, half = label_shift(animals._replace(predicted=animals.true - shift + noise))
        assert (np.abs(mean - shift) < 2 * half).all()
        assert (half < 0.12).all()
        said = shift_text(mean, half, read)
        assert ("half a pixel" in said) == bool(flag)
        assert flag in said
    assert label_shift(made(np.zeros((60, 3)))) is None
