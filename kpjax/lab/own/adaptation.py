"""Frozen-core adaptation on people's own data: a finished run of one category as the core, and images of another."""
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import tyro

from kpjax.errors import InputError, summarise
from kpjax.images.transforms import Letterbox
from kpjax.input.source import check_disjoint
from kpjax.input.video_source import NO_KEYPOINTS
from kpjax.lab.formats.project import Frame, Project
from kpjax.lab.formats.project_source import frame_identity, frames_at, unlabelled_source
from kpjax.lab.own import project as projects
from kpjax.lab.own.choices import Choice, chosen, every_choice, facts_of
from kpjax.lab.own.declaration import OwnSystem, made
from kpjax.lab.own.earlier_run import PARTS, earlier_run, parts_of
from kpjax.lab.own.project import Own, every_th
from kpjax.lab.own.systems import NEEDS
from kpjax.models import HourglassNetwork
from kpjax.models.hourglass_network import STRIDE
from kpjax.models.networks import Network
from kpjax.systems import adaptation
from kpjax.systems.adaptation import Data, checked, with_turns
from kpjax.systems.adaptation.config import SYNTHETIC, Config
from kpjax.systems.adaptation.variants import plain_of
from kpjax.systems.configs import Backbone, changed
from kpjax.systems.system import Job
from kpjax.training.trees import tree_digest

LEAST_IMAGES = NEEDS["adaptation"].images
PASSES, FEWEST_STEPS, MOST_STEPS = 100, 1000, 2000  # fewer leave most points wandering, see experiments/RESULTS.md


@dataclass(frozen=True)
class OwnCore:
    """The core."""

    core_test: ClassVar[str] = ""  # its accuracy is not measured

    core: str = ""  # a finished run's folder, an exported one, or movenet


@dataclass(frozen=True)
class OwnImages:
    """Images without labels, and labels that test the discovered points."""

    rendered: ClassVar[bool] = False

    images: tuple[str, ...] = ()  # images, videos and folders of them
    project: str = ""  # with labels by which the points are measured: they teach the points nothing
    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 64  # px; as the core has it
    target_side: int = 64  # px of the images that views are drawn from


@dataclass(frozen=True)
class OwnConfig(Config):
    """All that adaptation to people's own images depends on."""

    core: OwnCore = OwnCore()
    data: OwnImages = OwnImages()
    network: Network = HourglassNetwork(16, 1)  # the core's, when its run has been read
    backbone: tyro.conf.Suppress[Backbone] = Backbone()  # the core's
    own: Own = Own()


OWN = OwnConfig(**vars(SYNTHETIC) | {
    "summary": "one's own run and images of another category: --core RUN --images FOLDER [--project P]; 2 cores",
    "core": OwnCore(), "data": OwnImages(), "network": HourglassNetwork(16, 1), "backbone": Backbone(),
    "optimizer": replace(SYNTHETIC.optimizer, decay_to="start"),  # as it was measured
    "evaluation": replace(SYNTHETIC.evaluation, lengths="none", labelled_images=())})


@functools.lru_cache(maxsize=2)
def own_core(folder: str) -> tuple[adaptation.Core, Any, Mapping[str, Any]]:
    """Reads the network of a finished run, of an exported one, or trunk and pyramid of a published network of human
    pose. Raises InputError for another folder, and for a network of a kind that this system cannot build."""
    run = earlier_run(folder, "core", needed=("network", "image_size"))
    found, network, variables, parts = run.taken_over, run.taken_over["network"], run.opened.trained.variables, PARTS
    if not run.opened.run:  # the head is a person's
        network, parts = replace(network, sigmoid=False), PARTS[:2]
    elif run.opened.run.experiment == "adaptation":
        variables = plain_of(run.opened.trained, run.opened.run.variant)
    elif found["image_size"] != STRIDE * found.get("heatmap_size", 0):
        raise InputError("core", f"the heatmaps of {folder} are {found.get('heatmap_size')} px for images of "
                         f"{found['image_size']}; give a run whose heatmaps are {STRIDE} times smaller")
    kept = parts_of(variables, parts)
    return adaptation.Core(kept, tree_digest(kept)), network, {
        "image_size": found["image_size"], "dtype": network.dtype,
        "normalisation": found["normalisation"], "backbone_statistics": found["backbone_statistics"]}


class Split(NamedTuple):
    """Frames that are adapted to, and what is held out: labelled animals of a project, or else the frames `test`."""

    target: tuple[Frame, ...]
    test: tuple[Frame, ...]
    project: Project | None
    held: projects.Held | None
    words: str  # what is held out


def own_split(data: OwnImages, own: Own) -> Split:
    """Splits a person's frames. Images that a project holds out are not adapted to. Without a project whole videos are
    held out where there are three or more, else the last fifth of the frames."""
    frames = every_th(frames_at(data.images), own.every)
    if data.project:
        project, held = projects.opened(data.project, own)
        tested = {frame_identity(project.frames[project.instances[number].frame], project.root)
                  for number in held.held_out}
        target = tuple(frame for frame in frames if frame_identity(frame, project.root) not in tested)
        return Split(target, (), project, held, held.words)
    videos = sorted({frame.path for frame in frames if frame.number is not None})
    if len(videos) >= projects.ENOUGH_RECORDINGS and all(frame.number is not None for frame in frames):
        drawn = videos[-max(round(0.2 * len(videos)), 1):]
        test, words = [one for one in frames if one.path in drawn], f"videos {summarise([one.name for one in drawn])}"
    else:
        test = frames[-max(round(0.2 * len(frames)), 1):]
        words = f"the last {len(test)} frames"
    kept = set(test)
    return Split(tuple(frame for frame in frames if frame not in kept), tuple(test), None, None, words)


def open_data(job: Job) -> Data:
    """Opens a person's images without labels, and those that test: a project's labelled ones, or a held-out part."""
    data, own = job.config.data, job.config.own
    split = own_split(data, own)
    root = split.project.root if split.project else Path("/")
    target = unlabelled_source(split.target, Letterbox(data.target_side), NO_KEYPOINTS, root=root, name="own images",
                               on_bad_frame=own.on_bad_frame)
    if split.project:
        fit, test = projects.open_labelled(data.project, own, Letterbox(data.image_size))
        check_disjoint(target, test)
    else:
        fit = test = unlabelled_source(split.test, Letterbox(data.image_size), NO_KEYPOINTS, root=root,
                                       name="own images, held out", on_bad_frame=own.on_bad_frame)
    return checked(job.config, with_turns(target, fit, test, data.image_size))


def resolved(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config with what is not typed taken over from the core's run or chosen from the images, with reasons.
    Raises InputError for a missing core, fewer than fifty images, and a project with several animals on an image."""
    _, network, fields = own_core(config.core.core)
    if decided := {"network", "width", "depth"} & set(typed):
        raise InputError(min(decided), "the core decides it; leave it out")
    if not config.data.images:
        raise InputError("images", "name images, videos or folders of them")
    every, _ = every_choice(frames_at(config.data.images), config.own, typed)
    split = own_split(config.data, config.own if "every" in typed else replace(config.own, every=every.value))
    if (count := len(split.target) + len(split.test)) < LEAST_IMAGES:
        raise InputError("images", f"{count} images; points are found on at least {LEAST_IMAGES}")
    wanted = -(-PASSES * len(split.target) // config.batch_size)
    passes = f"{PASSES} passes over {len(split.target)} images in batches of {config.batch_size} are {wanted}"
    choices = [
        *(Choice(name, value, "as the core has it") for name, value in fields.items()),
        Choice("target_side", fields["image_size"], "views are drawn from images as large as those of the core"),
        every, Choice("steps", min(max(wanted, FEWEST_STEPS), MOST_STEPS),
                      f"{passes}, kept between {FEWEST_STEPS} and {MOST_STEPS}")]
    if split.project:
        if facts_of(split.project).several:
            raise InputError("project", f"{split.project.root} has several animals on an image; nothing finds animals "
                             "of a category without labels, so give images of one animal each, such as crops")
        fit = len(split.held.train)
        choices += [
            Choice("lengths", "object", "errors are percent of the labelled extent"),
            Choice("labelled_images", tuple(count for count in (10, 50, 100) if count < fit),
                   f"{fit} labelled images fit the regressors between points and labels, and teach the points nothing")]
    network = replace(network, dtype=config.network.dtype) if "dtype" in typed else network
    side = config.data.image_size if "image_size" in typed else fields["image_size"]
    print(f"core: {config.core.core}, {network}; {len(split.target)} images without labels; held out: {split.words}")
    return changed(chosen(changed(config, network=network, image_size=side), choices, typed), summary=(
        f"{len(split.target)} images, the core of {config.core.core}; held out: {split.words}"))


SYSTEM = made(OwnSystem(
    adaptation.SYSTEM, OWN, resolved, open_data,
    short_list=lambda config: ("random_core", "adapted"),
    applicable=lambda config: adaptation.SYSTEM.applicable("own", config),
    differences={
        "train": functools.partial(adaptation.train, core_of=lambda job: own_core(job.config.core.core)[0]),
        "shortened": lambda config, steps: replace(config, steps=steps),
        "lengths": lambda config, variant: {variant: config.steps}}))
