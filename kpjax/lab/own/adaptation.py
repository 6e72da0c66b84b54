"""Frozen-core adaptation on people's own data: a finished run of one category as the core, and
images of another.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tyro

from kpjax.errors import InputError, summarise
from kpjax.evaluation.degeneracy import STILL
from kpjax.evaluation.probes.landmarks import consistency
from kpjax.file_names import natural_order
from kpjax.formats.project import Frame, Instance
from kpjax.formats.project_source import frame_identity, frames_at, unlabelled_source
from kpjax.images.reading import spread
from kpjax.images.transforms import Letterbox
from kpjax.input.source import ArraySource, check_disjoint, subset
from kpjax.input.video_source import NO_KEYPOINTS
from kpjax.lab.own import project as projects
from kpjax.lab.own.choices import Choice, apply_choices, every_choice, facts_of, steps_choice
from kpjax.lab.own.declaration import on_own_data
from kpjax.lab.own.earlier_run import PARTS, earlier_run, parts_of
from kpjax.lab.own.systems import Has, check_can_train
from kpjax.lab.reports.pixel_errors import Part, count_text
from kpjax.lab.reports.told import FRAMES, besides
from kpjax.models import HourglassNetwork
from kpjax.models.hourglass_network import STRIDE
from kpjax.papers.adaptation import PAPER
from kpjax.papers.adaptation.config import SYNTHETIC, Config
from kpjax.papers.adaptation.core import Core
from kpjax.papers.adaptation.measures import check_data, found_in
from kpjax.papers.adaptation.stages import Data, plain_of, with_turns
from kpjax.papers.configs import Backbone, replace_fields
from kpjax.papers.engine import Job, Outcome
from kpjax.papers.reports.report import Column
from kpjax.training.evaluation import Gathered
from kpjax.training.finished_runs import FinishedRun

# share of the image's side: how far a point may be, on a turned image, from where it was before
KEPT = 1 / 20
# median distance between two points anywhere in a square over its side; of points in a clump, at most
# what share of this, or of the median distance between labels where there are some
EVERYWHERE, CLUMP = 0.51, 0.5


@dataclass(frozen=True)
class OwnCore:
    """The core."""

    core_test: ClassVar[str] = ""  # its accuracy is not measured
    core_epochs: ClassVar[int] = 0  # it is trained already

    core: str = ""  # a finished run's folder, or movenet


@dataclass(frozen=True)
class OwnImages:
    """Images without labels, and labels that test the discovered points."""

    images: tuple[str, ...] = ()  # images, videos and folders of them
    project: str = ""  # with labels by which the points are measured: they teach the points nothing
    image_size: int = 64  # px; as the core has it
    target_side: int = 64  # px of the images that views are drawn from
    own: projects.Own = projects.Own()
    rendered = False  # what a paper's data say of themselves; no field

    def square(self) -> Letterbox:
        """Returns the transform of an image that tests to a square one."""
        return Letterbox(self.image_size)


@dataclass(frozen=True)
class OwnConfig(Config):
    """All that adaptation to people's own images depends on."""

    core: OwnCore = OwnCore()
    data: OwnImages = OwnImages()
    backbone: tyro.conf.Suppress[Backbone] = Backbone()  # the core's


OWN = OwnConfig(
    **vars(SYNTHETIC)
    | {
        "summary": "you have a network of another species, and no labels: --core RUN --images FOLDER [--project P]",
        "core": OwnCore(),
        "data": OwnImages(),
        "backbone": Backbone(),
        "network": HourglassNetwork(16, 1),  # the core's, when its run has been read
        "optimizer": replace(SYNTHETIC.optimizer, decay_to="start"),  # as it was measured
        "evaluation": replace(SYNTHETIC.evaluation, lengths="none", labelled_images=()),
    }
)


@functools.lru_cache(maxsize=2)
def own_core(folder: str) -> tuple[Core, Any, Mapping[str, Any]]:
    """Reads the network of a finished run, or trunk and pyramid of a published
    network of human pose. Raises InputError for another folder, and for a network of a kind that
    this system cannot build."""
    run = earlier_run(folder, "core", needed=("network", "image_size"))
    found, network, variables, parts = (
        run.taken_over,
        run.taken_over["network"],
        run.opened.trained.variables,
        PARTS,
    )
    if not run.opened.run:  # the head is a person's
        network, parts = replace(network, sigmoid=False), PARTS[:2]
    elif run.opened.run.experiment == "adaptation":
        variables = plain_of(run.opened.trained)
    elif found["image_size"] != STRIDE * found.get("heatmap_size", 0):
        raise InputError(
            "core",
            f"the heatmaps of {folder} are {found.get('heatmap_size')} px for images of "
            f"{found['image_size']}; give a run whose heatmaps are {STRIDE} times smaller, trained with "
            f"--heatmap-size {found['image_size'] // STRIDE}",
        )
    kept = parts_of(variables, parts)
    return (
        Core(kept),
        network,
        {
            "image_size": found["image_size"],
            "dtype": network.dtype,
            "normalisation": found["normalisation"],
            "backbone_statistics": found["backbone_statistics"],
        },
    )


def _in_time(frame: Frame) -> tuple[list[tuple[int, int | str]], int]:
    return natural_order(frame.path.as_posix()), frame.number or 0


def own_split(config: OwnConfig) -> tuple[list[Frame], list[Frame], str]:
    """Returns frames that are adapted to, those that test, and what is held out in words. Images
    that a project holds out are not adapted to, and it tests. Without one whole videos are held out
    where there are three or more, else the last fifth of the frames."""
    frames = projects.every_th(frames_at(config.data.images), config.data.own.every)
    if config.data.project:
        project, held = projects.open_project(config)
        tested = {
            frame_identity(project.frames[project.instances[number].frame], project.root)
            for number in held.held_out
        }
        return (
            [frame for frame in frames if frame_identity(frame, project.root) not in tested],
            [],
            held.words,
        )
    videos = sorted({frame.path for frame in frames if frame.number is not None})
    whole = len(videos) >= projects.ENOUGH_RECORDINGS and all(
        frame.number is not None for frame in frames
    )
    parts = videos if whole else sorted(frames, key=_in_time)
    drawn = dict.fromkeys(parts[-max(round(0.2 * len(parts)), 1) :])
    target, test = (
        [frame for frame in frames if ((frame.path if whole else frame) in drawn) == out]
        for out in (False, True)
    )
    return (
        target,
        test,
        f"videos {summarise([one.name for one in drawn])}"
        if whole
        else f"the last {len(test)} frames",
    )


def open_data(job: Job) -> Data:
    """Opens a person's images without labels, and those that test: a project's labelled ones, or a
    held-out part.
    """
    config, (target, test, _) = job.config, own_split(job.config)
    root = projects.open_project(config)[0].root if config.data.project else Path("/")

    def without_labels(frames: Sequence[Frame], side: int, name: str) -> ArraySource:
        return unlabelled_source(
            frames,
            Letterbox(side),
            NO_KEYPOINTS,
            root=root,
            name=name,
            on_bad_frame=config.data.own.on_bad_frame,
        )

    images = without_labels(target, config.data.target_side, "own images")
    if config.data.project:
        fit, held_out = projects.open_labelled(config)
        check_disjoint(images, held_out)
    else:
        fit = held_out = without_labels(test, config.data.image_size, "own images, held out")
    data = with_turns(images, fit, held_out, config.data.image_size)
    return check_data(config, data._replace(core=lambda job: own_core(job.config.core.core)[0]))


def is_complete(one: Instance, own: projects.Own) -> bool:
    """Returns whether all keypoints of an animal have labels that are read."""
    if own.occluded == "drop" and one.occluded.any():
        return False
    return bool(one.seen.all())


def resolve(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config with what is not typed taken over from the core's run or chosen from the
    images, with reasons. Raises InputError for a missing core, fewer than fifty images, and a
    project with several animals on an image."""
    _, network, fields = own_core(config.core.core)
    if decided := {"network", "width", "depth"} & set(typed):
        raise InputError(min(decided), "the core decides it; leave it out")
    every, used = every_choice(frames_at(config.data.images), config.data.own, typed)
    target, test, words = own_split(replace_fields(config, every=used))
    check_can_train("adaptation", Has(images=len(target) + len(test)), "images")
    choices = [
        *(Choice(name, value, "as it is in the core") for name, value in fields.items()),
        Choice(
            "target_side",
            fields["image_size"],
            "views are drawn from images as large as those of the core",
        ),
        every,  # fewer steps leave most points wandering, see experiments/adaptation/results.md
        steps_choice(
            "steps", len(target), config.batch_size, of="images", passes=100, least=1000, most=2000
        ),
    ]
    if config.data.project:
        project, held = projects.open_project(config)
        if facts_of(project).several:
            raise InputError(
                "project",
                f"{project.root} has several animals on an image; nothing finds animals of a "
                "category without labels, so give images of one animal each, such as crops",
            )
        fit, test = (
            [one.keypoints for one in animals if is_complete(one, config.data.own)]
            for animals in (
                [project.instances[n] for n in part] for part in (held.train, held.held_out)
            )
        )
        if not (fit and test) or len(project.skeleton.names) < 2:
            raise InputError(
                "project",
                f"{len(fit)} training and {len(test)} held-out images have labels of all "
                "keypoints; errors need some of both, and at least two keypoints: label more, or leave it out",
            )
        if flat := sum(not np.ptp(points, 0).all() for points in test):
            raise InputError(
                "project",
                f"on {flat} held-out images all keypoints lie on a line along an axis, whose "
                "box has no area to measure errors in; label more keypoints, or leave the project out",
            )
        choices += [
            Choice("lengths", "object", "errors are percent of the labelled extent"),
            Choice(
                "labelled_images",
                tuple(count for count in (10, 50, 100) if count < len(fit)),
                f"{len(fit)} labelled images fit the regressors to the labels, and teach the points nothing",
            ),
        ]
    print(
        f"core: {config.core.core}, {network}; {len(target)} images without labels; held out: {words}"
    )
    return apply_choices(
        config,
        choices,
        typed,
        network=network,
        summary=(f"{len(target)} images, the core of {config.core.core}; held out: {words}"),
    )


def shown(job: Job, data: Data) -> Part:
    """Returns some of the images that test, for pictures."""
    root = projects.open_project(job.config)[0].root if job.config.data.project else Path("/")
    return Part(subset(data.test, spread(range(len(data.test)), FRAMES)), root)


def measure(
    job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]
) -> dict[str, float]:
    """Adds `kept_points`, how many points differ between images, and stay within a twentieth of the
    side where they were when an image is turned, on average.
    """
    side = job.config.data.image_size
    found = found_in(predictions, side)
    moved = np.sqrt(found.test.discovered.var(0).sum(-1)) >= STILL * side
    follows = consistency(found.once, found.twice, found.turns).per_landmark <= KEPT * side
    return PAPER.measure(job, data, outcome, predictions) | {
        "kept_points": float((moved & follows).sum())
    }


def told(run: FinishedRun, others: Sequence[FinishedRun]) -> list[str]:
    """Says whether the points lie in a clump, how many keep their places, and what no number says of
    them without labels."""
    found, count = run.metrics, run.config["landmarks"]
    side = run.config["data"]["image_size"]
    words = []
    apart, usual = found["median_spread"], EVERYWHERE * side
    of = "points all over the image"
    if "annotated_median_spread" in found:
        usual, of = found["annotated_median_spread"], "labels"
    if apart <= CLUMP * usual:
        words.append(
            f"The points lie in a clump: two of them are {apart:.1f} px apart"
            f"{besides(others, 'median_spread', decimals=1)}, two {of} {usual:.1f} px. They mark one part of what is "
            "on the images, however well they keep their places."
        )
    words.append(
        f"{found['kept_points']:.0f} of {count_text(count, 'point')} keep their places when an image is turned, "
        f"within {KEPT * side:.1f} of {side} px{besides(others, 'kept_points')}; on average a point is then "
        f"{found['consistency']:.1f} px off{besides(others, 'consistency', decimals=1)}."
    )
    if still := count - round(found["varying_points"]):
        words.append(f"{still} rest in one place of all images, whatever is on them.")
    if found["void"]:
        words.append("The points have collapsed: other numbers of them mean nothing.")
    if "forward/all" in found:
        words.append(
            f"From the points, labels are predicted to within {found['forward/all']:.1f} % of the labelled extent"
            f"{besides(others, 'forward/all', decimals=1)}; answering each image with their mean place gives "
            f"{found['mean_landmarks/all']:.1f} %."
        )
    elif not found["kept_points"]:
        words.append(
            "No point follows what is on the images, so nothing can be measured with them."
        )
    else:
        words.append(
            "Only labels could tell whether a point lies on the same part from image to image: compare the "
            "pictures, in which a colour should stay on one part."
        )
    return words


OWN_PAPER = PAPER._replace(
    measure=measure,
    columns=lambda config: (
        Column("kept_points", "points that keep their places", f"of {config.landmarks}", 1.0, 0),
        *PAPER.columns(config),
    ),
    short_list=lambda preset, config: ("random_core", "adapted"),
)
EXPERIMENT = on_own_data(OWN_PAPER, OWN, resolve, open_data, shown=shown, told=told)
