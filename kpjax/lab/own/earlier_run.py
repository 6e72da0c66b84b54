"""Finished runs that a preset `own` takes a network from, and the flag `--start`, which goes on
from one.
"""

import functools
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.errors import count_text, summarise
from kpjax.formats.project import Project
from kpjax.lab.animals.calibration import ScoreTable
from kpjax.lab.own.choices import RELATIVE_RATE, Choice, rate_choices
from kpjax.lab.own.places import BoxOrWhole
from kpjax.lab.own.project import Held
from kpjax.lab.predictors import OpenedRun, open_run
from kpjax.lab.reports.pixel_errors import HELD_OUT, TRAINED, read_errors, wrap_lines
from kpjax.methods import published
from kpjax.models import KeypointNetwork, MoveNet, SmallUNet
from kpjax.models.movenet import STRIDE
from kpjax.models.networks import NETWORKS
from kpjax.models.person import KEYPOINTS, WITH_HEAD, WORKED_OUT, names_of_person
from kpjax.papers.configs import FINE_RATE, Backbone, config_from_json, flat, stored_fields
from kpjax.papers.parsing import flags_in_messages

NEEDED = ("network", "image_size", "heatmap_size", "sigma")
# From the run's config, as far as that has it.
TAKEN_OVER = (
    *NEEDED,
    "grid",
    "decoder",
    "apart",
    "normalisation",
    "backbone_statistics",
    "relative_steps",
)
# What says how animals are seen, by the transform of frames to images; others are of published sets.
SEEN = {"letterbox": ("transform", "place"), "around_box": ("transform", "crop_margin")}
PUBLISHED_SIGMA = 1.5  # sigma of the heatmaps of keypoints that a published network learns, cells
PARTS = ("backbone", "upsampling", "head")
# Of heatmaps, by the kind of score that is needed: what others are, and whose are of this kind.
OTHERWISE = {
    "mse_peak": ("made for a softmax, not Gaussians of height 1", "semi_supervised or incremental"),
    "softmax_peak": ("Gaussians of height 1, not made for a softmax", "regda"),
}


class EarlierRun(NamedTuple):
    """A finished run, of any system, whose network is taken over."""

    opened: OpenedRun
    skeleton: Skeleton
    taken_over: Mapping[str, Any]  # fields of the config
    held_out: str  # in words; "" for a run on no project of one's own
    #: the part of each labelled frame by its file and number there, {} where none is kept
    parts: Mapping[tuple[Path, int | None], str] = {}

    @property
    def sees_whole_frames(self) -> bool:
        """Whether it learnt from whole frames or one part of them, and not from crops of animals."""
        return self.taken_over.get("transform") == "letterbox"


@functools.lru_cache(maxsize=4)
def earlier_run(
    folder: str, argument: str, kind: str = "", needed: Sequence[str] = NEEDED
) -> EarlierRun:
    """Opens a run's folder, or a published network but for the `start`;
    `argument` names it.

    kind: of the scores that it must have; any if empty. needed: fields that its config must have.
    """
    if not folder:
        raise InputError(argument, "name a finished run's folder, .../<variant>/seed-<n>")
    if argument != "start" and published.is_published(folder):
        return _published_run(folder)
    with flags_in_messages({"run": argument}):
        opened = open_run(Path(folder).expanduser())
    stored = opened.files["config.json"]["config"]
    found = stored_fields(stored)
    if missing := [name for name in needed if name not in found]:
        raise InputError(
            argument,
            f"{folder} ({opened.run.experiment}) has a network of another kind (its config "
            f"has no {missing[0]}); give a run that learnt named keypoints from labels",
        )
    if kind and opened.score.kind != kind:
        is_instead, others = OTHERWISE[kind]
        raise InputError(argument, f"heatmaps of {folder} are {is_instead}; give a run of {others}")
    network, _ = config_from_json(NETWORKS[stored["network"]["name"]](), stored["network"])
    head = opened.trained.variables.get("params", {}).get("head", {})
    # RegDA's first stage has a head of its own
    if hasattr(network, "head_layers") and "output" in head:
        network = replace(network, head_layers=1 + sum(name.startswith("conv") for name in head))
    seen = SEEN.get(found.get("transform", ""), ())
    taken = {name: found[name] for name in (*TAKEN_OVER, *seen) if name in found} | {
        "network": network
    }
    held_out = str(stored.get("summary", "")).partition("; held out: ")[2]
    return EarlierRun(opened, opened.method.skeleton, taken, held_out, _parts_kept(folder))


def _parts_kept(folder: str) -> dict[tuple[Path, int | None], str]:
    """Returns which labelled frames a run has learnt from and which it held out, as its errors.csv
    lists them; nothing of one that has no such list."""
    kept = read_errors(Path(folder).expanduser())
    if kept is None:
        return {}
    return {
        (path.resolve(), number): part
        for path, number, part in zip(kept.images, kept.frames, kept.parts, strict=True)
    }


def parts_of(variables: Mapping[str, Any], parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Returns those parts of a network's variables that another one can start from."""
    return {
        collection: {part: tree for part, tree in variables[collection].items() if part in parts}
        for collection in ("params", "batch_stats")
        if collection in variables
    }


def _published_run(weights: str) -> EarlierRun:
    """Opens a published network, by its name or a file, as a run whose network can be taken over.

    Its predictions are the published ones. As a network it has the trunk, the pyramid and the
    heatmaps: those have no offsets, and are read without the person's middle. Raises InputError as
    `published.load` does.
    """
    method, trained = published.people(), published.load(weights)
    cutoffs = np.full(len(method.skeleton.names), published.CUTOFF)
    score = ScoreTable(published.SCORE_KIND, cutoffs, np.zeros(0))
    opened = OpenedRun(None, method, trained, BoxOrWhole(published.SIDE), score, {}, {})
    taken = {
        "network": MoveNet(sigmoid=True),
        "image_size": published.SIDE,
        "heatmap_size": published.SIDE // STRIDE,
        "sigma": PUBLISHED_SIGMA,
        "grid": "half_pixel",
        "decoder": "dark",
        "normalisation": "symmetric",
        "backbone_statistics": "frozen",
    }
    return EarlierRun(opened, method.skeleton, taken, "")


def rename_keypoints(
    project: Project,
    *,
    known: Sequence[str] = WITH_HEAD.names,
    needed: bool = True,
    quiet: bool = False,
) -> Project:
    """Returns a project whose keypoints have MoveNet's names where they are among `known`, and
    prints which.
    """
    names = project.skeleton.names
    changed = tuple(
        new if new in known else old for old, new in zip(names, names_of_person(names), strict=True)
    )
    same = {new: old for old, new in zip(names, changed, strict=True) if new in known}
    if not same and needed:
        raise InputError(
            "project",
            f"{project.root} labels {summarise(list(names))}; none of these is a person's, "
            f"such as {', '.join(KEYPOINTS[:1] + KEYPOINTS[5:9])}",
        )
    pairs = ", ".join(
        name if name == theirs else f"{name} = {theirs}" for name, theirs in same.items()
    )
    worked_out = "; ".join(f"{name}, {how}" for name, how in WORKED_OUT.items() if name in same)
    for text, found in (
        (f"the same by their names: {pairs}", pairs),
        (f"worked out, since MoveNet does not find it: {worked_out}", worked_out),
    ):
        if found and not quiet:
            print(wrap_lines(text))
    return project._replace(skeleton=replace(project.skeleton, names=changed))


@dataclass(frozen=True)
class Start(Backbone):
    """The weights that the backbone starts from, or a finished run that the whole network goes on
    from.
    """

    #: a finished run of the same keypoints, .../<variant>/seed-<n>
    start: str = ""

    def variables(
        self, network: KeypointNetwork, *, image_size: int, seed: int, names: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Returns the run's variables as the `start` of a method, or those of `Backbone` without a
        run.
        """
        if not self.start:
            return super().variables(network, image_size=image_size, seed=seed, names=names)
        return {"variables": parts_of(earlier_run(self.start, "start").opened.trained.variables)}


def check_seen(
    run: EarlierRun, argument: str, typed: Collection[str], transform: str, *, several: bool
) -> None:
    """Says that animals look smaller than any that a run has seen, where it learnt from crops and
    whole frames are typed. Raises InputError where several animals are on frames that it sees as a
    whole, and nobody typed how they are seen. argument: names the run."""
    cropped = not run.sees_whole_frames or run.taken_over.get("place")
    if "transform" in typed and cropped and transform == "letterbox":
        print(
            f"the run at --{argument} learnt from crops: on whole frames (--transform letterbox) animals are smaller, "
            "unless they fill their frames"
        )
    if several and run.sees_whole_frames and "transform" not in typed:
        raise InputError(
            "transform",
            f"the run at --{argument} sees whole frames, and some have several animals: --transform "
            "around_box crops each, --transform letterbox goes on with whole frames",
        )


def starts_on_whole_frames(config: Any, kind: str) -> bool:
    """Returns whether there is a run at `--start` that learnt from whole frames. kind: as for
    `earlier_run`."""
    start = config.backbone.start
    return bool(start) and earlier_run(start, "start", kind).sees_whole_frames


def with_start(
    made: Sequence[Choice],
    config: Any,
    skeleton: Skeleton,
    typed: Collection[str],
    kind: str,
    project: Project | None = None,
    held: Held | None = None,
    *,
    several: bool = False,
) -> list[Choice]:
    """Returns choices, in which the run at `--start` decides about the network and its images, if
    there is one.

    kind: as for `earlier_run`. project, held: whose labels are learnt, and which of them are held
    out; a line says if the run has learnt from some of these. several: whether the project has
    several animals on a frame. Raises InputError for a run of other keypoints, for what it decides
    if it is typed, and for several animals on frames that it sees as a whole.
    """
    if not config.backbone.start:
        return list(made)
    run = earlier_run(config.backbone.start, "start", kind)
    if run.skeleton.names != skeleton.names:
        raise InputError(
            "start",
            f"{config.backbone.start} finds {', '.join(run.skeleton.names)}, the project labels "
            f"{', '.join(skeleton.names)}; name the same ones, or learn new ones with the system "
            "incremental",
        )
    decided = {"weights", "network", "image_size", "heatmap_size", *flat(config.network)}
    if given := sorted(decided & set(typed)):
        raise InputError(given[0], "the run at --start decides it; leave it out")
    check_seen(run, "start", typed, config.data.transform, several=several)
    for line in learnt_though_held_out(run, project, held) if project and held else ():
        print(line)
    rates = rates_from(run, config) if made else []
    decided |= run.taken_over.keys() | {choice.field for choice in rates}
    return [
        *(choice for choice in made if choice.field not in decided),
        *rates,
        *(
            Choice(name, value, "as it is in the run at --start")
            for name, value in run.taken_over.items()
        ),
    ]


def learnt_though_held_out(run: EarlierRun, project: Project, held: Held) -> list[str]:
    """Returns a line if a run has learnt from frames of a project that are held out now, with the
    `validation` that holds out its own, where whole recordings do.

    A run without a list of its frames, or whose files are not there any more, may have learnt from
    any if it held out others in words.
    """
    if not any(path.exists() for path, _ in run.parts):
        before, now = (
            words if "the last" in words else words.partition(", ")[2]  # a part grows with labels
            for words in (run.held_out, held.words)
        )
        if not before or before == now:
            return []
        return [
            f"the run at --start held out {run.held_out}: errors and radii on frames that it learnt look too "
            "small; give the same --validation"
        ]

    def part_of(number: int) -> str:
        frame = project.frames[project.instances[number].frame]
        return run.parts.get((frame.path.resolve(), frame.number), "")

    frames = {
        project.instances[number].frame for number in held.held_out if part_of(number) == TRAINED
    }
    if not frames:
        return []
    of_session: dict[str, set[str]] = {}
    for number in (*held.train, *held.held_out):
        session = project.frames[project.instances[number].frame].session
        of_session.setdefault(session, set()).add(part_of(number))
    own = [session for session, parts in of_session.items() if HELD_OUT in parts]
    whole = all(session and TRAINED not in of_session[session] for session in own)
    validation = ",".join(own)
    named = (
        f"--validation {shlex.quote(validation)} holds out what it held out"
        if own and whole and not any("," in session for session in own)
        else "hold out frames that it has not seen (--validation)"
    )
    return [
        f"the run at --start learnt from {count_text(len(frames), 'frame')} that {'is' if len(frames) == 1 else 'are'} "
        f"held out now, so errors and radii look too small: {named}"
    ]


def rates_from(run: EarlierRun, config: Any) -> list[Choice]:
    """Chooses the learning rates of training on from a run: of all but the small U-net those of
    published weights.
    """
    network = run.taken_over["network"]
    if isinstance(network, SmallUNet):
        return rate_choices(config, "the preset's")
    return rate_choices(
        config,
        "weights of a larger network are changed slowly",
        RELATIVE_RATE if isinstance(network, MoveNet) else FINE_RATE,
    )
