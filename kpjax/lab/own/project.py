"""A person's annotation project in an experiment: its flags, the held-out part, and the frames
without labels.
"""

import functools
import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.errors import summarise
from kpjax.files import absolute, read_json
from kpjax.formats.answers import answers_of, with_answered_boxes
from kpjax.formats.names import SKELETON, recording, recordings, shown_files
from kpjax.formats.options import Options
from kpjax.formats.prediction_reading import read_predictions
from kpjax.formats.predictions import PredictionTable
from kpjax.formats.project import (
    Frame,
    Place,
    Project,
    labelled_frames,
    place_in_recording,
    says_something,
)
from kpjax.formats.project_source import (
    areas_of,
    box_of,
    empty_cells,
    frame_identity,
    frames_at,
    named_cells,
    project_source,
    with_nobody,
    with_point_boxes,
)
from kpjax.formats.reading import read_project
from kpjax.formats.uniting import in_names, unite, united_skeleton
from kpjax.formats.video_labels import TABLE
from kpjax.images.contents import contents
from kpjax.images.reading import IMAGE_SUFFIXES
from kpjax.images.transforms import AroundBox, Transform
from kpjax.images.video import VIDEO_SUFFIXES, is_drawn
from kpjax.input.source import ArraySource, Source, map_examples, where_read
from kpjax.lab.animals.calibration import Empty
from kpjax.lab.reports.pixel_errors import HELD_OUT, TARGET, TRAINED, Part
from kpjax.methods import published
from kpjax.papers.configs import flat
from kpjax.structures import Example, skeleton_from_json

VIDEOS = "videos of the project"  # an input: those that no frame with labels was taken from
PROJECTS = ("project", "source", "target_project")  # fields that name one
WITH_PROJECT = ("more_projects", "video_root")  # fields that say more of how one is read
# fields that name files, folders or a run
PATHS = (
    "unlabelled",
    "target",
    "videos",
    "images",
    "weights",
    "perceptual",
    "start",
    "old",
    "core",
)
RUNS = ("start", "old", "core")  # those of them that may name a run
# what is read of a folder beside images and videos: labels of these, and a run's record and network
OF_RUN = (TABLE, "results.json", "trained.json", "trained.safetensors")
OFTEN = 1 / 3  # the same share, above which empty cells are taught as absent
LEAST_EMPTY = 0.05  # share of animals, from which on a keypoint's empty cells are asked about
SHARE = 0.2  # share of the labelled frames that is held out
ENOUGH_RECORDINGS = 3  # whole recordings are held out from this number on


@dataclass(frozen=True)
class Own(Options):
    """Flags of every preset `own`: how a person's data are read, and what is held out."""

    #: further projects, which are learnt as one with the first: --project again
    more_projects: tuple[str, ...] = ()
    #: whether keypoints that are marked as occluded are learnt
    occluded: Literal["train", "drop"] = "train"
    #: what is held out: names of recordings (a,b) or a share of the frames; chosen if empty
    validation: str = ""
    every: int = 0  # keeps frames 0, every, 2 every ... of videos without labels; 0 chooses
    on_bad_frame: Literal["stop", "skip"] = "stop"  # what to do about frames that cannot be read
    # what a cell without a label says where the frame has others: the keypoint is absent, which is
    # taught then, or nobody labelled it; "often": absent, of keypoints that are often empty
    empty: Empty = "often"
    # what a frame without any label says: nobody labelled it, or no animal is there, which is taught
    empty_frames: Literal["unlabelled", "absent"] = "unlabelled"


def empty_shares(project: Project) -> np.ndarray:
    """Returns (K,) the share of the animals on which a keypoint could be labelled, and others are,
    that lack its label."""
    shown = np.array([bool(one.seen.any()) for one in project.instances], bool)
    labelled = named_cells(project)[shown].sum(0)
    return empty_cells(project).sum(0) / np.maximum(labelled, 1)


def questions(project: Project) -> list[str]:
    """Returns a line each for keypoints that are often empty, for other empty cells, and for frames
    without any label: the files do not say whether something is absent there, or not labelled."""
    shares, lines = empty_shares(project), []

    def listed(numbers: np.ndarray) -> str:
        most_first = sorted(numbers.tolist(), key=lambda k: -shares[k])
        names = [f"{project.skeleton.names[k]} {shares[k]:.0%}" for k in most_first]
        return summarise([name.replace("%", " %") for name in names], 4)

    often = np.flatnonzero(shares > OFTEN)
    others = np.flatnonzero((shares > LEAST_EMPTY) & (shares <= OFTEN))
    if often.size:
        lines.append(
            f"often empty on labelled frames, so taught as absent: {listed(often)}; --empty unlabelled undoes it"
        )
    if others.size:
        lines.append(
            f"cells are empty on labelled frames ({listed(others)}): absent there? --empty absent teaches it"
        )
    known = {one.frame for one in project.instances} | project.unlisted
    bare = len(project.frames) - len(known)
    if bare:
        lines.append(
            f"{bare} of {len(project.frames)} frames have no label: nobody there? --empty-frames absent "
            "teaches it"
        )
    return lines


def never_labelled(project: Project) -> list[str]:
    """Returns a line that names keypoints without any label, none where each has one."""
    labelled = np.zeros(len(project.skeleton.names), bool)
    for one in project.instances:
        labelled |= one.seen
    names = [
        name for name, there in zip(project.skeleton.names, labelled, strict=True) if not there
    ]
    return [f"never labelled: {', '.join(names)}"] if names else []


def absence_lines(own: Own, taught: Sequence[str], untaught: Sequence[str]) -> list[str]:
    """Returns a line for flags that call keypoints absent, where some variants do not teach absence;
    nothing without either. taught, untaught: names of variants.
    """
    flags = [
        f"{flag} absent"
        for flag, meaning in (("--empty", own.empty), ("--empty-frames", own.empty_frames))
        if meaning == "absent"
    ]
    if not (flags and untaught):
        return []
    names, verb = " and ".join(untaught), "does not" if len(untaught) == 1 else "do not"
    said = f"{names} {verb} teach that a keypoint is not there"
    if taught:
        teach = "teaches" if len(taught) == 1 else "teach"
        said = f"{' and '.join(taught)} {teach} that a keypoint is not there, {names} {verb}"
    return [
        f"{' and '.join(flags)}: counted in errors and cutoffs; {said}, since a softmax has no empty map"
    ]


def needed_project(data: Any, argument: str = "project") -> Project:
    """Reads the project at the path of that name in a config's data, as one with further ones if it
    is `project`.
    """
    path, own = getattr(data, argument), data.own
    if not path:
        instead = " or, in its place, a finished run: --start RUN" if argument == "source" else ""
        raise InputError(
            argument,
            f"name an annotation project of DeepLabCut, SLEAP, COCO, Lightning Pose or csv{instead}",
        )
    options = Options(**{field.name: getattr(own, field.name) for field in fields(Options)})
    if own.more_projects and argument != "project":
        raise InputError("more_projects", f"{argument} is one project; leave the others out")
    found = (
        _unite((path, *own.more_projects), options) if own.more_projects else _read(path, options)
    )
    return with_nobody(found) if own.empty_frames == "absent" else found


@functools.lru_cache(maxsize=2)
def _unite(paths: tuple[str, ...], options: Options) -> Project:
    found = unite([_read(path, options) for path in paths])
    print(*found.notes, sep="\n")
    return found


def title(data: Any) -> str:
    """Returns the name of a project, or of several."""
    return " and ".join(
        Path(path).expanduser().resolve().name for path in (data.project, *data.own.more_projects)
    )


@functools.lru_cache(maxsize=4)
def _read(path: str, options: Options) -> Project:
    found = read_project(Path(path).expanduser(), options)
    project = in_order(with_point_boxes(found, options.box_side))
    for line in (*project.doubts, *project.notes[len(found.notes) :]):
        print(f"{project.root.name}: {line}")
    return project


def in_order(project: Project) -> Project:
    """Returns the project with the animals of each frame in an order that files do not decide: by
    name, box and points."""
    animals = sorted(
        project.instances,
        key=lambda one: (one.frame, one.track, one.box.tobytes(), one.keypoints.tobytes()),
    )
    return project._replace(instances=tuple(animals))


def renamed_to(project: Project, skeleton: Skeleton) -> Project:
    """Returns the project with the keypoints of a skeleton; those that it does not have are not
    labelled.
    """
    instances = tuple(
        in_names(one, project.skeleton.names, skeleton.names) for one in project.instances
    )
    return project._replace(skeleton=skeleton, instances=instances)


Stretch = tuple[Place, Place | None]


class Held(NamedTuple):
    """Labelled animals of a project in two parts that share no frame and, if possible, no
    recording.
    """

    train: tuple[int, ...]  # numbers of instances
    held_out: tuple[int, ...]
    recordings: tuple[str, ...]  # sessions held out as a whole
    #: session -> from where to before where parts of it are held out, see `_time`; None for its end
    stretches: dict[str, tuple[Stretch, ...]]
    words: str


def open_project(config: Any) -> tuple[Project, Held]:
    """Reads the project whose labels a run learns from, the `source` or `project` of its data, and
    says what of it is held out. Raises InputError as both parts do."""
    project = needed_project(config.data, "source" if hasattr(config.data, "source") else "project")
    if start := getattr(config.backbone, "start", ""):
        project = _in_order_of(start, project)
    project = with_whole_animals(project, config.data)
    return project, hold_out(project, config.data.own.validation)


def are_points(old: str) -> bool:
    """Returns whether what stands in the place of an old run is a file of another tool's points."""
    return bool(old) and not published.is_published(old) and absolute(old).is_file()


@functools.lru_cache(maxsize=4)
def read_points(old: str, project: str) -> tuple[PredictionTable, ...]:
    """Reads a file of predictions. project: the path of one that may list the images."""
    return read_predictions(Path(old).expanduser(), Path(project).expanduser())


def with_whole_animals(project: Project, data: Any) -> Project:
    """Returns a project whose animals have boxes about all their points, where there is a file of
    predictions at `old` of a config's data; else the same."""
    old = getattr(data, "old", "")
    if not are_points(old):
        return project
    answers = answers_of(project, read_points(old, data.project))
    return with_answered_boxes(project, answers, data.own.box_side)


def _in_order_of(start: str, project: Project) -> Project:
    """Returns the project with its keypoints in the order of those that the run at `--start` finds,
    if they are the same ones: names decide."""
    file = Path(start).expanduser() / SKELETON
    if not file.is_file():
        return project
    names = skeleton_from_json(read_json(file), str(file)).names
    if names == project.skeleton.names or set(names) != set(project.skeleton.names):
        return project
    ordered = united_skeleton({"the run": Skeleton(names), "the project": project.skeleton})
    return renamed_to(project, ordered)


def labels_digest(project: Project) -> str:
    """Returns the sha256 of all that was read of a project but its place, the order of its frames
    and its notes: it changes with any label, name, box, recording or split."""
    skeleton = project.skeleton
    relations = (sorted(skeleton.edges), skeleton.flip, sorted(skeleton.groups.items()))
    animals: dict[int, list] = {}
    for one in project.instances:
        said = [
            np.float64(part).round(6).tobytes() if isinstance(part, np.ndarray) else part
            for part in one._replace(frame=0, area=None)
            if part is not None  # `named`, of a project that is one by itself
        ]
        animals.setdefault(one.frame, []).append(said)
    frames = sorted(
        repr((frame._replace(path=""), animals.get(number, ()), number in project.nobody))
        for number, frame in enumerate(project.frames)
    )
    lengths = sorted((path.name, count) for path, count in project.lengths.items())
    read = (skeleton.names, relations, frames, lengths)
    return hashlib.sha256(repr(read).encode()).hexdigest()


def inputs_of(config: Any, data_dir: Path = Path()) -> dict[str, dict[str, str]]:
    """Returns the digests of all files that a config names, by field and file: labels as they were
    read with their images and videos, images and videos without labels, runs, and single files.

    data_dir: of prepared sets, which none of these is. Raises InputError for what cannot be read.
    """
    found = {}
    for name, value in flat(config).items():
        if name in PROJECTS and value:
            project = needed_project(config.data, name)
            images = {one.name: one.path for one in project.frames if one.number is None}
            read = dict.fromkeys(one.path for one in project.frames if one.number is not None)
            beside = [video for video in videos_of(project) if video not in read]
            found[name] = {"labels": labels_digest(project)} | contents(
                images | _named((project.root, video) for video in read)
            )
            if beside:
                found[VIDEOS] = found.get(VIDEOS, {}) | contents(
                    _named((project.root, video) for video in beside)
                )
        elif name in PATHS:
            paths = [
                Path(text).expanduser()
                for text in (value if isinstance(value, tuple) else (value,))
                if text and os.path.exists(os.path.expanduser(text))
            ]
            files: dict[str, Path] = {}
            for number, path in enumerate(paths, 1):
                # several are told apart by their order, since a name is a part of an address
                place = f"{number}/" if len(paths) > 1 else ""
                if path.is_file():
                    files[f"{place}file"] = path
                    continue
                of_run = name in RUNS and (path / "results.json").is_file()
                below = [
                    (path, file) for file in shown_files(path, "**/*") if _is_read(file, of_run)
                ]
                files |= {place + called: file for called, file in _named(below).items()}
            if files:
                found[name] = contents(files)
    return found


def _named(files: Iterable[tuple[Path, Path]]) -> dict[str, Path]:
    """Returns files, or those in folders, by their names below the root that stands before each;
    those elsewhere by their last name. Those that share one are numbered in their order, since a
    whole path would change with the place.
    """
    found: dict[str, Path] = {}
    times = Counter[str]()
    for root, path in files:
        for file in shown_files(path, "**/*"):
            is_below = file != root and file.is_relative_to(root)
            name = str(file.relative_to(root)) if is_below else file.name
            times[name] += 1
            if times[name] > 1:
                name += f" ({times[name]})"
            found[name] = file
    return found


def _is_read(file: Path, of_run: bool) -> bool:
    """Returns whether a file of a folder that a flag names is read: an image, a video or labels of
    videos; of a run its record and its network, whatever was drawn there."""
    if file.name in OF_RUN or of_run:
        return file.name in OF_RUN
    return file.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES) and not is_drawn(file)


def describe(project: Project, held: Held) -> str:
    """Describes a project and what is held out in a line."""
    return (
        f"{project.root.name}: {project.format}, {len(project.frames)} frames, {len(labelled_frames(project))} "
        f"labelled, {len(project.skeleton.names)} keypoints; held out: {held.words}"
    )


def hold_out(project: Project, asked: str = "") -> Held:
    """Chooses the labelled frames that a run is evaluated on and does not train on.

    asked: names of recordings, or a share of the labelled frames. "" takes what the project itself
    says, or else a fifth: whole recordings where three or more show animals, drawn by their names
    alone; otherwise the last part of each, since neighbouring frames are nearly identical, of frames
    with an animal and of those that show none.
    """
    frames = labelled_frames(project)
    if len(frames) < 2:
        raise InputError(
            f"{project.root}: {len(frames)} labelled frame{'s' if not frames else ''}; label at least two"
        )
    of_session: dict[str, list[int]] = {}  # in the order of time
    for number in frames:
        of_session.setdefault(project.frames[number].session, []).append(number)
    marked = [number for number in frames if project.frames[number].split in ("validation", "test")]
    animals = {one.frame for one in project.instances if one.seen.any()}
    recordings, stretches, held, how = [], {}, [], ""
    # Recordings of several projects begin with the project's name; some are called by a number.
    share = (
        None
        if any(f"/{session}".endswith(f"/{asked}") for session in of_session)
        else _share(asked)
    )
    if asked and share is None:
        named_by = {
            name.strip(): [
                session for session in of_session if f"/{session}".endswith(f"/{name.strip()}")
            ]
            for name in asked.split(",")
            if name.strip()
        }
        recordings = [session for sessions in named_by.values() for session in sessions]
        if unknown := [name for name, sessions in named_by.items() if not sessions]:
            named = [*filter(None, of_session)]
            there = (
                f"there are {summarise(named)}; name some of them, or"
                if named
                else "the project names none; give"
            )
            raise InputError(
                "validation",
                f"{unknown[0]!r} is not a labelled recording; {there} a share such as 0.2",
            )
    elif not asked and 0 < len(marked) < len(frames):
        held, how = marked, "as the project says"
    elif sum(not animals.isdisjoint(some) for some in of_session.values()) >= ENOUGH_RECORDINGS:
        shown = np.stack([one.seen for one in project.instances])
        frame_of = np.array([one.frame for one in project.instances])
        recordings = _draw_recordings(
            {name: len(numbers) for name, numbers in of_session.items()},
            {
                name: shown[np.isin(frame_of, numbers)].any(0)
                for name, numbers in of_session.items()
            },
            share or SHARE,
        )
    else:
        for session, numbers in of_session.items():
            parts = _last_parts(numbers, animals, share or SHARE)
            held += itertools.chain(*parts)
            if parts:
                stretches[session] = _stretches(project, numbers, parts)
        how = f"the last part of {'each' if len(stretches) > 1 else 'the only'} recording"
        if any(len(some) > 1 for some in stretches.values()):
            how += ", of frames with an animal and of those that show none"
        if set(of_session) == {""}:
            how = "the last by name; recordings are not known"
    if recordings:
        held, how = (
            [n for name in recordings for n in of_session[name]],
            f"recordings {summarise(recordings)}",
        )
    if not 0 < len(held) < len(frames):
        raise InputError(
            "validation",
            f"{len(held)} of {len(frames)} labelled frames would be held out; choose some, not all",
        )
    frames_out = set(held)
    train, held_out = (
        tuple(
            number
            for number, one in enumerate(project.instances)
            if says_something(project, one) and (one.frame in frames_out) == out
        )
        for out in (False, True)
    )
    whole = tuple(
        session for session, numbers in of_session.items() if frames_out.issuperset(numbers)
    )
    return Held(
        train, held_out, whole, stretches, f"{len(held)} of {len(frames)} labelled frames, {how}"
    )


def _draw_recordings(
    sizes: Mapping[str, int], shown: Mapping[str, np.ndarray], share: float
) -> list[str]:
    """Draws recordings by their order, until a share of all frames is held out; of each keypoint
    some labels train.
    shown: (K,) bool of each recording, the keypoints that have a label there."""
    names = [list(sizes)[place] for place in np.random.default_rng(0).permutation(len(sizes))]
    testing = [name for name in names if shown[name].any()]
    wanted, drawn = share * sum(sizes.values()), []

    def teaches_all(held: Sequence[str]) -> bool:
        rest = [shown[name] for name in names if name not in held]
        return bool(rest) and bool(
            (np.any(rest, axis=0) == np.any(list(shown.values()), axis=0)).all()
        )

    for name in testing:
        size = sum(sizes[one] for one in (*drawn, name))
        # rather one less than far more than asked for
        if size <= 1.5 * wanted and teaches_all([*drawn, name]):
            drawn.append(name)
        if sum(sizes[one] for one in drawn) >= wanted:
            break
    return drawn or [min(testing, key=lambda name: (not teaches_all([name]), sizes[name]))]


def _share(asked: str) -> float | None:
    try:
        share = float(asked)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise InputError(
            "validation", f"{asked}; a share of the labelled frames lies between 0 and 1"
        )
    return share


def _last_parts(numbers: list[int], animals: Collection[int], share: float) -> list[list[int]]:
    """Returns the last of a recording's labelled frames: of those with an animal and of those without,
    since one may come late or leave early. Of each a share, at least one and not all.

    animals: the frames with one.
    """

    def last_of(some: list[int]) -> list[int]:
        count = min(max(round(share * len(some)), 1), len(some) - 1)
        return some[-count:] if count > 0 else []

    empty = [number for number in numbers if number not in animals]
    shown = [number for number in numbers if number in animals]
    found = [last_of(empty), last_of(shown)]
    if not any(found):  # one of each
        found = [last_of(numbers)]
    return [part for part in found if part]


def _stretches(
    project: Project, numbers: Sequence[int], parts: Sequence[Sequence[int]]
) -> tuple[Stretch, ...]:
    """Returns from where to where the parts of a recording are held out: each ends before the next
    labelled frame that trains.

    numbers: all labelled frames, in the order of time.
    """
    held = set(itertools.chain(*parts))
    found = []
    for part in parts:
        after = numbers[numbers.index(part[-1]) + 1 :]
        training = [number for number in after if number not in held]
        end = place_in_recording(project.frames[training[0]]) if training else None
        found.append((place_in_recording(project.frames[part[0]]), end))
    return tuple(found)


def _is_within(place: Place, stretches: Sequence[Stretch]) -> bool:
    """Returns whether a frame lies in one of some stretches."""
    return any(
        _is_after(place, first) and (end is None or not _is_after(place, end))
        for first, end in stretches
    )


def _is_after(place: Place, first: Place) -> bool:
    """Returns whether a frame is not before another one; a video's frames have the numbers of its
    images, whatever stands before these."""
    if "" in (place[0], first[0]):
        return 0 <= first[1] <= place[1]
    return place >= first


class Unlabelled(NamedTuple):
    """Frames to learn from without labels."""

    frames: tuple[Frame, ...]
    left_out: frozenset[str]  # identities: the held-out parts of recordings

    def taken(self, every: int, root: Path) -> list[Frame]:
        """Returns the frames that are used: of videos only frames 0, every, 2 every ..."""
        return [
            frame
            for frame in every_th(self.frames, every)
            if not (self.left_out and frame_identity(frame, root) in self.left_out)
        ]


def every_th(frames: Sequence[Frame], every: int) -> list[Frame]:
    """Returns images, and of videos frames 0, every, 2 every ..."""
    return [frame for frame in frames if not (frame.number or 0) % max(every, 1)]


def unlabelled_frames(project: Project, held: Held, paths: Sequence[str]) -> Unlabelled:
    """Returns the frames at `paths`, or if none is named the project's unlabelled frames and all
    others of its videos.

    Videos are those of `videos_of`. Held-out recordings and parts of them are left out, and so are
    the files of held-out images. Copies of these stay; opening the data compares their content.
    """
    if paths:
        images = {frame.path.resolve(): frame for frame in project.frames if frame.number is None}
        frames = [
            images.get(frame.path.resolve(), frame)
            for frame in frames_at([Path(path) for path in paths])
        ]
    else:
        labelled = set(labelled_frames(project))
        rest = [frame for number, frame in enumerate(project.frames) if number not in labelled]
        known = {(frame.path.resolve(), frame.number) for frame in rest}
        frames = (
            *rest,
            *(
                frame
                for path in videos_of(project)
                for frame in _frames_of(path)
                if (frame.path.resolve(), frame.number) not in known
            ),
        )
    trained, tested = (
        {project.frames[project.instances[number].frame] for number in part}
        for part in (held.train, held.held_out)
    )
    evaluated = {(frame.path.resolve(), frame.number) for frame in tested}
    # held out as a whole
    splits = {frame.split for frame in tested} - {frame.split for frame in trained} - {""}
    named = recordings(
        {frame.session for frame in project.frames}, [root.resolve().name for root in project.roots]
    )
    whole, stretches = {named[name] for name in held.recordings}, dict[str, tuple[Stretch, ...]]()
    with_folders = {name for name in named.values() if "/" in name}
    for name, some in held.stretches.items():  # of two projects one recording may have two
        stretches[named[name]] = (*stretches.get(named[name], ()), *some)
    # videos have the names of their files, and those that the project gives them
    called: dict[Path, set[str]] = {}
    for frame in project.frames:
        called.setdefault(frame.path.resolve(), set()).add(named[frame.session])

    def is_left_out(frame: Frame) -> bool:
        path = frame.path.resolve()
        if frame.split in splits or (path, frame.number) in evaluated:
            return True
        sessions = called.get(path) or {
            recording(frame.session) or None,
            *(one for one in with_folders if f"/{one}/" in f"{path.as_posix()}/"),
        }
        return any(
            one in whole or _is_within(place_in_recording(frame), stretches.get(one, ()))
            for one in sessions
        )

    return Unlabelled(
        tuple(frames),
        frozenset(frame_identity(frame, project.root) for frame in frames if is_left_out(frame)),
    )


@functools.lru_cache(maxsize=64)
def _frames_of(video: Path) -> tuple[Frame, ...]:
    """Returns the frames of a video; none of one that cannot be read, with a note, since nobody
    named it.
    """
    try:
        return frames_at([video])
    except InputError as error:
        print(f"left out: {error}")
        return ()


def videos_of(project: Project) -> list[Path]:
    """Returns the video files that frames were taken from, and those in the project's folder
    `videos`, whether any of their frames has labels or not; without those that a program drew
    points on, by their names."""
    beside = [
        path
        for root in project.roots or (project.root,)
        for path in sorted((root / "videos").glob("[!.]*"))
        if not is_drawn(path)
    ]
    paths = dict.fromkeys([*(frame.path for frame in project.frames), *beside])
    return [
        path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(path)
    ]


@functools.lru_cache(maxsize=4)
def open_labelled(config: Any) -> tuple[ArraySource, ArraySource]:
    """Returns the (training, held-out) animals of the project that `open_project` reads, read once."""
    project, held = open_project(config)
    return (
        open_animals(
            config.data.own, config.data.square(), project, held.train, "training", taught=True
        ),
        open_animals(config.data.own, config.data.square(), project, held.held_out, "held out"),
    )


def parts_of(
    config: Any, trained: Source | None, held_out: Source | None, target: Source | None = None
) -> dict[str, Part]:
    """Returns the labelled animals for training, those held out, and those of the target, as far as
    there are any.
    """
    own, found = config.data.own, {}
    if trained is not None and held_out is not None:
        project = open_project(config)[0]
        for name, source in ((TRAINED, trained), (HELD_OUT, held_out)):
            found[name] = part_of(own, project, source)
    if target is not None:
        found[TARGET] = part_of(own, needed_project(config.data, "target_project"), target)
    return found


def part_of(own: Own, project: Project, source: Source) -> Part:
    """Returns animals of a project that `open_animals` read, or some of them, as a part on which
    errors are measured: `visible` is nan where their labels say nothing of a keypoint.
    """
    project = renamed_to(project, source.skeleton)
    read, rows = where_read(source)
    numbers = read.examples.index[rows]
    unknown = unknown_cells(project, own)[numbers]

    def marked(example: Example, row: int) -> Example:
        visible = np.where(unknown[row], np.float32(np.nan), example.visible)
        return example._replace(visible=visible)

    known = map_examples(source, marked, unknown, name=source.name)
    return Part(known, project.root, areas_of(project)[numbers])


def unknown_cells(project: Project, own: Own) -> np.ndarray:
    """Returns (I, K) bool: keypoints of which the labels say nothing, since the animal's own project
    does not name them, or since they are occluded and flags drop those."""
    unknown = ~named_cells(project)
    if own.occluded == "drop":
        for number, one in enumerate(project.instances):
            unknown[number] |= one.seen & one.occluded
    return unknown


def open_animals(
    own: Own,
    transform: Transform,
    project: Project,
    numbers: Sequence[int],
    part: str,
    *,
    taught: bool = False,
) -> ArraySource:
    """Reads some labelled animals of a project once, as square images. part: their name. taught:
    whether keypoints that are absent by the flags are marked so, for training.

    Frames without an animal are left out where animals are cropped: there is nothing to crop.
    """
    if isinstance(transform, AroundBox):
        numbers = [n for n in numbers if project.instances[n].frame not in project.nobody]
        kept = [number for number in numbers if box_of(project.instances[number]) is not None]
        if len(kept) < len(numbers):
            print(
                f"{project.root.name}: left out {len(numbers) - len(kept)} of {len(numbers)} animals with neither a "
                "box nor two labelled keypoints"
            )
        numbers = kept
    return project_source(
        project,
        transform,
        instances=numbers,
        occluded=own.occluded,
        name=f"{project.root.name}, {part}",
        on_bad_frame=own.on_bad_frame,
        absent=absent_cells(project, own) if taught else None,
    )


def absent_cells(project: Project, own: Own) -> np.ndarray:
    """Returns (I, K) bool: keypoints that are not there, as far as flags say so."""
    taught = {"often": empty_shares(project) > OFTEN, "absent": True, "unlabelled": False}
    cells = empty_cells(project) & taught[own.empty]
    nobody = [one.frame in project.nobody for one in project.instances]
    return cells | np.array(nobody, bool)[:, None]
