"""Sets, splits and files that cannot be evaluated, in one line that names what is wrong."""

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.evaluation.metrics import pck
from kpjax.evaluation.pose_statistics import pose_statistics, pose_statistics_from
from kpjax.evaluation.probes import landmarks as probes
from kpjax.evaluation.probes.actions import action_probe, windows
from kpjax.evaluation.probes.image_moments import image_moments
from kpjax.evaluation.probes.linear import best_ridge, linear_probe
from kpjax.evaluation.probes.splits import Split, halves_by
from kpjax.losses.pose_subspace import fit_pose_subspace
from kpjax.structures import Skeleton

RNG = np.random.default_rng(0)
POINTS, JOINTS = RNG.normal(size=(40, 3, 2)), RNG.normal(size=(40, 4, 2))
SHOWN, LATE = np.ones((40, 4)), np.repeat([[0.0] * 4, [1.0] * 4], [25, 15], axis=0)
HALVES = Split(np.arange(20), np.arange(20, 40))
VIDEO = np.full((4, 8, 8, 3), 7, np.uint8)
FACES = probes.Landmarks(RNG.normal(size=(24, 2, 2)), RNG.normal(size=(24, 4, 2)), np.ones((24, 4)))
FACE = Skeleton(("left_eye", "right_eye", "nose"))
NAMES = ("a", "b", "c", "d")
ROWS, ACTIONS = np.arange(40).reshape(10, 4), np.array(["left", "right"] * 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        *[
            (
                lambda wrong=wrong: pck(JOINTS[:2], JOINTS[:2], SHOWN[:2], np.array([30.0, wrong])),
                "normaliser: 1 of 2 .*image 1",
            )
            for wrong in (0.0, -1.0, np.nan, np.inf)
        ],
        (lambda: halves_by(["a", "a"], 0), "1 group cannot be split"),
        (
            lambda: halves_by(["a", "b", "b"], 0, kinds=["x", "x", "y"]),
            r"1 groups are of several kinds \(b\)",
        ),
        (lambda: linear_probe(POINTS, JOINTS, LATE, HALVES), "no fitted example shows joint 0"),
        (
            lambda: best_ridge(POINTS, JOINTS, SHOWN, np.arange(5), np.zeros(40), (0.0, 1.0)),
            "2 ridges and 1 groups",
        ),
        (lambda: windows(np.zeros(7, int), length=8), "longest run of frames has 7"),
        (
            lambda: action_probe(
                POINTS * np.nan, ROWS, ACTIONS, Split(np.arange(5), np.arange(5, 10))
            ),
            "not finite",
        ),
        (lambda: image_moments([VIDEO[:1]]), "video of 1 frame"),
        (lambda: image_moments([]), "there is no video"),
        (
            lambda: probes.both_errors(
                FACES,
                FACES,
                normaliser=probes.constant(1.0),
                regressor=probes.scaled_ridge(64),
                images=(10, 100),
            ),
            r"100 labelled images are asked for, there are 24 .* at most 24, or for all",
        ),
        (
            lambda: probes.forward_errors(
                FACES,
                FACES._replace(visible=0 * FACES.visible),
                probes.constant(1.0),
                np.arange(24)[None],
                probes.scaled_ridge(64),
            ),
            "none of the 24 test images shows all of its 4",
        ),
        (
            lambda: probes.between_eyes(Skeleton(("toe", "heel"))),
            "distances between eyes, and the landmarks are toe; heel",
        ),
        (
            lambda: probes.between_eyes(FACE)(np.ones((3, 3, 2)), np.eye(3) < 1),
            "2 of 3 images have no annotation of left_eye",
        ),
        (
            lambda: pose_statistics(JOINTS[:5], np.ones((5, 4)), NAMES),
            "5 labelled poses of 8 coordinates",
        ),
        (lambda: fit_pose_subspace(np.full((40, 8), np.nan)), "0 poses have all keypoints"),
        (lambda: pose_statistics_from({}, "a.json"), r"a\.json: cannot be read"),
        (
            lambda: pose_statistics_from(
                {"names": "a", "poses": 3, "mean": [0], "basis": [[1], [0]], "epsilon": 0}, "a.json"
            ),
            r"a\.json: .* do not belong to 1 keypoints",
        ),
    ],
)
def test_refused_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)
