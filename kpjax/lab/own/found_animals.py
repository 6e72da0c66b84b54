"""Animals on frames without labels: found once, kept in the folder of the runs, and cropped as labelled ones are."""
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from kpjax import InputError, Skeleton
from kpjax.files import make_folder
from kpjax.images.transforms import Letterbox
from kpjax.input.source import ArraySource, check_disjoint, digest_of
from kpjax.lab.formats.project import Frame, Project
from kpjax.lab.formats.project_source import decoded, frame_identity, unlabelled_source
from kpjax.lab.formats.several_animals import whole_frames
from kpjax.lab.out.reports.pixel_errors import counted
from kpjax.lab.own.animals import FOLDER, FOUND, Learnt, finder_of, found_on, frames_of
from kpjax.lab.own.project import Held, Own, open_unlabelled
from kpjax.systems.system import Job, kept_arrays

NEARLY_NONE = 0.05  # of the frames have an animal, below which they look like none that the finder knows
KNOWN = 0.5  # of the animals on held-out frames are found, below which crops are of little use


class FoundAnimals(NamedTuple):
    """Animals on frames without labels, one after the other."""

    frames: tuple[Frame, ...]  # N: that of each animal
    boxes: tuple[tuple[float, ...], ...]  # N: x, y, width, height


def open_frames(job: Job, frames: Sequence[Frame], skeleton: Skeleton, learnt: Callable[[], Learnt], *, root: Path,
                argument: str, name: str, held_out: tuple[Project, Held] | None = None) -> ArraySource:
    """Reads frames without labels once, or crops of the animals that are found on them where a run sees crops.

    learnt: returns the network that finds them. argument: names the frames. held_out: a project, and the part of it
    from which nothing may be learnt. Raises InputError as `found_animals` does.
    """
    own, square = job.config.own, job.config.data.square()
    if job.config.data.transform == "letterbox":
        return open_unlabelled(own, square, frames, skeleton, root=root, name=name)
    finder = learnt()
    frames = [frame for frame in frames if not (frame.number or 0) % max(own.every, 1)]
    found = found_animals(job, finder, frames, own=own, root=root, argument=argument, least=job.config.batch_size,
                          held_out=held_out and (lambda: frames_of(
                              held_out[0], whole_frames(held_out[0])[0], held_out[1].held_out, own,
                              finder.described["image_size"], f"{held_out[0].root.name}, held out")))
    return open_unlabelled(own, square, found.frames, skeleton, root=root, name=name, boxes=found.boxes)


def found_animals(job: Job, learnt: Learnt, frames: Sequence[Frame], *, own: Own, root: Path, argument: str,
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


def _found(learnt: Learnt, frames: Sequence[Frame], own: Own, root: Path, argument: str,
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
