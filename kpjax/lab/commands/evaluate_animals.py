"""Several animals in a frame: how a run does that finds them by itself, beside crops from the labels' own boxes."""
from collections.abc import Callable

import numpy as np

from kpjax.images.transforms import Letterbox
from kpjax.lab.animals.conformal import radii
from kpjax.lab.animals.matching import AnimalsOverTime, animals_over_time, match_by_centre
from kpjax.lab.animals.tracking import Doubt, merged
from kpjax.lab.commands.predict.pipeline import Seen
from kpjax.lab.commands.predict.tracked import tracked
from kpjax.lab.formats.project import Project, instance_of
from kpjax.lab.formats.project_source import box_of, project_source
from kpjax.lab.formats.several_animals import whole_frames
from kpjax.lab.out.reports.pixel_errors import Animals, counted
from kpjax.lab.predictors import Predictor

LEVEL = 0.9  # of the radii by which tracks are told apart
LEAST_FRAMES = 10  # of a video, from which on tracks are counted


def located(project: Project, predictor: Predictor, *, on_bad_frame: str = "stop"
            ) -> tuple[Project, np.ndarray, str]:
    """Finds the animals of all labelled frames, and matches them to the labelled ones by their centres.

    Their number is that of the labelled frames that the run has learnt from, if it was the same on all. Returns the
    project with an instance for each box that was found, those of no animal without a label, and (N,) int, the number
    of the labelled instance that each is, -1 if it is none; and words about how many there are.
    """
    finder = predictor.finder
    whole, _ = whole_frames(project)
    source = project_source(whole, Letterbox(finder.side), on_bad_frame=on_bad_frame)
    known = finder.most if finder.always else None
    of_frame: dict[int, list[int]] = {}
    for number, one in enumerate(project.instances):
        of_frame.setdefault(one.frame, []).append(number)
    instances, of, twice, others, animals = [], [], 0, 0, 0
    empty = np.full((len(project.skeleton.names), 2), np.nan)
    seen = finder.on(source.examples.image)
    for row, (crop, whose) in enumerate(zip(source.examples.crop, source.examples.index, strict=True)):
        frame = whole.instances[int(whose)].frame
        numbers = [number for number in of_frame[frame] if box_of(project.instances[number]) is not None]
        true = np.array([box_of(project.instances[number]) for number in numbers]).reshape(-1, 4)
        boxes, _ = finder.boxes(seen, row, crop, known)
        matched = match_by_centre(true[:, :2] + true[:, 2:] / 2, true[:, 2:].max(1, initial=0),
                                  boxes[:, :2] + boxes[:, 2:] / 2)
        animals += len(numbers)
        twice, others = twice + (matched.twice > 0), others + matched.others
        animal_of = {int(box): numbers[animal] for animal, box in enumerate(matched.predicted) if box >= 0}
        for number, box in enumerate(boxes):
            of.append(animal_of.get(number, -1))
            instances.append(project.instances[of[-1]]._replace(box=box) if of[-1] >= 0 else
                             instance_of(frame, empty, box=box))
    there = sum(number >= 0 for number in of)
    said = (f"{there:,} of {counted(animals, 'animal')} ({100 * there / max(animals, 1):.1f} %), twice on {twice} of "
            f"them,\nand {counted(others, 'place')} where none is labelled" if of else "no animal")
    said = f"found by the run itself on {counted(len(source), 'frame')}: {said}"
    return project._replace(instances=tuple(instances)), np.array(of, int), said


def over_time(project: Project, found: Project, points: np.ndarray, scores: np.ndarray, reach: np.ndarray,
              animals: int | None) -> tuple[AnimalsOverTime, list[Doubt]] | None:
    """Follows the animals of the longest labelled video and counts swaps; None where labels have no tracks there.

    points, scores, reach: (N, K, 2), (N, K) and (N, K) px of the instances in `found`; radii that are not finite are
    unknown.
    """
    tracks = sorted({one.track for one in project.instances if one.track})
    videos: dict[str, list[int]] = {}
    for number, frame in enumerate(project.frames):
        if frame.number is not None:
            videos.setdefault(str(frame.path), []).append(number)
    longest = max(videos.values(), key=len, default=[])
    if len(tracks) < 2 or len(longest) < LEAST_FRAMES:
        return None
    order = sorted(longest, key=lambda number: project.frames[number].number)
    row_of = {number: row for row, number in enumerate(order)}
    true = np.full((len(order), len(tracks), len(project.skeleton.names), 2), np.nan)
    for one in project.instances:
        if one.track and one.frame in row_of:
            true[row_of[one.frame], tracks.index(one.track)] = np.where(one.visible[:, None] > 0, one.keypoints, np.nan)
    on = [[] for _ in order]
    for number, one in enumerate(found.instances):
        if one.frame in row_of:
            on[row_of[one.frame]].append(number)
    boxes, doubts = np.array([one.box for one in found.instances]), []
    seen = (Seen(project.frames[frame].number, project.frames[frame].size, points[here], scores[here],
                 np.ones(len(here), bool), None, None, np.where(np.isfinite(reach[here]), reach[here], np.nan),
                 boxes[here]) for frame, here in zip(order, on, strict=True))
    placed = [one.keypoints for one in tracked(seen, doubts, animals=animals)]
    slots = np.full((len(order), max(1, *map(len, placed)), *points.shape[1:]), np.nan)
    for row, keypoints in enumerate(placed):
        slots[row, :len(keypoints)] = keypoints
    return animals_over_time(true, slots), merged(doubts)


def evaluate_animals(project: Project, predictor: Predictor, theirs: Animals, near: float,
                     predict: Callable[[Project], tuple[Animals, np.ndarray]], lengths: np.ndarray,
                     *, on_bad_frame: str = "stop") -> None:
    """Prints what becomes of the labelled animals where a run finds them by itself.

    theirs: the predictions in the labels' own boxes. predict: a project -> predictions in the boxes of its instances,
    and how much larger pixels of its frames are. lengths: (I,) px, of the project's instances, for PCK.
    """
    found, of, said = located(project, predictor, on_bad_frame=on_bad_frame)
    if not len(of):
        print(said)
        return
    all_found, growth = predict(found)
    labelled = np.flatnonzero(of >= 0)
    ours = all_found.only(labelled)._replace(lengths=lengths[of[labelled]])
    within = [int((animals.distances < near * animals.lengths[:, None]).sum()) for animals in (ours, theirs)]
    here, there = (100 * count / max(int((theirs.visible > 0).sum()), 1) for count in within)
    print(f"{said}; PCK {here:.1f} % in its own boxes (what is not found is missed), {there:.1f} % in those of the "
          "labels")
    reach = np.full(all_found.scores.shape, np.nan) if predictor.radii is None else (
        radii(predictor.radii, all_found.scores, level=LEVEL) * growth[:, None])
    known = predictor.finder.most if predictor.finder.always else None
    followed = over_time(project, found, all_found.predicted, all_found.scores, reach, known)
    if followed is not None:
        counts, doubts = followed
        print(f"followed over {counted(counts.frames, 'frame')} of a video: {counted(counts.swaps, 'swap')}, "
              f"{counted(counts.fragments, 'fragment')}, {counted(len(doubts), 'moment')} of doubt")
