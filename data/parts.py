"""Three parts of a set: images that train, others on which settings are chosen ("tune"), and those
that test.

Whole units change sides, never single images of one: a person, a recording, a photograph of which
there are versions. Sets with a published split keep their test images, and give a share of the
training units to tune; where these choose nothing, presets train on "train+tune". Seeds fix all
draws.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

PARTS = ("train", "tune", "test")
TUNE_SHARE = 0.05  # share of the training units of a published split: as much as RegDA validates on
# shares of a set without splits; of a recording, shares of the frames that stay
TUNE, TEST = (0.15, 0.3)
GAP = 0.05  # share of a recording's frames, left out between two parts
SEED = 42
Item = TypeVar("Item")


def by_unit(
    items: Sequence[Item],
    unit: Callable[[Item], str],
    *,
    tune: float = TUNE,
    test: float = TEST,
    at_least: int = 1,
) -> dict[str, list[Item]]:
    """Deals units out to three parts, with all their items, in the order of the items.

    unit: the name of an item's unit. tune, test: shares of the units. at_least: units of either, if
    its share is not 0 and there are as many.
    """
    units = sorted({unit(item) for item in items})
    random.Random(SEED).shuffle(units)
    tested, tuned = (
        max(at_least, round(share * len(units))) if share else 0 for share in (test, tune)
    )
    tested = min(tested, len(units) - 1)
    tuned = min(tuned, len(units) - 1 - tested)  # some unit trains
    part_of = (
        dict.fromkeys(units, "train")
        | dict.fromkeys(units[tested : tested + tuned], "tune")
        | dict.fromkeys(units[:tested], "test")
    )
    return {part: [item for item in items if part_of[unit(item)] == part] for part in PARTS}


def by_time(frames: Sequence[Item]) -> dict[str, list[Item]]:
    """Cuts the frames of one recording, in their order, into three parts with a gap before the
    second and the third.
    """
    left_out = round(GAP * len(frames))
    kept = len(frames) - 2 * left_out
    train, tuned = round((1 - TUNE - TEST) * kept), round(TUNE * kept)
    second, third = train + left_out, train + tuned + 2 * left_out
    return {
        "train": list(frames[:train]),
        "tune": list(frames[second : second + tuned]),
        "test": list(frames[third:]),
    }


def with_tune(
    splits: Mapping[str, Sequence[Item]], unit: Callable[[Item], str] = lambda one: one.name
) -> dict[str, Sequence[Item]]:
    """Returns published splits with a share of the training units as "tune"; few units stay as they
    are.

    unit: the name of the unit of an annotation; its own if the files tell of none.
    """
    parts = by_unit(splits["train"], unit, tune=TUNE_SHARE, test=0.0, at_least=0)
    return {**splits, "train": parts["train"], "tune": parts["tune"]}
