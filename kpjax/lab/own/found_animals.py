"""Animals on frames without labels: found once, kept in the folder of the runs, and cropped as labelled ones are."""
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import jax
import numpy as np

from kpjax import InputError, Skeleton
from kpjax.files import make_folder
from kpjax.images.transforms import Letterbox, Transform
from kpjax.input.source import ArraySource, check_disjoint, digest_of
from kpjax.lab.formats.project import Frame, Project
from kpjax.lab.formats.project_source import decoded, frame_identity, unlabelled_source
from kpjax.lab.formats.several_animals import whole_frames
from kpjax.lab.out.reports.pixel_errors import counted
from kpjax.lab.own.animals import FOLDER, FOUND, Learnt, finder_of, found_on, frames_of
from kpjax.lab.own.project import Held, Own
from kpjax.systems.system import Job, kept_arrays

NEARLY_NONE = 0.05  # of the frames have an animal, below which they look like none that the finder knows
KNOWN = 0.5  # of the animals on held-out frames are found, below which crops are of little use


class Reading(Protocol):
    """How images are read."""

    on_bad_frame: str


class FoundAnimals(NamedTuple):
    """Animals on frames without labels, one after the other."""

    frames: tuple[Frame, ...]  # N: that of each animal
    boxes: tuple[tuple[float, ...], ...]  # N: x, y, width, height


def held_out_frames(learnt: Learnt, project: Project, held: Held, own: Own) -> ArraySource:
    """Reads the held-out frames of a project as the finder sees them."""
    return frames_of(project, whole_frames(project)[0], held.held_out, own, learnt.described["image_size"],
                     f"{project.root.name}, held out")


def found_animals(job: Job, learnt: Learnt, frames: Sequence[Frame], *, own: Reading, root: Path, argument: str,
                  least: int, held_out: Callable[[], ArraySource] | None = None) -> FoundAnimals:
    """Finds the animals of frames without labels, or reads those that the same network found on them before.

    argument: names the frames. least: animals that are needed, a batch. held_out: reads whole frames from which nothing
    may be learnt. Raises InputError for fewer animals, where nearly no frame has one, and for held-out frames.
    """
    names = [frame_identity(frame, root) for frame in frames]
    path = job.preset_folder / "stages" / FOLDER / f"found-{digest_of(learnt.digest, *names)[:16]}.npz"
    if jax.process_index() == 0:
        make_folder(path.parent)
    kept = kept_arrays(path, lambda: _found(learnt, frames, own, root, argument, held_out))
    count, there = len(kept["frame"]), len(np.unique(kept["frame"]))
    where = f"{counted(int(kept['frames']), 'frame')} without labels"
    if there <= NEARLY_NONE * kept["frames"]:
        few = f"animals were found on {there} of {where}" if count else f"no animal was found on {where}"
        raise InputError(argument, f"{few}; the finder learns from labelled frames, so label some like these, or leave "
                         "them out")
    if count < least:
        raise InputError(argument, f"{counted(count, 'animal')} found on {where}, fewer than a batch of {least}; give "
                         "more frames, or a smaller --batch-size")
    known = learnt.described.get("held_out")
    if known and known["found"] < KNOWN * known["animals"]:
        print(f"of {counted(known['animals'], 'animal')} on held-out frames {known['found']} are found, so crops may "
              "show none: train longer (--steps), or\nlabel more frames, and look at images/found_animals.png")
    print(f"{where}: {counted(count, 'animal')} found on {there} of them, each is cropped")
    return FoundAnimals(tuple(frames[number] for number in kept["frame"]),
                        tuple(tuple(box) for box in kept["box"].tolist()))


def _found(learnt: Learnt, frames: Sequence[Frame], own: Reading, root: Path, argument: str,
           held_out: Callable[[], ArraySource] | None) -> Mapping[str, np.ndarray]:
    """Finds animals on whole frames: those that are there for sure, and no more than are on every labelled frame, where
    these have equally many."""
    finder = finder_of(learnt.described, learnt.trained)
    source = decoded(unlabelled_source(frames, Letterbox(finder.side), Skeleton(()), root=root, name=argument),
                     on_bad_frame=own.on_bad_frame)
    if held_out:
        check_disjoint(source, held_out())  # crops of one frame by two boxes would differ
    on, boxes = [], []
    for place, one, found, row in found_on(finder, source):
        sure = int((found.scores[row] >= FOUND).sum())
        there, _ = finder.boxes(found, row, one.crop, min(sure, finder.most) if finder.always else sure)
        on += [int(source.examples.index[place])] * len(there)
        boxes += there.tolist()
    return {"frame": np.array(on, np.int64), "box": np.array(boxes, np.float64).reshape(-1, 4),
            "frames": np.array(len(source))}


def open_found(own: Reading, transform: Transform, found: FoundAnimals, skeleton: Skeleton, *, root: Path,
               name: str = "without labels") -> ArraySource:
    """Reads crops of animals that were found, once."""
    return decoded(unlabelled_source(found.frames, transform, skeleton, boxes=found.boxes, root=root, name=name),
                   on_bad_frame=own.on_bad_frame)
