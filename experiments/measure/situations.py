"""The two tables of the front page: what a person has, the command, and what it did in our trials; and
the five papers with the answer to each one's main claim.

A trial has two numbers in one unit: a plain row, and the row that the command trains and that we would
take.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from experiments.measure.claims import answer, settings_of_claims
from experiments.measure.render import ABOUT, EXPERIMENTS, ROOT, Room, cell_of
from kpjax import InputError
from kpjax.papers.reports.report import decimal_text, markdown


class Trial(NamedTuple):
    """Two rows of one room, in the first's metric."""

    images: str  # and what is compared, where it is not plain training with the command's
    room: str
    metric: str
    plain: str  # a plain row, "preset/variant"
    taken: str  # the row that we would take
    unit: str = "%"
    verdict: str = ""  # what follows the numbers, such as "no gain"


class Situation(NamedTuple):
    """A line of the front page."""

    have: str
    command: str
    trials: tuple[Trial, ...]


PCK = "test/pck"
SITUATIONS = (
    Situation(
        "labelled frames",
        "kpjax train --project P",
        (
            Trial(
                "mouse with mirror, median error: random weights → bundled ones",
                "own/one_point",
                "test/median",
                "causes_mouse/small_chosen",
                "causes_mouse/mobilenet_chosen",
                "px",
            ),
        ),
    ),
    Situation(
        "a few labels, many frames",
        "kpjax train --project P --unlabelled V",
        (
            Trial(
                "rendered people, 5 labels",
                "semi_supervised",
                PCK,
                "demo labelled=5/supervised",
                "demo labelled=5/pl_warped",
            ),
            Trial(
                "athletes, 50",
                "semi_supervised",
                PCK,
                "fifty_athletes/supervised",
                "fifty_athletes/pl_warped_averaged",
            ),
            Trial(
                "ultrasound, 50",
                "semi_supervised",
                PCK,
                "tongue/supervised_warped_twice",
                "tongue/pl_warped",
                verdict="no gain",
            ),
        ),
    ),
    Situation(
        "labels from another camera, or renders",
        "kpjax train regda --source P --target V",
        (
            Trial(
                "ultrasound, another machine",
                "regda",
                "target/pck",
                "tongue_machines/source_only",
                "tongue_machines/teacher_adaptation",
            ),
        ),
    ),
    Situation(
        "a trained network, a new camera",
        "kpjax train regda --start RUN --target V",
        (
            Trial(
                "the same, without old labels",
                "regda",
                "target/pck",
                "tongue_machines/source_only_views_long",
                "tongue_machines/source_free_views",
            ),
        ),
    ),
    Situation(
        "an old model, new points, no old data",
        "kpjax train incremental --old RUN --project P",
        (
            Trial(
                "rendered people, old points: fine-tuned → distilled",
                "incremental",
                "triples/pck",
                "weak_base/finetune",
                "weak_base/ksd_only_short",
                verdict="other tools' predictions as RUN exploratory",
            ),
        ),
    ),
    Situation(
        "videos, no labels",
        "kpjax train pyramids --videos V",
        (
            Trial(
                "rendered videos, error: untrained → trained",
                "pyramids",
                "rmse/flat",
                "demo/untrained",
                "demo_equal_steps/pyramids",
                "px",
                "real ones exploratory",
            ),
        ),
    ),
    Situation(
        "a network of another species",
        "kpjax train adaptation --core RUN --images V",
        (
            Trial(
                "flies, error: from scratch → adapted",
                "adaptation",
                "forward/all",
                "flies_learnt/scratch",
                "flies_learnt/adapted",
                "% of a fly's size",
                "no gain",
            ),
        ),
    ),
    Situation(
        "people, no labels",
        "kpjax predict movenet V",
        (
            Trial(
                "athletes: our best, 50 labels → published MoveNet",
                "semi_supervised",
                PCK,
                "fifty_athletes/pl_warped_averaged",
                "ten_athletes/zero_shot_turned",
            ),
        ),
    ),
)


def situations_text(page: Path, found: Mapping[str, Room]) -> str:
    """Returns a line for each situation: the command, and its trials with links to their rows.

    Raises InputError for a row that was not run.
    """
    lines = []
    for one in SITUATIONS:
        told = "; ".join(trial_text(page, found, trial) for trial in one.trials)
        lines.append([one.have, f"`{one.command}`", told])
    return (
        markdown(["you have", "you run", "in our trials: plain training → the command"], lines)
        + "\n"
    )


def trial_text(page: Path, found: Mapping[str, Room], trial: Trial) -> str:
    """Returns "tongues, another machine: 48.5 → 78.5 %, 5 seeds", with a link."""
    room = found[trial.room]
    numbers, seeds = [], []
    for row in (trial.plain, trial.taken):
        cell = cell_of(room, row, "", trial.metric)
        if not cell.shown():
            raise InputError(f"situations: {row} of {trial.room} was not run")
        shown = cell.metric
        numbers.append(decimal_text(shown.factor * fmean(cell.shown()), f".{shown.decimals}f"))
        seeds.append(len(cell.shown()))
    where = os.path.relpath(EXPERIMENTS / trial.room / "results.md", page.parent)
    verdict = f", {trial.verdict}" if trial.verdict else ""
    count = f", {min(seeds)} seeds" if min(seeds) > 1 else ""
    return f"{trial.images} [{numbers[0]} → {numbers[1]} {trial.unit}]({where}){count}{verdict}"


PRESETS = {  # of each paper, the preset that is nearest to it
    "regda": "rhd_h3d",
    "semi_supervised": "mpii",
    "incremental": "mpii",
    "pyramids": "h36m",
    "adaptation": "mpii_mafl",
}


def papers_text(page: Path, found: Mapping[str, Room]) -> str:
    """Returns a line for each paper: its page, its variants, the command of its own setting, and
    the answer to its main claim."""
    lines = []
    for name, (_, publication, _) in ABOUT.items():
        room = found[name]
        main = next(
            claims[0] for claims in settings_of_claims(room) if claims[0].says == room.main_claim
        )
        docs = os.path.relpath(ROOT / "docs" / "papers" / f"{name}.md", page.parent)
        module = os.path.relpath(ROOT / "kpjax" / "papers" / name / "variants.py", page.parent)
        lines.append(
            [
                f"[{publication}]({docs})",
                f"[read]({module})",
                f"`python -m experiments.{name} {PRESETS[name]}`",
                answer(room, main)[0],
            ]
        )
    return (
        markdown(
            [
                "paper",
                "its variants",
                "on its own images, which you bring",
                "main claim, on our images",
            ],
            lines,
        )
        + "\n"
    )
