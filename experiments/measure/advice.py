"""What we would run, by what a person has: pages show it between `<!-- advice -->` markers.

A line is a measured gain of a method over a control in a table of a room. What we would run follows
from it: the method where the interval lies above zero, else the control, which is the cheaper
explanation.

Where labels and old images are gone, no other network can be trained from them: the control is the
one that the method starts from.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from experiments.measure.render import Room, cell_of
from kpjax import InputError
from kpjax.papers.reports.report import decimal_text, markdown


class Advice(NamedTuple):
    """A line."""

    problem: str
    images: str
    room: str
    line: str  # line of a table of the room
    metric: str = "test/pck"


FEW, OTHER = "a handful of labels", "labels of one kind of images"
GONE = "the same, labels and old images gone"
ADVICE = (
    Advice(
        FEW,
        "tongues in ultrasound, 50 labels, other speakers",
        "semi_supervised",
        "tongue/supervised_warped_averaged - supervised_warped",
    ),
    Advice(
        FEW,
        "rendered people, 20 labels, random weights",
        "semi_supervised",
        "people/pl_warped - supervised_warped_twice",
    ),
    Advice(
        FEW,
        "athletes, 50 labels, views averaged",
        "semi_supervised",
        "fifty_athletes/pl_warped_averaged - supervised_warped_twice_averaged",
    ),
    Advice(
        FEW,
        "tongues in ultrasound, 50 labels, views averaged",
        "semi_supervised",
        "tongue/pl_warped_averaged - supervised_warped_twice_averaged",
    ),
    Advice(
        FEW,
        "lips, 50 labels, other speakers",
        "semi_supervised",
        "lips/pl_warped - supervised_warped_twice",
    ),
    Advice(
        OTHER,
        "tongues: adults on one machine, children on another",
        "regda",
        "tongue_machines/teacher_adaptation - source_only_views_long",
        "target/pck",
    ),
    Advice(
        OTHER,
        "athletes in other colours, a short training",
        "regda",
        "lspet_colours/teacher_adaptation - source_only_augmented_mse_long",
        "target/pck",
    ),
    Advice(
        GONE,
        "tongues: another machine",
        "regda",
        "tongue_machines/source_free_views - source_only_views_long",
        "target/pck",
    ),
    Advice(
        GONE,
        "rendered people in other colours",
        "regda",
        "demo_full/source_free - source_only_augmented_mse",
        "target/pck",
    ),
    Advice(
        "an old model and new keypoints",
        "rendered people, an old model from few images: old points in triples",
        "incremental",
        "weak_base/kamp - ksd_only_short",
        "triples/pck",
    ),
    Advice(
        "videos without labels",
        "two flies, halves of a clip, equal compute",
        "pyramids",
        "flies_part/pyramids - keynet",
        "rmse/flat",
    ),
    Advice(
        "a network for another category",
        "two flies, points read by fifty labels",
        "adaptation",
        "flies_learnt/adapted - scratch",
        "forward/50",
    ),
)


def advice_text(page: Path, rooms: Mapping[str, Room]) -> str:
    """Returns a line for each piece of advice: the gain of a method over its control, positive
    where it helps.

    page: any; the lines have no links. Raises InputError where a line was not run.
    """
    lines = []
    for one in ADVICE:
        cell = cell_of(rooms[one.room], one.line, "", one.metric)
        if not cell.pairs():
            raise InputError(f"advice on {one.images}: {one.line} of {one.room} was not run")
        method, control = one.line.rpartition(" - ")[::2]
        seconds = [
            [number.seconds for number in side if number.seconds]
            for side in (cell.values, cell.others)
        ]
        lines.append(
            [
                one.problem,
                one.images,
                f"`{method}` over `{control}`",
                cell.gain_text(),
                " / ".join(decimal_text(fmean(known), ",.0f") for known in seconds if known),
                f"`{(method if cell.helps() == 'yes' else control).rpartition('/')[2]}`",
            ]
        )
    return (
        markdown(
            [
                "what you have",
                "measured on",
                "method over its control",
                "gain [95 % interval]",
                "training of either, s",
                "what we would run",
            ],
            lines,
        )
        + "\n"
    )
