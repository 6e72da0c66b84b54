"""The tracker: properties, and synthetic scenes of crossing animals whose swaps are counted against
the truth.
"""

import numpy as np
import pytest

from kpjax.evaluation.matching import animals_over_time
from kpjax.lab.animals.tracking import UNTRACKED, Doubt, Found, Tracks, follow, merge_doubts

# px, of an animal that looks along x
BODY = np.array([[20.0, 0.0], [0.0, 0.0], [-20.0, 0.0], [0.0, 8.0], [0.0, -8.0]])


def scene(animals, frames=70, *, seed=0, noise=1.0):
    """Truth (T, A, 5, 2): animals that walk through one place from all sides, each turned as it
    walks, at times of their own that lie close together."""
    random = np.random.default_rng(seed)
    angles = 2 * np.pi * (np.arange(animals) + 0.3 * random.uniform(size=animals)) / animals
    delays = random.uniform(-12, 12, animals)
    time = np.arange(frames)[:, None] - frames / 2 - delays
    centres = 300 + 4.0 * time[..., None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    cosine, sine = np.cos(angles), np.sin(angles)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], 1)
    true = centres[:, :, None] + np.einsum("axy,ky->akx", turn, BODY)
    return true, true + noise * random.normal(size=true.shape)


def found(points, **more):
    points = np.asarray(points, np.float64)
    shape = points.shape[:2]
    return Found(
        points,
        **{
            "scores": np.ones(shape),
            "radii": np.full(shape, np.nan),
            "extents": np.full(shape[0], 40.0),
            "centres": np.nanmedian(points, 1),
        }
        | more,
    )


def tracked(seen, **rules):
    tracks, numbers, doubts = Tracks(), [], []
    for frame, one in enumerate(map(found, seen)):
        tracks, of_frame, more = follow(tracks, frame, one, **rules)
        numbers.append(of_frame)
        doubts += more
    return numbers, doubts


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("animals", [1, 2, 3, 4, 5])
def test_crossing_animals_keep_their_tracks(animals, seed):
    """Some are not found on some frames, also where they cross, and they come in any order."""
    true, seen = scene(animals, seed=seed, noise=2.0)
    random = np.random.default_rng(seed)
    orders = [random.permutation(np.flatnonzero(random.uniform(size=animals) > 0.05)) for _ in seen]
    numbers, _ = tracked(
        [points[order] for points, order in zip(seen, orders, strict=True)], animals=animals
    )
    slots = np.full((len(seen), animals, 5, 2), np.nan)
    for row, (of_frame, order) in enumerate(zip(numbers, orders, strict=True)):
        slots[row, of_frame] = seen[row][order]
    measured = animals_over_time(true, slots)
    assert (measured.swaps, measured.fragments, (measured.matched >= 0).sum()) == (
        0,
        0,
        sum(map(len, orders)),
    )


@pytest.mark.parametrize(("gone", "same"), [(1, True), (5, True), (6, False), (20, False)])
def test_a_gap_is_bridged_up_to_its_length(gone, same):
    """The other animal stays."""
    both = np.stack([BODY + 100, BODY + 300])
    seen = [both[:1] if 10 <= frame < 10 + gone else both for frame in range(40)]
    numbers, _ = tracked(seen, gap=5)
    assert numbers[0].tolist() == [0, 1]
    assert numbers[-1].tolist() == ([0, 1] if same else [0, 2])
    assert all(of_frame.tolist() == [0] for of_frame in numbers[10 : 10 + gone])


def test_a_known_number_bridges_any_gap_and_forbids_one_more():
    still = np.stack([BODY + 100, BODY + 300])
    seen = [still if frame < 5 or frame > 60 else still[:1] for frame in range(70)]
    seen[65] = np.stack([BODY + 100, BODY + 300, BODY + 500])
    numbers, doubts = tracked(seen, animals=2)
    assert [sorted(of_frame.tolist()) for of_frame in (numbers[0], numbers[30], numbers[-1])] == [
        [0, 1],
        [0],
        [0, 1],
    ]
    assert numbers[65].tolist() == [0, 1, UNTRACKED]
    assert [doubt.frame for doubt in doubts if "more than expected" in doubt.why] == [65]
    assert tracked(seen[65:66], animals=2)[0][0].tolist() == [0, 1, UNTRACKED]  # on the first frame


def test_an_animal_that_is_first_seen_while_the_other_is_hidden_takes_no_track_over():
    first, second = BODY + 100, BODY + 300
    seen = [[first]] * 5 + [[second]] + [[first, second]] * 4
    numbers, doubts = tracked(seen, animals=2)
    assert [of_frame.tolist() for of_frame in numbers] == [[0]] * 5 + [[1]] + [[0, 1]] * 4
    assert doubts == [Doubt(5, 0, 1, "first seen while the other is missing")]


def test_of_two_far_animals_the_nearer_one_has_returned_where_one_place_is_free():
    before = [BODY + 100, BODY + 300]
    numbers, _ = tracked([before, [BODY + 100, BODY + 600, BODY + 400]], animals=3)
    assert numbers[1].tolist() == [0, 2, 1]


def test_a_far_animal_is_the_missing_one_where_no_place_is_free():
    """Of two animals, the jump of the first one had taken the place of the second."""
    jump = [[BODY + 100]] * 5 + [[BODY + 300]] * 5
    assert [of_frame.tolist() for of_frame in tracked(jump, animals=1)[0]] == [[0]] * 10
    numbers, doubts = tracked([*jump, [BODY + 300, BODY + 500]], animals=2)
    assert [of_frame.tolist() for of_frame in numbers] == [[0]] * 5 + [[1]] * 5 + [[1, 0]]
    assert [(doubt.frame, doubt.why) for doubt in doubts] == [
        (5, "first seen while the other is missing"),
        (10, "far from where it was expected"),
    ]


def test_an_animal_that_was_found_twice_has_one_track():
    points = np.stack([BODY + 100, BODY + 101, BODY + 300])
    scores = np.array([[0.5] * 5, [0.9] * 5, [0.7] * 5])
    _, numbers, doubts = follow(Tracks(), 0, found(points, scores=scores))
    assert numbers.tolist() == [UNTRACKED, 0, 1]
    assert [doubt.why for doubt in doubts] == ["found twice, the less certain one left out"]


def test_one_of_two_that_are_alike_is_a_doubt_where_the_other_is_missing():
    both = np.stack([BODY + 100, BODY + 104])
    _, doubts = tracked([both, both[:1]], animals=2)
    assert [doubt.why for doubt in doubts if doubt.frame == 1] == [
        "one is missing, either could be the other"
    ]


def test_doubts_of_neighbouring_frames_are_one():
    doubts = [Doubt(frame, 0, 1, "why") for frame in (3, 4, 5, 40)] + [Doubt(4, 0, 2, "why")]
    assert merge_doubts(doubts) == [
        Doubt(3, 0, 1, "why"),
        Doubt(4, 0, 2, "why"),
        Doubt(40, 0, 1, "why"),
    ]
