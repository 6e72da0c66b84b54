"""Several animals in a frame: a small network that finds them on whole frames, trained from the
labels of a run that sees crops of them, and kept in the run's folder for `kpjax predict`."""

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from kpjax import InputError, Method, Skeleton, Trained
from kpjax.augment import compose_augmentations, random_window
from kpjax.centres import Animals, centre_codec, centre_loss, find_centres
from kpjax.drawing.overlays import contact_sheet, enlarge_small_image, write_png
from kpjax.errors import count_text
from kpjax.evaluation.matching import Matched, known_extents, match_by_centre, middles_of
from kpjax.files import foreign, make_folder, read_json, write_json
from kpjax.formats.project import Frame, Project
from kpjax.formats.project_source import (
    Crowd,
    crowd_of,
    frame_identity,
    unlabelled_source,
    whole_frames,
)
from kpjax.images.reading import spread
from kpjax.images.transforms import Letterbox, growth_of
from kpjax.input.source import ArraySource, Source, check_disjoint, digest_of
from kpjax.lab.own.project import Held, Own, every_th, open_animals, open_project
from kpjax.methods import Setup, supervised
from kpjax.models import KeypointNetwork, SmallUNet
from kpjax.papers.configs import Augmentation, config_from_json, replace_fields
from kpjax.papers.engine import IMAGES, Job, Shared, Stage, Training, batches, fit_stage
from kpjax.training.evaluation import in_batches, padded_size
from kpjax.training.mesh import data_mesh
from kpjax.training.run_folder import kept_arrays
from kpjax.training.trees import load_trained, save_trained, tree_digest

FOLDER, FILE = "animals", "animals.json"  # in a run's folder, and in the folder in it
FORMAT = 3
# Of frames, px, and of their animals there: the extent, and the distance of two that lie close.
SIZES, LEAST_EXTENT, LEAST_APART = (128, 192, 256, 384, 512, 768, 1024), 16, 16
# Larger frames only where all labelled ones have no more bytes; frames without labels are read in pieces.
USUAL, MOST_BYTES = 512, 2e9
USUAL_BYTES = 4e9  # of all labelled frames, at sides of up to USUAL
NETWORK = SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32)
STRIDE = 4  # px of a frame for a cell of the maps
WINDOW = 192  # px, of the windows of larger frames that the network learns from
STEPS, BATCH, RATE = 600, 8, 3e-3
MORE = 4  # animals that are looked for beyond the most on a labelled frame
# the score from which an animal is there; where their number is known, it is lower
FOUND, FAINT = 0.3, 0.1
SHOWN, SHOWN_SIDE = 24, 160  # crops on a sheet, px
# share of frames with an animal, below which they look like none that the finder knows
NEARLY_NONE = 0.05
KNOWN = 0.5  # share of animals found on held-out frames, below which crops are of little use
# Share of labelled points that crops of found animals must show, on frames that train, and the most that
# crops grow for it: the run learns from animals that differ as much in size.
SHOWN_POINTS, WIDEST = 0.95, 1.3


class Finder(NamedTuple):
    """The animals of whole frames."""

    side: int  # S, of the letterboxed frames that `find` takes
    most: int  # animals on a labelled frame
    always: bool  # as many on every labelled frame
    #: (B, S, S, 3) uint8 -> animals in pixels of the squares, numpy
    find: Callable[[np.ndarray], Animals]

    def on(self, squares: np.ndarray) -> Animals:
        """Finds the animals of frames (N, S, S, 3) uint8, a few at a time."""
        return Animals(*in_batches(self.find, squares, BATCH))

    @property
    def known(self) -> int | None:
        """The number of animals on a frame, where that is known."""
        return self.most if self.always else None

    def counts(self, scores: np.ndarray, animals: int | None) -> tuple[int, int]:
        """Returns how many animals of falling scores are there for sure, and how many are kept.

        animals: as of `boxes`.
        """
        there = int((scores >= FOUND).sum())
        return there, there if animals is None else min(int((scores >= FAINT).sum()), animals)

    def boxes(
        self, found: Animals, row: int, crop: np.ndarray, animals: int | None
    ) -> tuple[np.ndarray, int]:
        """Returns the boxes (I, 4) x, y, width, height of row `row` in pixels of its frame, and how
        many there are.

        crop: (3, 3), from the square to the frame. animals: their number, where it is known; then
        the most certain ones, and no more than that. No box is longer than its frame.
        """
        there, kept = self.counts(found.scores[row], animals)
        # The network's extents have no bound, and a crop takes the memory of all that it shows: no
        # animal is larger than its frame.
        extents = np.minimum(found.extents[row, :kept, None].astype(np.float64), self.side)
        sides = extents * growth_of(crop)
        middles = found.centres[row, :kept] @ np.asarray(crop, np.float64)[:2, :2].T + crop[:2, 2]
        return np.concatenate([middles + 0.5 - sides / 2, sides, sides], -1), there


class Learnt(NamedTuple):
    """What a finder is made of."""

    described: dict[str, Any]
    trained: Trained
    under: Sequence[Mapping[str, Any]] = ()  # the programs that have trained it

    @property
    def digest(self) -> str:
        """The sha256 of both, but for what was counted on held-out frames."""
        described = json.dumps(
            {name: value for name, value in self.described.items() if name != "held_out"},
            sort_keys=True,
        )
        return digest_of(
            described,
            tree_digest({"variables": self.trained.variables, "frozen": self.trained.frozen}),
        )


def of_another_run(learnt: Learnt) -> Learnt:
    """Returns what finds animals for a run that has not trained it: without what was counted on the
    other one's held-out frames."""
    described = {name: value for name, value in learnt.described.items() if name != "held_out"}
    return learnt._replace(described=described)


def frame_size(crowd: Crowd, longer_side: float) -> int:
    """Returns the side of frames on which animals are found, px: the least at which they are large
    and far enough, if the labelled frames fit into memory.
    """
    bytes_of = {side: 3 * crowd.frames * side**2 for side in SIZES}
    possible = [
        side for side in SIZES if bytes_of[side] <= (USUAL_BYTES if side <= USUAL else MOST_BYTES)
    ]
    possible = possible or [min(SIZES)]
    return next(
        (
            side
            for side in possible
            if not crowd.extent * (side / longer_side) < LEAST_EXTENT
            and not crowd.apart * (side / longer_side) < LEAST_APART
        ),
        possible[-1],
    )


def keep_finder(job: Job, learnt: Learnt, found: Source | None) -> None:
    """Writes a network that finds animals into a run's folder, and an image of some that it
    found."""
    if jax.process_index() == 0:
        save_trained(job.folder / FOLDER, learnt.trained)
        write_json(job.folder / FOLDER / FILE, learnt.described)
        if found is not None and len(found):
            write_png(
                job.folder / IMAGES / "found_animals.png",
                contact_sheet(
                    [
                        enlarge_small_image(found[number].image, SHOWN_SIDE)
                        for number in spread(range(len(found)), SHOWN)
                    ]
                ),
            )


@functools.lru_cache(maxsize=2)
def learnt_finder(job: Job) -> Learnt:
    """Trains the network that finds animals, or reads it: a stage of a job that all variants of a
    seed share.
    """
    # Its batch is small: groups of the run's batch would leave an image or none to each of its own.
    job = job._replace(options=replace(job.options, batch_norm_groups=1))
    project, held = open_project(job.config)
    whole, points = whole_frames(project)
    crowd = crowd_of(project)
    side = frame_size(crowd, max(max(frame.size) for frame in project.frames))
    parts = [
        frames_of(project, whole, numbers, job.config.data.own, side, name)
        for numbers, name in ((held.train, "frames"), (held.held_out, "frames held out"))
    ]
    steps, batch = (
        min(STEPS, 2 * job.config.steps),
        padded_size(BATCH, job.options.mesh or data_mesh()),
    )
    described = {
        "format": FORMAT,
        "image_size": side,
        # side of what the network sees in training, px: whole frames, or windows of large ones; it
        # learns extents as shares of it
        "window": min(side, WINDOW),
        "animals": crowd.most,
        "always": not (crowd.fewer or project.nobody),
        "points": points,
        "network": asdict(NETWORK),
    }
    own = job.config.augment
    changes = replace_fields(
        own if isinstance(own, Augmentation) else Augmentation(), augmentation="strong", flip=True
    )
    method = finder_method(described, whole.skeleton, changes, steps)
    config = described | {
        "steps": steps,
        "batch": batch,
        "augment": asdict(changes),
        "digest": parts[0].digest,
    }
    streams = batches(job, method, {"labelled": parts[0]}, batch_size=batch)
    shared = Shared(FOLDER, lambda: config)
    asked = Stage(FOLDER, steps, lambda: Training(method, streams, shared.config), shared=shared)
    stage = job.stage(functools.partial(fit_stage, job, asked), shared)
    margin = job.config.data.crop_margin
    described["enlarged"] = enlargement(
        finder_of(described, stage.trained), parts[0], points, margin
    )
    described["held_out"] = count_found(
        finder_of(described, stage.trained), parts[1], points, margin
    )
    return Learnt(described, stage.trained, stage.under)


def frames_of(
    project: Project, whole: Project, numbers: Sequence[int], own: Own, side: int, name: str
) -> ArraySource:
    """Reads the frames of some labelled animals, letterboxed, with the points of all animals on
    them.
    """
    wanted = {project.instances[number].frame for number in numbers}
    return open_animals(
        own,
        Letterbox(side),
        whole,
        [number for number, one in enumerate(whole.instances) if one.frame in wanted],
        name,
    )


def network_of(described: dict[str, Any]) -> KeypointNetwork:
    """Builds the network of a description, whose two maps are those of `kpjax.centres`."""
    network, _ = config_from_json(SmallUNet(), described["network"])
    return network.build(2, stride=STRIDE)


def finder_method(
    described: dict[str, Any], skeleton: Skeleton, changes: Augmentation, steps: int
) -> Method:
    """Builds the method that learns centres and extents of the animals of whole frames under the
    run's changes, from windows of large frames.
    """
    side, change = described["window"], changes.build(skeleton)
    if side < described["image_size"]:
        change = compose_augmentations(random_window(side), change)
    setup = Setup(
        network_of(described),
        Skeleton(("centre", "extent")),
        centre_codec(
            image_size=side,
            heatmap_size=side // STRIDE,
            points=described["points"],
            most=described["animals"] + MORE,
        ),
        optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(1e-4)),
        optax.warmup_cosine_decay_schedule(0.0, RATE, min(50, steps // 2), steps),
        change,
        normalise,
    )
    return supervised(setup, loss=centre_loss)


def normalise(images: jax.Array) -> jax.Array:
    """Returns images in [0, 1] less one half: the network learns from random weights."""
    return images - np.float32(0.5)


def finder_of(described: dict[str, Any], trained: Trained) -> Finder:
    """Returns a description and what its network has learnt as a finder."""
    side, network = described["image_size"], network_of(described)
    most = described["animals"] + MORE
    enlarged = described.get("enlarged", 1.0) * described["window"] / side

    @jax.jit
    def find(variables, images):
        maps = network.apply(variables, normalise(images.astype(np.float32) / 255), train=False)
        found = find_centres(maps, image_size=side, most=most)
        return found._replace(extents=enlarged * found.extents)

    variables = jax.device_put(trained.variables)
    return Finder(
        side,
        described["animals"],
        described["always"],
        lambda images: jax.tree.map(np.asarray, find(variables, images)),
    )


class OnFrame(NamedTuple):
    """The animals of a labelled frame, and those that were found there."""

    points: np.ndarray  # (A, P, 2) px, nan where unknown
    extents: np.ndarray  # (A,) px, 0 of one with a single known point
    centres: np.ndarray  # (D, 2) px, of those that were found
    found_extents: np.ndarray  # (D,) px
    matched: Matched

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yields the numbers of each animal that was found, and of what was found."""
        for animal, place in enumerate(self.matched.predicted):
            if place >= 0:
                yield animal, int(place)

    def reaches(self, margin: float) -> Iterator[np.ndarray]:
        """Yields, for each animal that was found, how far its points (n,) lie from the middle of its
        crop along the farther axis, over half the crop's side: above 1 outside.

        margin: side of a crop over the extent that was found.
        """
        for animal, place in self.pairs():
            places = self.points[animal]
            away = np.abs(places[np.isfinite(places).all(-1)] - self.centres[place]).max(-1)
            yield 2 * away / (margin * max(self.found_extents[place], 1e-9))


def matches(finder: Finder, source: ArraySource, points: int) -> Iterator[OnFrame]:
    """Yields the labelled animals of each frame beside those that `Finder.boxes` would keep."""
    found = finder.on(source.examples.image)
    visible = source.examples.visible[..., None] > 0
    labelled = np.where(visible, source.examples.keypoints, np.nan)
    animals = labelled.reshape(len(source), -1, points, 2)
    middles, extents = middles_of(animals)
    known = known_extents(extents)
    for row, true in enumerate(animals):
        there = np.isfinite(true).any((1, 2))
        _, kept = finder.counts(found.scores[row], finder.known)
        centres = found.centres[row, :kept]
        yield OnFrame(
            true[there],
            extents[row, there],
            centres,
            found.extents[row, :kept],
            match_by_centre(middles[row, there], known[row, there], centres),
        )


def count_found(finder: Finder, source: ArraySource, points: int, margin: float) -> dict[str, int]:
    """Counts the animals of labelled frames that are found, found twice, and found where none is
    labelled; and labelled points, and those that lie in the crops of found animals.

    margin: as of `OnFrame.reaches`.
    """
    names = ("animals", "found", "twice", "others", "points", "shown")
    counts = {"frames": len(source)} | dict.fromkeys(names, 0)
    for frame in matches(finder, source, points):
        counts["animals"] += len(frame.extents)
        counts["found"] += int((frame.matched.predicted >= 0).sum())
        counts["twice"] += frame.matched.twice
        counts["others"] += frame.matched.others
        counts["points"] += int(np.isfinite(frame.points).all(-1).sum())
        counts["shown"] += sum(int((reach <= 1).sum()) for reach in frame.reaches(margin))
    return counts


def enlargement(finder: Finder, source: ArraySource, points: int, margin: float) -> float:
    """Returns by what found extents are multiplied, 1 where nothing is found.

    It is at least the median of true over found ones on frames that train: absolute errors of the
    logarithm leave them too small, which would cut points off. It is larger, up to `WIDEST` times
    the median, where crops about centres that are not exact would show fewer than `SHOWN_POINTS` of
    the points.

    margin: as of `OnFrame.reaches`.
    """
    ratios: list[float] = []
    reaches: list[np.ndarray] = []
    for frame in matches(finder, source, points):
        ratios += [
            frame.extents[animal] / frame.found_extents[place]
            for animal, place in frame.pairs()
            if frame.extents[animal] > 0
        ]
        reaches += frame.reaches(margin)
    if not ratios:
        return 1.0
    median = float(np.median(ratios))
    wanted = float(np.quantile(np.concatenate(reaches), SHOWN_POINTS, method="higher"))
    return min(max(wanted, median), WIDEST * median)


def found_text(counts: dict[str, int]) -> str:
    """Says what `count_found` counted."""
    frames = count_text(counts["frames"], "held-out frame")
    return (
        f"animals found on {frames}: {counts['found']} of {counts['animals']}, {counts['twice']} twice, "
        f"{counts['others']} where none is labelled; their crops show {counts['shown']} of {counts['points']} "
        "points of labels or their boxes"
    )


def kept_finder(folder: Path) -> Learnt | None:
    """Reads what `keep_finder` wrote, None if nothing.

    Raises InputError for a damaged description.
    """
    path = folder / FOLDER / FILE
    if not path.is_file():
        return None
    described = read_json(path)
    with foreign(path, "copy the folder again, or predict with --boxes"):
        if described["format"] != FORMAT:
            raise InputError(
                f"{path}: format {described['format']!r:.40}, this version reads {FORMAT}; train again"
            )
        wanted = tuple(described[name] for name in ("image_size", "window", "animals", "points"))
        if not all(type(value) is int and 0 < value < 10_000 for value in wanted):
            raise ValueError(wanted)
        learnt = Learnt(described, load_trained(path.parent))
        finder_of(learnt.described, learnt.trained)  # raises for what is no network of this kind
        return learnt


def open_frames(
    job: Job,
    frames: Sequence[Frame],
    skeleton: Skeleton,
    learnt: Learnt | None = None,
    *,
    root: Path,
    argument: str,
    held_out: tuple[Project, Held] | None = None,
) -> ArraySource:
    """Reads frames without labels once, or crops of the animals that are found on them where a run
    sees crops.

    learnt: the network that finds them; None for that of the run's own labels. argument: names the
    frames. held_out: a project, and the part of it from which nothing may be learnt. Raises
    InputError as `found_animals` does.
    """
    frames, boxes = every_th(frames, job.config.data.own.every), None
    if job.config.data.transform == "around_box":
        learnt = learnt or learnt_finder(job)
        frames, boxes = found_animals(
            job, learnt, frames, root=root, argument=argument, held_out=held_out
        )
    return unlabelled_source(
        frames,
        job.config.data.square(),
        skeleton,
        root=root,
        name=argument,
        boxes=boxes,
        on_bad_frame=job.config.data.own.on_bad_frame,
    )


def found_animals(
    job: Job,
    learnt: Learnt,
    frames: Sequence[Frame],
    *,
    root: Path,
    argument: str,
    held_out: tuple[Project, Held] | None = None,
) -> tuple[list[Frame], list[tuple[float, ...]]]:
    """Finds the animals of frames without labels, or reads those that the same network found on
    them before.

    Returns the frame of each animal, and its box: x, y, width, height. Raises InputError for fewer
    than a batch.
    """
    names = [f"{frame_identity(frame, root)} {frame.path.stat().st_size}" for frame in frames]
    path = (
        job.preset_folder / "stages" / FOLDER / f"found-{digest_of(learnt.digest, *names)[:16]}.npz"
    )
    if jax.process_index() == 0:
        make_folder(path.parent)
    kept = kept_arrays(
        path, lambda: _find_sure(learnt, frames, job.config.data.own, root, argument, held_out)
    )
    count, there, least = len(kept["frame"]), len(np.unique(kept["frame"])), job.config.batch_size
    where = f"{count_text(int(kept['frames']), 'frame')} without labels"
    if there <= NEARLY_NONE * kept["frames"]:
        few = (
            f"animals were found on {there} of {where}"
            if count
            else f"no animal was found on {where}"
        )
        raise InputError(
            argument,
            f"{few}; the finder learns from labelled frames, so label some, or leave them out",
        )
    if count < least:
        raise InputError(
            argument,
            f"{count_text(count, 'animal')} found on {where}, fewer than a batch of {least}; give "
            "more frames, or a smaller --batch-size",
        )
    known = learnt.described.get("held_out")
    if known and known["found"] < KNOWN * known["animals"]:
        print(
            f"{known['found']} of {count_text(known['animals'], 'animal')} on held-out frames are found: crops may "
            "show none: train longer (--steps), or\nlabel more frames, and look at images/found_animals.png"
        )
    print(f"{where}: {count_text(count, 'animal')} found on {there} of them, each is cropped")
    return [frames[number] for number in kept["frame"]], [
        tuple(box) for box in kept["box"].tolist()
    ]


def _find_sure(
    learnt: Learnt,
    frames: Sequence[Frame],
    own: Own,
    root: Path,
    argument: str,
    held_out: tuple[Project, Held] | None,
) -> Mapping[str, np.ndarray]:
    """Finds animals on whole frames: those that are there for sure, and no more than are on every
    labelled frame, where these have equally many."""
    finder = finder_of(learnt.described, learnt.trained)
    never = None
    if held_out:
        project, held = held_out
        whole, _ = whole_frames(project)
        name = f"{project.root.name}, held out"
        never = frames_of(project, whole, held.held_out, own, finder.side, name)
    read = 0
    on: list[int] = []
    boxes: list[list[float]] = []

    def read_piece(numbers: range) -> ArraySource:
        return unlabelled_source(
            frames[numbers.start : numbers.stop],
            Letterbox(finder.side),
            Skeleton(()),
            root=root,
            name=argument,
            on_bad_frame=own.on_bad_frame,
        )

    for first, source in in_pieces(len(frames), finder.side, read_piece, own.on_bad_frame):
        if never is not None:  # whole frames: crops of one by two boxes would differ
            check_disjoint(source, never)
        read += len(source)
        found = finder.on(source.examples.image)
        for row, (crop, number) in enumerate(
            zip(source.examples.crop, source.examples.index, strict=True)
        ):
            there = finder.boxes(found, row, crop, None)[0][: finder.known]
            on += [first + int(number)] * len(there)
            boxes += there.tolist()
    return {
        "frame": np.array(on, np.int64),
        "box": np.array(boxes, np.float64).reshape(-1, 4),
        "frames": np.array(read),
    }


def in_pieces(
    count: int, side: int, read: Callable[[range], ArraySource], on_bad_frame: str
) -> Iterator[tuple[int, ArraySource]]:
    """Yields frames of some side, as many at once as have `MOST_BYTES`, each piece with the number of
    its first frame: those of a long video may not fit into memory together.

    read: of some of `count` frames. Where flags skip frames that cannot be read, a piece without any
    other is left out. Raises InputError as `read` does, also where all pieces would be left out.
    """
    at_once = max(int(MOST_BYTES / (3 * side**2)), 1)
    refused: list[InputError] = []
    firsts = range(0, count, at_once)
    for first in firsts:
        try:
            piece = read(range(first, min(first + at_once, count)))
        except InputError as error:
            refused.append(error)
            if on_bad_frame == "stop" or len(refused) == len(firsts):
                raise
            print(error, file=sys.stderr)
            continue
        yield first, piece
