"""What we would run, by problem and kind of image: pages show it between `<!-- advice -->` markers.

A line takes a measured difference, a method less the cheapest explanation of its gain, from a table of a room. Gain,
interval and cost are read from `results.csv`; the advice alone is written here.
"""
from pathlib import Path
from typing import NamedTuple

from experiments.engine.pages import Cell, Table, cell_of, tables_of
from experiments.engine.results import EXPERIMENTS, Numbers, read_results
from kpjax import InputError
from kpjax.reports.table import markdown


class Advice(NamedTuple):
    """A line."""

    problem: str
    images: str
    difference: tuple[str, str, str, str]  # room, table, title of its row, heading of its column
    unit: str
    lower_is_better: bool
    advice: str

    def cell(self) -> Cell:
        """Returns the numbers. Raises InputError where the table has no such row or column, or they were not run."""
        room, name, title, heading = self.difference
        table: Table = tables_of(EXPERIMENTS / room)[name]
        row = next((row for row in table.rows if row.title == title), None)
        column = next((column for column in table.columns if column.heading == heading), None)
        if row is None or column is None:
            raise InputError(f"advice on {self.images}: {room}/{name} has no row {title!r} or no column {heading!r}")
        cell = cell_of(table, row, column, Numbers(read_results(EXPERIMENTS / room)), room)
        if not cell.values:
            raise InputError(f"advice on {self.images}: {title} of {room}/{name} was not run")
        return cell


FEW, OTHER = "a handful of labels", "labels of one kind of images"
GONE, NEW = "the same, labels and old images gone", "a finished network, new keypoints"
ALONE = "the labels alone: `kpjax train --project P`"
AVERAGED = "views averaged at prediction: `kpjax train --project P --variants supervised_warped_averaged`"
ADVICE = (
    Advice(FEW, "tongues in ultrasound, 50 labels, other speakers",
           ("semi_supervised", "tongue", "pl_warped - supervised_warped_twice", "all machines, mm"), "mm", True, ALONE),
    Advice(FEW, "the same, sizes averaged at prediction", ("semi_supervised", "tongue_averaged",
           "supervised_warped_averaged - supervised_warped", "PCK at 5 mm, %"), "points of PCK", False, AVERAGED),
    Advice(FEW, "the same, and pseudo-labels", ("semi_supervised", "tongue_averaged",
           "pl_warped_averaged - supervised_warped_twice_averaged", "PCK at 5 mm, %"), "points of PCK", False,
           "averaged views without pseudo-labels"),
    Advice(FEW, "lips, 50 labels, other speakers",
           ("semi_supervised", "lips", "pl_warped - supervised_warped_twice",
            "distance of contours, % of the mouth's width"), "% of the mouth", True, ALONE),
    Advice(FEW, "these lips, sizes averaged at prediction",
           ("semi_supervised", "lips_averaged", "supervised_warped_averaged - supervised_warped, 50 labels",
            "distance of contours, points"), "% of the mouth", True, AVERAGED),
    Advice(FEW, "people in sport, 50 labels, a short training",
           ("semi_supervised", "fifty_athletes", "supervised_warped_averaged - supervised_warped", "PCK, %"),
           "points of PCK", False, AVERAGED),
    Advice(FEW, "the same, averaged as well",
           ("semi_supervised", "fifty_athletes", "pl_warped_averaged - supervised_warped_twice_averaged", "PCK, %"),
           "points of PCK", False,
           "the same; for more, `kpjax train semi_supervised ... --variants pl_warped_averaged`"),
    Advice(FEW, "people in sport, 200 labels, a short training",
           ("semi_supervised", "athletes", "ours - supervised_warped", "PCK, %"), "points of PCK", False,
           "the labels alone, and `kpjax predict movenet --turned` beside it"),
    Advice(FEW, "these 200", ("semi_supervised", "athletes", "pl_warped - supervised_warped_twice", "PCK, %"),
           "points of PCK", False, "the same"),
    Advice(FEW, "rendered people, 20 labels, a small network from random weights",
           ("semi_supervised", "demo_pairs", "pl_easy_hard - supervised_warped at the cost of easy_hard",
            "PCK, points"), "points of PCK", False, "`kpjax train semi_supervised ... --variants pl_easy_hard`"),
    Advice(FEW, "the same, against a control that costs more", ("semi_supervised", "demo_pairs",
           "pl_easy_hard - easy_hard_twice", "PCK, points"), "points of PCK", False, "the same, or `easy_hard_twice`"),
    Advice(OTHER, "tongues: adults on one machine, children on another without labels",
           ("regda", "machines", "teacher_adaptation - its views", "target PCK at 5 mm, %"), "points of PCK", False,
           "`kpjax train regda --source P --target V`"),
    Advice(OTHER, "people in sport in other colours, 900 labels, a short training",
           ("regda", "recoloured", "teacher_adaptation - random colours", "target PCK, %"),
           "points of PCK", False, "not decided: the same, or random colours on the labels"),
    Advice(OTHER, "rendered people in other colours",
           ("regda", "differences", "teacher_adaptation - the same at equal cost", "points of PCK"), "points of PCK",
           False, "the same"),
    Advice(GONE, "tongues: another machine",
           ("regda", "machines_without_source", "source_free_views - its start", "target PCK at 5 mm, %"),
           "points of PCK", False, "`kpjax train adapt --start RUN --target V`"),
    Advice(NEW, "68 points of faces in four steps, other persons",
           ("incremental", "kamp_on_faces", "kamp_rerendered - ksd_only", "AAA, %"),
           "points of PCK over all keypoints, at distillation's rate", False,
           "distillation alone: `kpjax train incremental --old RUN --project P`"),
    Advice("videos without labels", "two flies, halves of a clip",
           ("pyramids", "flies", "pyramids - image_moments", "all keypoints"), "px of 64", True,
           "`kpjax train pyramids --videos FOLDER_OR_VIDEO`"),
    *(Advice("a network for another category", images, ("adaptation", "flies_cores", difference, "forward, 50 labels"),
             "% of the fly's size", True, advice) for images, difference, advice in (
        ("two flies, from a network of human pose, points read by fifty labels", "human pose - random kernels",
         "`kpjax train adaptation --core movenet --images FOLDER`, and fifty labels"),
        ("the same, against ImageNet's core", "human pose - ImageNet", "the same"))),
    Advice("a network for another category", "rendered faces, MobileNetV2, points read by ten labels",
           ("adaptation", "in_mobilenet", "adapted - random_core", "forward, 10 labels"), "% of the eyes' distance",
           True, "the labels alone; their mean was better than either"),
)


def advice_text(page: Path) -> str:
    """Returns a line for each piece of advice: the gain of a method over its control, positive where it helps.

    page: any; the lines have no links.
    """
    lines = []
    for one in ADVICE:
        cell = one.cell()
        turned = cell.column._replace(factor=-cell.column.factor if one.lower_is_better else cell.column.factor)
        seconds = [[number.seconds for number in side if number.seconds] for side in (cell.values, cell.others)]
        lines.append([one.problem, one.images, one.difference[2].replace(" - ", " over "),
                      f"{cell._replace(column=turned).text()} {one.unit}",
                      " / ".join(f"{sum(known) / len(known):,.0f}" for known in seconds if known), one.advice])
    return markdown(["what you have", "measured on", "method over its control", "gain [95 % interval]",
                     "seconds of training, of either", "what we would run"], lines) + "\n"
