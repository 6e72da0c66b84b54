"""COCO's measure of keypoints: object keypoint similarity (OKS), and the average precision (AP) of
found animals by it.

Lin et al., COCO keypoint evaluation; as in its `cocoeval.py`, without a most of 20 animals an image.
"""

import numpy as np

from kpjax.lab.reports.pixel_errors import Animals

# Of COCO's 17 keypoints of a person, by the names of the file; half of what COCO calls k.
OF_COCO = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
USUAL = 0.1  # of all others, as DeepLabCut takes it
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of OKS, from which on an animal counts as found
RECALLS = np.linspace(0, 1, 101)  # at which precisions are averaged


def sigmas_of(names: tuple[str, ...]) -> np.ndarray:
    """Returns (K,) how exactly people place each keypoint, over the root of the animal's area: COCO's
    for a person's keypoints, else `USUAL`."""
    parts = [name.removeprefix("left_").removeprefix("right_") for name in names]
    if {*parts} != {*OF_COCO}:
        return np.full(len(names), USUAL)
    return np.array([OF_COCO[part] for part in parts])


def similarities(
    found: np.ndarray, true: np.ndarray, visible: np.ndarray, areas: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """Returns (F, N) the OKS of F found animals (F, K, 2) with N labelled ones (N, K, 2), 0 to 1; 0 with
    one without a label.

    visible: (N, K), above 0 where labelled. areas: (N,) square pixels.
    """
    squared = np.square(found[:, None] - true).sum(-1)
    k = 2 * sigmas
    near = np.exp(-squared / (2 * np.square(k) * areas[:, None] + np.spacing(1)))
    labelled = visible > 0
    return np.where(labelled, near, 0).sum(-1) / np.maximum(labelled.sum(-1), 1)


def average_precision(frames: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Returns the AP over all thresholds, 0 to 1.

    frames: of each, the scores (F,) of found animals and their similarities (F, N) to the N > 0
    labelled ones.
    """
    labelled = sum(near.shape[1] for _, near in frames)
    precisions = []
    for threshold in THRESHOLDS:
        scores = []
        right = []
        for certain, near in frames:
            left = near.copy()
            for one in np.argsort(-certain, kind="stable"):
                best = int(left[one].argmax())
                right.append(left[one, best] >= threshold)
                scores.append(certain[one])
                if right[-1]:
                    left[:, best] = -1  # taken
        order = np.argsort(-np.array(scores), kind="stable")
        hits = np.cumsum(np.array(right)[order])
        precision = hits / np.arange(1, len(hits) + 1)
        falling = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(hits / labelled, RECALLS)
        precisions.append(np.append(falling, 0.0)[at].mean())
    return float(np.mean(precisions))


def oks_text(animals: Animals, found: Animals | None = None) -> str:
    """Returns the mean OKS and the AP of labelled animals with an area, "" if there is none.

    found: those of a run that finds them by itself; without, each is predicted in its own box.
    """
    some = animals.only(np.flatnonzero((animals.areas > 0) & (animals.visible > 0).any(1)))
    seen = some if found is None else found
    seen = seen.only(np.flatnonzero(np.isfinite(seen.predicted).all((1, 2))))
    if not len(some.parts) or not len(seen.parts):
        return ""
    sigmas = sigmas_of(animals.names)
    frames = []
    means = []
    for place in dict.fromkeys(some.places):
        there, here = (
            [n for n, one in enumerate(animals.places) if one == place] for animals in (some, seen)
        )
        labels = (some.true[there], some.visible[there], some.areas[there])
        near = similarities(seen.predicted[here], *labels, sigmas)
        frames.append((seen.scores[here].mean(1), near))
        means += near.max(0, initial=0).tolist()
    whose = "COCO's sigmas" if sigmas[0] != USUAL else f"sigma {USUAL:g} of each keypoint"
    return (
        f"OKS {np.mean(means):.3f}, AP {average_precision(frames):.3f} of {len(some.parts)} animals with an area; "
        f"{whose}"
    )
