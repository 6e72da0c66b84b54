"""How near the points of a video lie to labels of some of its frames: one network, several, and both smoothed.

Command   python -m experiments.engine.own.video_errors NAME ENSEMBLE PROJECT VIDEO...

A labelled image of PROJECT, `<video's name>/img0431.png`, is frame 431 of that video, which its pixels must confirm.
ENSEMBLE is the folder of a variant with its seeds. Each seed alone is a single network; the ensemble is the median of
all; smoothing is that of `kpjax smooth` with its defaults. A jump is a step from one frame to the next that is longer
than the ensemble's radius of the point it leads to. Differences are from the mean of the single networks, with an
interval from draws of the labelled frames. Numbers go to `results.csv` of this room under `video_errors` and NAME.
"""
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from tyro.conf import Positional

from experiments.commands import Smooth
from experiments.commands.evaluate import in_keypoints_of
from experiments.commands.predict.pipeline import predicted
from experiments.commands.smooth import smoothed
from experiments.engine.configs import Checked, Count, CountOrZero, settings_text
from experiments.engine.ensembles import seeds_below
from experiments.engine.parsing import exit_code_of, parse
from experiments.engine.predictors import Predictor, open_predictor
from experiments.engine.results import Result, merged, read_results, write_results
from kpjax import InputError
from kpjax.annotations.project import Project
from kpjax.annotations.reading import read_project
from kpjax.files import read_json
from kpjax.images.inputs import ImageSequence, find_inputs
from kpjax.images.reading import read_image

ROOM = Path(__file__).parent
PRESET = "video_errors"
LEVEL = 0.9  # of the radii that jumps are compared with
ALIKE = 10.0  # grey levels, the mean difference up to which an image is a frame of the video
SINGLE, ENSEMBLE = "single", "ensemble"
SMOOTHED = "_smoothed"


@dataclass(frozen=True)
class Asked(Checked):
    """Measures an ensemble, its members and smoothing on videos with labels at some frames."""

    name: Annotated[Positional[str], None]  # under which results.csv has the numbers
    ensemble: Annotated[Positional[Path], None]
    project: Annotated[Positional[Path], None]
    videos: Annotated[Positional[tuple[Path, ...]], None]
    draws: Count = 10_000  # of labelled frames
    seed: CountOrZero = 0  # draws the frames
    batch_size: Count = 32
    room: Path = ROOM  # folder of results.csv


class Labels(NamedTuple):
    """Labels of N frames of one video."""

    numbers: np.ndarray  # (N,) of the frames
    keypoints: np.ndarray  # (N, K, 2) px of the frame
    visible: np.ndarray  # (N, K) bool
    images: tuple[Path, ...]  # (N,)


class Found(NamedTuple):
    """What networks say of the T frames of one video, and its labels."""

    members: np.ndarray  # (M, T, K, 2) px of the frame
    radii: np.ndarray  # (T, K) px of the frame, of the members' median
    labels: Labels


def labels_of(project: Project, stem: str) -> Labels:
    """Returns the labels of one video. Raises InputError if the project has none of it."""
    found = []
    for one in project.instances:
        frame = project.frames[one.frame]
        number = re.search(r"(\d+)$", frame.path.stem)
        if frame.path.parent.name == stem and number:
            found.append((int(number[1]), one.keypoints, one.visible > 0, frame.path))
    if not found:
        raise InputError("project", f"{project.root} has no labelled image {stem}/<letters and a frame's number>; give "
                         "the project with labels of this video")
    numbers, keypoints, visible, images = zip(*sorted(found, key=lambda one: one[0]), strict=True)
    return Labels(np.array(numbers), np.nan_to_num(np.stack(keypoints)), np.stack(visible), images)


def look(predictor: Predictor, sequence: ImageSequence, labels: Labels, batch_size: int) -> Found:
    """Predicts a video with all networks. Raises InputError for a label of another image than its frame."""
    if labels.numbers[-1] >= len(sequence):
        raise InputError("project", f"{labels.images[-1]} is of frame {labels.numbers[-1]}, {sequence.path} has "
                         f"{len(sequence)}; name the video that was labelled")
    members, radii = [], []
    images = dict(zip(labels.numbers.tolist(), labels.images, strict=True))
    with closing(predicted(predictor, sequence, batch_size=batch_size, shown=tuple(images), level=LEVEL)) as frames:
        for seen in frames:
            if seen.fault is not None:
                raise seen.fault
            if seen.row in images:
                _check_alike(seen.image, images[seen.row], sequence, seen.row)
            members.append(seen.members[0])
            radii.append(seen.radii[0])
    return Found(np.stack(members, 1), np.stack(radii), labels)


def _check_alike(frame: np.ndarray, path: Path, sequence: ImageSequence, number: int) -> None:
    image = read_image(path)
    if image.shape != frame.shape or np.abs(image.astype(float) - frame).mean() > ALIKE:
        raise InputError("project", f"{path} does not show frame {number} of {sequence.path}; name the video that was "
                         "labelled, its images by the numbers of its frames, from 0")


def ways(members: np.ndarray) -> Mapping[str, list[np.ndarray]]:
    """Returns the points (T, K, 2) of a video by way: of each network alone, or of all."""
    asked = Smooth(points=())
    return {SINGLE: list(members), SINGLE + SMOOTHED: [smoothed(one[None], asked)[0] for one in members],
            ENSEMBLE: [np.median(members, 0)], ENSEMBLE + SMOOTHED: [smoothed(members, asked)[0]]}


def distances(points: np.ndarray, labels: Labels) -> np.ndarray:
    """Computes distances to the labels (N, K), nan where there is none."""
    return np.where(labels.visible, np.linalg.norm(points[labels.numbers] - labels.keypoints, axis=-1), np.nan)


def jumps(points: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Tells which steps (T - 1, K) are longer than the radius of the point they lead to."""
    return np.linalg.norm(np.diff(points, axis=0), axis=-1) > radii[1:]


def numbers(found: Sequence[Found], draws: int, seed: int) -> Iterator[Result]:
    """Yields the measures of all videos together, by way and network, then differences from single networks."""
    by_video = [ways(one.members) for one in found]
    errors = {way: np.stack([np.concatenate([distances(video[way][number], one.labels)
                                             for one, video in zip(found, by_video, strict=True)])
                             for number in range(len(by_video[0][way]))]) for way in by_video[0]}  # (networks, N, K)
    for way, of_networks in errors.items():
        for number, error in enumerate(of_networks):
            jumped = [jumps(video[way][number], one.radii) for one, video in zip(found, by_video, strict=True)]
            within = np.concatenate([distances(video[way][number], one.labels) <= one.radii[one.labels.numbers]
                                     for one, video in zip(found, by_video, strict=True)])
            for metric, value in (("error", np.nanmean(error)), ("median_error", np.nanmedian(error)),
                                  ("ninth_tenth", np.nanquantile(error, 0.9)),
                                  ("within_radius", within[np.isfinite(error)].mean()),
                                  ("jumps", 1000 * np.concatenate([one.ravel() for one in jumped]).mean())):
                yield Result(PRESET, "", way, str(number), metric, float(value))
    drawn = np.random.default_rng(seed).integers(len(errors[SINGLE][0]), size=(draws, len(errors[SINGLE][0])))
    for way in errors:
        if way != SINGLE:
            low, high = np.quantile([_less(errors, way, frames) for frames in drawn], (0.025, 0.975))
            yield Result(PRESET, "", f"{way} - {SINGLE}", "mean", "error", _less(errors, way, slice(None)),
                         low=float(low), high=float(high))


def _less(errors: Mapping[str, np.ndarray], way: str, frames: np.ndarray | slice) -> float:
    return float(np.nanmean(errors[way][:, frames]) - np.nanmean(errors[SINGLE][:, frames]))


def measure(asked: Asked) -> list[Result]:
    """Measures and returns the numbers. Raises InputError for a run that is no ensemble or has no radii."""
    predictor = open_predictor(asked.ensemble)
    if predictor.with_members is None:
        raise InputError("ensemble", f"{asked.ensemble} is one network; give a variant's folder with several seeds")
    if predictor.radii is None:
        raise InputError("ensemble", f"{asked.ensemble} has no radii; train with labels held out")
    project = in_keypoints_of(predictor.skeleton, read_project(asked.project), print)
    found = [look(predictor, sequence, labels_of(project, sequence.stem), asked.batch_size)
             for sequence in find_inputs(asked.videos)]
    commit = read_json(seeds_below(asked.ensemble)[0] / "results.json").get("commit") or "unknown"
    return [one._replace(settings=settings_text({"project": asked.name}), date=datetime.now(UTC).date().isoformat(),
                         commit=commit) for one in numbers(found, asked.draws, asked.seed)]


def main(arguments: Sequence[str]) -> None:
    """Runs `python -m experiments.engine.own.video_errors`."""
    asked = parse(Asked, arguments, prog="python -m experiments.engine.own.video_errors")
    found = measure(asked)
    write_results(asked.room, merged(read_results(asked.room), found))
    for one in found:
        print(f"{one.variant:30} {one.seed:5} {one.metric:14} {one.value:8.3f}"
              + ("" if one.low is None else f" [{one.low:.3f}, {one.high:.3f}]"))


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
