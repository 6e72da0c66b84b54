"""Frozen-core adaptation on people's own data: a finished run of one category as the core, and images of another."""
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import tyro

from kpjax.errors import InputError, summarise
from kpjax.images.transforms import Letterbox
from kpjax.input.source import ArraySource, check_disjoint
from kpjax.input.video_source import NO_KEYPOINTS
from kpjax.lab.formats.project import Frame, Project
from kpjax.lab.formats.project_source import frame_identity, frames_at
from kpjax.lab.own import project as projects
from kpjax.lab.own.choices import Choice, chosen, every_choice, facts_of
from kpjax.lab.own.declaration import OwnSystem, made
from kpjax.lab.own.earlier_run import PARTS, published_run
from kpjax.lab.own.needs import NEEDS
from kpjax.lab.own.project import Own
from kpjax.lab.predictors import open_run
from kpjax.models import HourglassNetwork
from kpjax.models.hourglass_network import STRIDE
from kpjax.systems import adaptation, published
from kpjax.systems.adaptation.config import SYNTHETIC, Config, with_appearance
from kpjax.systems.adaptation.images import Data, with_turns
from kpjax.systems.adaptation.measures import checked
from kpjax.systems.adaptation.variants import plain_of
from kpjax.systems.configs import NETWORKS, Network, changed, config_from_json, stored_fields
from kpjax.systems.system import Job
from kpjax.systems.weights import Backbone
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
    appearance: Literal["colour", "local_contrast"] = "colour"  # as the core has it
    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 64  # px; as the core has it
    target_side: int = 64  # px of the images that views are drawn from


@dataclass(frozen=True)
class CoreHourglass(HourglassNetwork):
    """The hourglass of a core. Width 0 stands for any core's network, until its run has been read."""

    width: tyro.conf.Suppress[tyro.conf.Fixed[int]] = 0
    depth: tyro.conf.Suppress[tyro.conf.Fixed[int]] = 4

    def __post_init__(self):
        if self.width:
            super().__post_init__()

    def check(self, image_size: int, heatmap_size: int) -> None:
        """Raises InputError for sides, in pixels, that the network cannot have."""
        if self.width:
            super().check(image_size, heatmap_size)


@dataclass(frozen=True)
class OwnConfig(Config):
    """All that adaptation to people's own images depends on."""

    core: OwnCore = OwnCore()
    data: OwnImages = OwnImages()
    network: CoreHourglass | Network = CoreHourglass()
    backbone: tyro.conf.Suppress[Backbone] = Backbone()  # the core's
    own: Own = Own()


OWN = OwnConfig(**vars(SYNTHETIC) | {
    "summary": "one's own run and images of another category: --core RUN --images FOLDER [--project P]; 2 cores",
    "core": OwnCore(), "data": OwnImages(), "network": CoreHourglass(), "backbone": Backbone(),
    "optimizer": replace(SYNTHETIC.optimizer, decay_to="start"),  # as it was measured
    "evaluation": replace(SYNTHETIC.evaluation, lengths="none", labelled_images=())})


# The core

class CoreRun(NamedTuple):
    """A run that a person names as the core."""

    core: adaptation.Core
    network: Any  # that the variables are of
    fields: Mapping[str, Any]  # others of the config, that the core decides


@functools.lru_cache(maxsize=2)
def own_core(folder: str) -> CoreRun:
    """Reads the network of a finished run, of an exported one, or trunk and pyramid of a published network of human
    pose. Raises InputError for another folder, and for a network of a kind that this system cannot build."""
    if not folder:
        raise InputError("core", "name a finished run's folder, .../<variant>/seed-<n>, or an exported one")
    parts = PARTS
    if published.is_published(folder):
        run = published_run(folder)
        found, variables, parts = run.taken_over, run.opened.trained.variables, PARTS[:2]  # the head is a person's
        network = replace(found["network"], sigmoid=False)
    else:
        opened = open_run(Path(folder).expanduser())
        config, variables = opened.files["config.json"]["config"], opened.trained.variables
        if adapted := opened.run.experiment == "adaptation":
            variables = plain_of(opened.trained, opened.run.variant)
        found, needed = stored_fields(config), ("network", "image_size", *(() if adapted else ("heatmap_size",)))
        if missing := [name for name in needed if name not in found]:
            raise InputError("core", f"{folder} has a network of another kind (its config has no {missing[0]}); give a "
                             "run that learnt named keypoints from labels, or one of adaptation")
        if found["image_size"] != STRIDE * found.get("heatmap_size", found["image_size"] // STRIDE):
            raise InputError("core", f"the heatmaps of {folder} are {found['heatmap_size']} px for images of "
                             f"{found['image_size']}; give a run whose heatmaps are {STRIDE} times smaller")
        network = config_from_json(NETWORKS[config["network"]["name"]](), config["network"])
    kept = {collection: {part: tree for part, tree in variables[collection].items() if part in parts}
            for collection in ("params", "batch_stats")}
    return CoreRun(adaptation.Core(kept, tree_digest(kept)), network, {
        "image_size": found["image_size"], "dtype": network.dtype, "appearance": found.get("appearance", "colour"),
        "normalisation": found["normalisation"], "backbone_statistics": found["backbone_statistics"]})


# Images

class Split(NamedTuple):
    """Frames that are adapted to, and frames that test."""

    target: tuple[Frame, ...]
    test: tuple[Frame, ...]  # () where a project tests
    project: Project | None
    held: projects.Held | None
    words: str  # what is held out


def own_split(data: OwnImages, own: Own) -> Split:
    """Splits a person's frames. Images that a project holds out are not adapted to. Without a project whole videos are
    held out where there are three or more, else the last fifth of the frames."""
    frames = tuple(frame for frame in frames_at(data.images) if not (frame.number or 0) % max(own.every, 1))
    if data.project:
        project = projects.needed_project(data.project, own)
        held = projects.hold_out(project, own.validation)
        tested = {frame_identity(project.frames[project.instances[number].frame], project.root)
                  for number in held.held_out}
        target = tuple(frame for frame in frames if frame_identity(frame, project.root) not in tested)
        return Split(target, (), project, held, held.words)
    videos = sorted({frame.path for frame in frames if frame.number is not None})
    if len(videos) >= projects.ENOUGH_RECORDINGS and all(frame.number is not None for frame in frames):
        drawn = videos[-max(round(0.2 * len(videos)), 1):]
        test = tuple(frame for frame in frames if frame.path in drawn)
        words = f"videos {summarise([path.name for path in drawn])}"
    else:
        test = frames[-max(round(0.2 * len(frames)), 1):]
        words = f"the last {len(test)} frames"
    kept = set(test)
    return Split(tuple(frame for frame in frames if frame not in kept), test, None, None, words)


def open_data(job: Job) -> Data:
    """Opens a person's images without labels, and those that test: a project's labelled ones, or a held-out part."""
    return checked(job.config, _open(job.config.data, job.config.own))


@functools.lru_cache(maxsize=2)
def _open(data: OwnImages, own: Own) -> Data:
    split, side = own_split(data, own), data.image_size

    def unlabelled(frames: Sequence[Frame], side: int, name: str) -> ArraySource:
        square = with_appearance(Letterbox(side), data.appearance)
        root = split.project.root if split.project else Path("/")
        return projects.open_unlabelled(own, square, frames, NO_KEYPOINTS, root=root, name=name)

    target = unlabelled(split.target, data.target_side, "own images")
    if split.project:
        fit, test = projects.open_labelled(data.project, own, with_appearance(Letterbox(side), data.appearance))
        check_disjoint(target, test)
    else:
        fit = test = unlabelled(split.test, side, "own images, held out")
    return with_turns(target, fit, test, side)


def resolved(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config with what is not typed taken over from the core's run or chosen from the images, with reasons.
    Raises InputError for a missing core, fewer than fifty images, and a project with several animals on an image."""
    run = own_core(config.core.core)
    if "network" in typed:
        raise InputError("network", "the core decides it; leave it out")
    if not config.data.images:
        raise InputError("images", "name images, videos or folders of them")
    every = every_choice(frames_at(config.data.images))
    own = config.own if "every" in typed else replace(config.own, every=every.value)
    split = own_split(config.data, own)
    if (count := len(split.target) + len(split.test)) < LEAST_IMAGES:
        raise InputError("images", f"{count} images; points are found on at least {LEAST_IMAGES}")
    wanted = -(-PASSES * len(split.target) // config.batch_size)
    passes = f"{PASSES} passes over {len(split.target)} images in batches of {config.batch_size} are {wanted}"
    choices = [
        *(Choice(name, value, "as the core has it") for name, value in run.fields.items()),
        Choice("target_side", run.fields["image_size"], "views are drawn from images as large as those of the core"),
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
    network = replace(run.network, dtype=config.network.dtype) if "dtype" in typed else run.network
    side = config.data.image_size if "image_size" in typed else run.fields["image_size"]
    print(f"core: {config.core.core}, {network}; {len(split.target)} images without labels; held out: {split.words}")
    return changed(chosen(changed(config, network=network, image_size=side), choices, typed), summary=(
        f"{len(split.target)} images, the core of {config.core.core}; held out: {split.words}"))


SYSTEM = made(OwnSystem(
    adaptation.SYSTEM, OWN, resolved, open_data,
    short_list=lambda config: ("random_core", "adapted") if config.own.control else ("adapted",),
    applicable=lambda config: adaptation.SYSTEM.applicable("own", config),
    differences={
        "train": functools.partial(adaptation.train, core_of=lambda job: own_core(job.config.core.core).core),
        "shortened": lambda config, steps: replace(config, steps=steps),
        "lengths": lambda config, variant: {variant: config.steps}}))
