"""The command `evaluate`: errors of a finished run on any labelled project, and a sheet of its worst animals."""
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.commands import Evaluate
from experiments.engine.configs import stored_fields
from experiments.engine.own.project import renamed_to
from experiments.engine.predictors import Predictor, open_predictor
from kpjax import InputError, Skeleton
from kpjax.annotations.project import Frame, Project
from kpjax.annotations.project_source import box_of, decoded, project_source, reference_lengths
from kpjax.annotations.reading import read_project
from kpjax.annotations.tables import rows_text
from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.errors import summarise
from kpjax.evaluation import metrics
from kpjax.files import read_json, write_text
from kpjax.geometry import move_points
from kpjax.images.transforms import needs_box
from kpjax.structures import Example

ERRORS, WORST = "errors.csv", "worst.png"


class Measured(NamedTuple):
    """Predictions on N labelled animals of a project; coordinates are in pixels of the frames."""

    frames: list[Frame]
    tracks: list[str]
    lengths: np.ndarray  # (N,) the diagonal of the box, else of the labelled points
    true: np.ndarray  # (N, K, 2)
    visible: np.ndarray  # (N, K)
    predicted: np.ndarray  # (N, K, 2)
    scores: np.ndarray  # (N, K)
    seen: Example  # as the network sees them
    seen_points: np.ndarray  # (N, K, 2) predictions in pixels of these images

    @property
    def distances(self) -> np.ndarray:
        """(N, K) px, nan where nothing is labelled."""
        found = np.linalg.norm(self.predicted - self.true, axis=-1)
        return np.where(self.visible > 0, found, np.nan)


def evaluate(asked: Evaluate, *, tell: Callable[[str], None] = print) -> Path:
    """Writes errors.csv and worst.png, and returns the path of the first.

    Raises InputError for a run or a project that cannot be opened, that have no keypoint in common, and for output that
    is there already.
    """
    for name in ("batch_size", "worst"):
        if getattr(asked, name) < 1:
            raise InputError(name, f"{getattr(asked, name)}; must be at least 1")
    if not asked.threshold > 0:
        raise InputError("threshold", f"{asked.threshold:g}; give a share above 0, such as 0.1")
    if (asked.out / ERRORS).exists() and not asked.overwrite:
        raise InputError("out", f"{asked.out / ERRORS} exists already; give --overwrite or another folder")
    predictor = open_predictor(asked.run)
    project = read_project(asked.project, category=asked.category, video_root=asked.video_root,
                           pixels_from=asked.pixels_from, rescale_labels=asked.rescale_labels)
    if learnt_from(asked.run, asked.project):
        tell("the run has learnt from frames of this project; its results.json has the errors of those held out")
    measured = measure(in_keypoints_of(predictor.skeleton, project, tell), predictor, asked, tell)
    for line in summary(measured, predictor.skeleton, asked.threshold):
        tell(line)
    write_text(asked.out / ERRORS, rows_text(rows(measured, predictor.skeleton)))
    write_png(asked.out / WORST, worst_sheet(measured, predictor.skeleton, asked.worst))
    tell(f"{asked.out / ERRORS}, {asked.out / WORST}")
    return asked.out / ERRORS


def learnt_from(run: str, project: Path) -> bool:
    """Returns whether a run's config names the project among what it learns from."""
    path = Path(run, "config.json")
    fields = stored_fields(read_json(path)["config"]) if path.is_file() else {}
    named = [fields[name] for name in ("project", "source") if isinstance(fields.get(name), str) and fields[name]]
    return project.resolve() in [Path(name).expanduser().resolve() for name in named]


def in_keypoints_of(skeleton: Skeleton, project: Project, tell: Callable[[str], None]) -> Project:
    """Returns a project with a run's keypoints, matched by name; what it does not label is not visible.

    Boxes become those of all labelled points, so that they stay. Animals without a common keypoint are left out.
    """
    names = project.skeleton.names
    if not set(names) & set(skeleton.names):
        raise InputError("project", f"{project.root} labels {summarise(list(names))}, the run finds "
                         f"{summarise(list(skeleton.names))}; none is the same, so name them alike")
    for words, rest in (("not labelled", [name for name in skeleton.names if name not in names]),
                        ("not known to the run", [name for name in names if name not in skeleton.names])):
        if rest:
            tell(f"{words}, and not measured: {summarise(rest)}")
    boxes = [np.full(4, np.nan) if (box := box_of(one)) is None else box for one in project.instances]
    renamed = renamed_to(project, skeleton)
    return renamed._replace(instances=tuple(
        one._replace(box=box) for one, box in zip(renamed.instances, boxes, strict=True) if one.visible.any()))


def measure(project: Project, predictor: Predictor, asked: Evaluate, tell: Callable[[str], None]) -> Measured:
    """Predicts all labelled animals of a project.

    Animals are cropped by their boxes where the run needs that, or where a frame has several; whole frames are seen
    otherwise.
    """
    frames_of = [one.frame for one in project.instances]
    cropped = needs_box(predictor.transform) or len(set(frames_of)) < len(frames_of)
    numbers = [number for number, one in enumerate(project.instances) if not cropped or np.isfinite(one.box).all()]
    if len(numbers) < len(frames_of):
        tell(f"left out {len(frames_of) - len(numbers)} animals with neither a box nor two labelled keypoints")

    def transform(image, keypoints, visible, scale, box=None):
        return predictor.transform(image, keypoints, visible, scale, box if cropped else None)

    source = decoded(project_source(project, transform, instances=numbers), on_bad_frame=asked.on_bad_frame)
    seen = source.examples
    instances = [project.instances[numbers[number]] for number in seen.index]
    found = [predict_batch(predictor, seen.image[first:first + asked.batch_size], asked.batch_size)
             for first in range(0, len(source), asked.batch_size)]
    points, scores = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    visible = np.stack([one.visible for one in instances])
    true = np.stack([np.where(one.visible[:, None] > 0, one.keypoints, 0.0) for one in instances])
    return Measured([project.frames[one.frame] for one in instances], [one.track for one in instances],
                    reference_lengths(project)[numbers][seen.index], true, visible,
                    np.asarray(move_points(seen.crop, points), np.float64), scores, seen, points)


def predict_batch(predictor: Predictor, images: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicts up to `size` images; the first is repeated to fill the last batch, so that one program is compiled."""
    filled = np.concatenate([images, np.repeat(images[:1], size - len(images), 0)])
    keypoints, scores = predictor.predict(filled)
    return keypoints[:len(images)], scores[:len(images)]


def summary(measured: Measured, skeleton: Skeleton, threshold: float) -> list[str]:
    """Returns a table: a line for every measured keypoint, and one for all."""
    distances = measured.distances
    hits = metrics.pck(measured.predicted, measured.true, measured.visible, measured.lengths, threshold=threshold)
    width = max(map(len, ("all keypoints", *skeleton.names)))
    lines = [f"{len(measured.frames)} animals on {len(set(measured.frames))} frames; PCK: nearer than "
             f"{100 * threshold:g} % of the animal's diagonal (its box, else its labelled points)",
             f"{'keypoint':{width}}  labelled  median px   mean px     PCK %"]
    for number, name in enumerate(skeleton.names):
        if hits.count[number]:
            of_keypoint = distances[:, number]
            lines.append(f"{name:{width}}  {hits.count[number]:8d}  {np.nanmedian(of_keypoint):9.2f}  "
                         f"{np.nanmean(of_keypoint):8.2f}  {100 * hits.per_keypoint[number]:8.1f}")
    return [*lines, f"{'all keypoints':{width}}  {hits.count.sum():8d}  {np.nanmedian(distances):9.2f}  "
                    f"{np.nanmean(distances):8.2f}  {100 * hits.pooled:8.1f}"]


def rows(measured: Measured, skeleton: Skeleton) -> list[list[object]]:
    """Returns a header, and a row for every labelled keypoint of every animal."""
    found: list[list[object]] = [["image", "video", "frame", "instance", "keypoint", "x", "y", "true_x", "true_y",
                                  "error", "score"]]
    for n, k in np.argwhere(measured.visible > 0).tolist():
        frame = measured.frames[n]
        where = [frame.path, "", ""] if frame.number is None else ["", frame.path, frame.number]
        cells = (*measured.predicted[n, k], *measured.true[n, k], measured.distances[n, k], measured.scores[n, k])
        found.append([*where, measured.tracks[n], skeleton.names[k], *(f"{cell:.6g}" for cell in cells)])
    return found


def worst_sheet(measured: Measured, skeleton: Skeleton, count: int) -> np.ndarray:
    """Draws the animals with the largest mean error over their diagonal, the worst first; rings are the labels."""
    means = np.nanmean(measured.distances, axis=1)
    worst = np.argsort(-means / measured.lengths, kind="stable")[:count]
    captions = [f"{means[n]:.1f} px: {measured.frames[n].name} {measured.tracks[n]}".strip() for n in worst]
    return prediction_sheet(
        measured.seen.image[worst], measured.seen_points[worst], measured.scores[worst], skeleton,
        true=measured.seen.keypoints[worst], visible=measured.seen.visible[worst], captions=captions)
