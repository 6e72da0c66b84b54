"""A person's own annotation project in an experiment: its flags, what is held out, and the frames without labels."""
import functools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro

from kpjax.annotations.project import Frame, Project
from kpjax.annotations.project_source import (
    box_of,
    decoded,
    frame_identity,
    frames_at,
    project_source,
    unlabelled_source,
)
from kpjax.annotations.reading import read_project
from kpjax.errors import InputError, summarise
from kpjax.images.transforms import Place, around_box, letterbox
from kpjax.images.video import VIDEO_SUFFIXES
from kpjax.input.source import ArraySource
from kpjax.structures import Skeleton

SHARE = 0.2  # of the labelled frames that is held out
ENOUGH_RECORDINGS = 3  # from which on whole recordings are held out
BoxPlacement = Literal["letterbox", "around_box"]


@dataclass(frozen=True)
class OwnData:
    """The flags that every preset `own` has. It comes before the experiment's Config in the list of bases."""

    category: str = ""  # of a COCO project with several
    video_root: str = ""  # where the videos lie that are not where the project says
    pixels_from: Literal[0, 1] = 0  # 1 if the project counts the middle of the first pixel as (1, 1)
    rescale_labels: bool = False  # labels that were made on copies of another size
    occluded: Literal["train", "drop"] = "train"  # whether keypoints that are marked as occluded are learnt
    validation: str = ""  # what is held out: names of recordings (a,b) or a share of the frames; chosen if empty
    every: int = 0  # keeps frames 0, every, 2 every ... of videos without labels; 0 chooses
    on_bad_frame: Literal["stop", "skip"] = "stop"  # what to do about frames that cannot be read
    control: bool = True  # whether the control, which may explain the gain, runs beside


@dataclass(frozen=True)
class OwnProject(OwnData):
    """The flags of a preset `own` that learns from labels, so that it knows what pictures have to look like."""

    placement: BoxPlacement = "letterbox"  # whole frames, or a square around each animal's box
    crop_margin: float = 1.25  # side of that square over the longer side of the box
    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 128  # px; chosen if not given
    heatmap_size: int = 0  # px; 0 chooses

    def __post_init__(self):
        """What no run can be made of is refused once all is chosen."""
        if self.heatmap_size:
            super().__post_init__()


def is_own(config: Any) -> bool:
    """Whether a config is of a preset `own`."""
    return isinstance(config, OwnData)


def needed_project(config: Any, flag: str = "project") -> Project:
    """The project that a field of a config names. Raises InputError with all of its faults, or where none is named."""
    path = getattr(config, flag)
    if not path:
        raise InputError(f"--{flag.replace('_', '-')}: name an annotation project: a folder or file of DeepLabCut, "
                         "SLEAP, COCO, Lightning Pose, or csv; python -m experiments check shows what is in it")
    return _read(path, config.category, config.video_root, config.pixels_from, config.rescale_labels)


@functools.lru_cache(maxsize=4)
def _read(path: str, category: str, video_root: str, pixels_from: int, rescale_labels: bool) -> Project:
    return read_project(Path(path).expanduser(), category=category, pixels_from=pixels_from,
                        video_root=Path(video_root).expanduser() if video_root else None,
                        rescale_labels=rescale_labels)


def place_of(config: Any) -> Place:
    """How a frame becomes a square picture."""
    if config.placement == "around_box":
        return around_box(config.image_size, config.crop_margin)
    return letterbox(config.image_size)


# What is held out


class Held(NamedTuple):
    """The labelled animals of a project in two parts that share no frame and, if it can be, no recording."""

    train: tuple[int, ...]  # numbers of instances
    held_out: tuple[int, ...]
    recordings: tuple[str, ...]  # sessions that are held out as a whole
    after: dict[str, int]  # the first number that is held out of each session of which the last part is
    words: str


def labelled_frames(project: Project, instances: Collection[int] | None = None) -> list[int]:
    """The numbers of the frames that have a labelled animal, in the order of recordings and of time."""
    chosen = range(len(project.instances)) if instances is None else instances
    numbers = {project.instances[number].frame for number in chosen if (project.instances[number].visible > 0).any()}
    return sorted(numbers, key=lambda number: (project.frames[number].session, _time(project.frames[number])))


def hold_out(project: Project, asked: str = "") -> Held:
    """What does not train but tells how good a run is.

    asked: names of recordings, or a share of the labelled frames, or "" for what the project says itself, and a fifth
    where it says nothing: whole recordings where there are three or more, drawn by their names alone, else the last
    part of each, since neighbouring frames are nearly one.
    Raises InputError for a recording that there is not, a share that is none, or if nothing would train.
    """
    frames = labelled_frames(project)
    if len(frames) < 2:
        raise InputError(f"{project.root}: {len(frames)} labelled frames; one must train and one be held out, so label "
                         "more")
    sessions = sorted({project.frames[number].session for number in frames})
    told = [number for number in frames if project.frames[number].split in ("validation", "test")]
    share = _share(asked)
    if asked and share is None:
        names = [name.strip() for name in asked.split(",") if name.strip()]
        if unknown := [name for name in names if name not in sessions]:
            raise InputError(f"--validation: {unknown[0]!r} is no recording with labels; there are "
                             f"{summarise(sessions)}; name some of them, or a share such as 0.2")
        return _parts(project, frames, [n for n in frames if project.frames[n].session in names], tuple(names), {})
    if told and not asked and len(told) < len(frames):
        return _parts(project, frames, told, (), {}, "as the project says")
    share = share or SHARE
    if len(sessions) >= ENOUGH_RECORDINGS:
        wanted, drawn, count = share * len(frames), [], 0
        for place in np.random.default_rng(0).permutation(len(sessions)):
            size = sum(project.frames[number].session == sessions[place] for number in frames)
            # Rather a recording less than far more frames than asked for.
            if not drawn or (count + size <= 1.5 * wanted and len(drawn) < len(sessions) - 1):
                drawn, count = [*drawn, sessions[place]], count + size
            if count >= wanted:
                break
        return _parts(project, frames, [n for n in frames if project.frames[n].session in drawn], tuple(drawn), {})
    held, after = [], {}
    for session in sessions:
        mine = [number for number in frames if project.frames[number].session == session]
        count = min(max(round(share * len(mine)), 1), len(mine) - 1)
        if count:
            held += mine[-count:]
            after[session] = _time(project.frames[mine[-count]])[-1]
    return _parts(project, frames, held, (), after)


def _share(asked: str) -> float | None:
    try:
        share = float(asked)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise InputError(f"--validation: {asked}; a share of the labelled frames lies between 0 and 1")
    return share


def _parts(project: Project, frames, held: Sequence[int], recordings, after, how: str = "") -> Held:
    if not held or len(held) == len(frames):
        raise InputError(f"--validation: {len(held)} of {len(frames)} labelled frames would be held out; some must "
                         "train and some be held out")
    inside = set(held)
    usable = [number for number, one in enumerate(project.instances) if (one.visible > 0).any()]
    if not how:
        how = (f"recordings {summarise(list(recordings))}" if recordings else
               "the last part of " + ("each recording" if len(after) > 1 else "the only recording"))
    words = f"{len(held)} of {len(frames)} labelled frames, {how}"
    return Held(tuple(n for n in usable if project.instances[n].frame not in inside),
                tuple(n for n in usable if project.instances[n].frame in inside), tuple(recordings), after, words)


def _time(frame: Frame) -> tuple[str, int]:
    """Where a frame stands in its recording: its number, or the one that its picture's name ends in."""
    if frame.number is not None:
        return "", frame.number
    found = re.fullmatch(r"(.*?)(\d+)", frame.path.stem)
    return (found.group(1), int(found.group(2))) if found else (frame.path.stem, -1)


# Frames without labels


class Unlabelled(NamedTuple):
    """Frames to learn from without labels, and those of the same videos that are not taken."""

    frames: tuple[Frame, ...]
    left_out: frozenset[str]  # identities: the held-out parts of recordings

    def taken(self, every: int, root: Path) -> list[Frame]:
        """All but those, and of videos only frames 0, every, 2 every ..."""
        return [frame for frame in self.frames if not (frame.number or 0) % every
                and not (self.left_out and frame_identity(frame, root) in self.left_out)]


def unlabelled_frames(project: Project, held: Held, paths: Sequence[str]) -> Unlabelled:
    """The frames at `paths`, or if none is named those of the project that have no label, and its videos' others.

    Frames of videos that lie in a held-out part are left out, and so are the very files of held-out pictures, as in the
    project's own folder. Copies of them stay: whoever compares the two finds out.
    """
    if paths:
        frames = frames_at([Path(path) for path in paths])
    else:
        labelled = set(labelled_frames(project))
        inside = {project.frames[project.instances[number].frame].session for number in held.train}
        rest = [frame for number, frame in enumerate(project.frames) if number not in labelled]
        videos = dict.fromkeys(path for path in _videos(project) if path.stem in {Path(name).stem for name in inside})
        known = {(frame.path.resolve(), frame.number) for frame in rest}
        frames = (*rest, *(frame for frame in frames_at(list(videos))
                           if (frame.path.resolve(), frame.number) not in known))
    judged = {project.frames[project.instances[number].frame].path.resolve() for number in held.held_out}
    left_out = frozenset(
        frame_identity(frame, project.root) for frame in frames
        if (frame.number is None and frame.path.resolve() in judged)
        or ((frame.number is not None or not paths) and _is_held_out(frame, held)))
    return Unlabelled(tuple(frames), left_out)


def _videos(project: Project) -> list[Path]:
    """The video files that frames were taken from, and those in the project's folder `videos`."""
    named = [frame.path for frame in project.frames if frame.path.suffix.lower() in VIDEO_SUFFIXES]
    folder = project.root / "videos"
    beside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in dict.fromkeys([*named, *beside])
            if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]


def _is_held_out(frame: Frame, held: Held) -> bool:
    session = Path(frame.session).stem
    if session in {Path(name).stem for name in held.recordings}:
        return True
    first = {Path(name).stem: number for name, number in held.after.items()}.get(session)
    return bool(session) and first is not None and 0 <= first <= _time(frame)[-1]


# Pictures


@functools.lru_cache(maxsize=4)
def open_labelled(config: Any, flag: str = "project") -> tuple[ArraySource, ArraySource]:
    """(training, held-out) animals of a project, read once. config: an `OwnProject` whose settings are chosen. flag:
    the field that names the project."""
    project = needed_project(config, flag)
    held = hold_out(project, config.validation)
    return (open_animals(config, project, held.train, "training"),
            open_animals(config, project, held.held_out, "held out"))


def open_animals(config: Any, project: Project, numbers: Sequence[int], part: str) -> ArraySource:
    """Some labelled animals of a project, placed as the config says and read once. part: what they are called."""
    if config.placement == "around_box":
        numbers = with_boxes(project, numbers)
    source = project_source(project, place_of(config), instances=numbers, occluded=config.occluded,
                            name=f"{project.root.name}, {part}")
    return decoded(source, on_bad_frame=config.on_bad_frame)


def with_boxes(project: Project, numbers: Sequence[int]) -> list[int]:
    """The instances that can be cut out by a box; says how many cannot, having neither one nor two labelled points."""
    kept = [number for number in numbers if box_of(project.instances[number]) is not None]
    if len(kept) < len(numbers):
        print(f"{project.root.name}: left out {len(numbers) - len(kept)} of {len(numbers)} animals with neither a box "
              "nor two labelled points")
    return kept


def open_unlabelled(config: Any, frames: Sequence[Frame], skeleton: Skeleton, *, root: Path,
                    leave_out: Collection[str] = (), name: str = "without labels") -> ArraySource:
    """Frames without labels, read once, every `config.every`th of each video."""
    source = unlabelled_source(frames, place_of(config), skeleton, every=max(config.every, 1), leave_out=leave_out,
                               root=root, name=name)
    return decoded(source, on_bad_frame=config.on_bad_frame)
