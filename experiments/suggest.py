"""`python -m experiments suggest RUN IN... --out D`: the frames of pictures and videos that are worth a label next.

RUN is a finished run or an exported predictor, IN pictures, videos and folders of them. Written are suggestions.csv (a
row for each chosen frame: what the criteria say of it and why it was taken), all_frames.csv (the same values of every
frame that was looked at), suggestions.png, and the frames as a project for the tool that the labels came from, with
predictions as proposals that cannot be taken for labels.

Values are in usual diagonals of what is shown: `equivariance` is the error under turning and scaling, `jump` the
longest way of a point since the frame before, `disagreement` that of two runs, `unusual_pose` the distance from what
labelled poses have in common, `fitting` the distance from what a model of the path foresaw, `score` the mean score.
"""
import argparse
import csv
import io
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.predictors import Predictor, open_predictor
from kpjax.annotations.project import Frame
from kpjax.annotations.project_source import frames_at, read_frame
from kpjax.drawing.overlays import contact_sheet, draw_keypoints, opacity_of_scores, write_png
from kpjax.errors import InputError, summarise
from kpjax.files import write_text
from kpjax.structures import Skeleton
from kpjax.suggest import criteria
from kpjax.suggest.labelled_statistics import NOTHING, Known, diagonals, has_label, known_from
from kpjax.suggest.proposals import FORMAT_OF_PROJECT, FORMATS, Proposal, write_proposals
from kpjax.suggest.score_frames import Looked, Network, look
from kpjax.suggest.selection import APART, WIDENING, choose

DIVERSITY = "diversity"
CRITERIA = ("score", "equivariance", "jump", "disagreement", "unusual_pose", "fitting")
DEFAULT = DIVERSITY  # no criterion may take its place that does not beat it, and chance, in `labelling_protocol`
LOOKED_AT = 1000  # frames of videos, unless --every says how many


def networks(folder: Path, second: Path | None) -> tuple[Predictor, Network, list[Network]]:
    """(the run's predictor, the same as a network, the second run as a network with keypoints in the first's order).

    Raises InputError if the two find different keypoints.
    """
    first = open_predictor(folder)
    network = Network(first.predict, first.place)
    if second is None:
        return first, network, []
    other = open_predictor(second)
    if set(other.skeleton.names) != set(first.skeleton.names):
        raise InputError(f"--second: {second} finds {', '.join(other.skeleton.names)}, {folder} "
                         f"{', '.join(first.skeleton.names)}; give two runs that learnt the same keypoints")
    order = [other.skeleton.names.index(name) for name in first.skeleton.names]

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keypoints, scores = other.predict(images)
        return keypoints[:, order], scores[:, order]

    return first, network, [Network(predict, other.place)]


def steps_between(frames: Sequence[Frame], every: int | None, tell: Callable[[str], None]) -> int:
    """Of how many frames of a video one is looked at: what is asked for, else so many that about 1,000 are in all."""
    if every is not None:
        if every < 1:
            raise InputError(f"--every: {every}; give 1 or more")
        return every
    count = sum(frame.number is not None for frame in frames)
    chosen = max(1, math.ceil(count / LOOKED_AT))
    if chosen > 1:
        tell(f"every {chosen}th of {count} frames of videos is looked at, which are about {LOOKED_AT}; --every 1 "
             "looks at all")
    return chosen


def values_of(looked: Looked, known: Known) -> dict[str, np.ndarray]:
    """What each criterion says of the N frames, (N,) float64, the higher the more; nan where it has nothing to say."""
    found = diagonals(looked.keypoints, np.ones(looked.scores.shape))
    usual = known.diagonal if np.isfinite(known.diagonal) else float(np.nanmedian(found))
    diagonal = usual if np.isfinite(usual) and usual > 0 else float(looked.sizes.max())
    silent = np.full(len(looked.frames), np.nan)
    compared = np.concatenate([looked.keypoints[None], looked.others])
    return {
        "score": criteria.low_score(looked.scores), "equivariance": looked.turned / diagonal,
        "jump": criteria.jump(looked.keypoints, looked.before, diagonal),
        "disagreement": criteria.disagreement(compared, diagonal) if len(looked.others) else silent,
        "unusual_pose": criteria.unusual_pose(looked.keypoints, known.poses, diagonal) if known.poses else silent,
        "fitting": looked.surprise / diagonal}


def check_criterion(by: str, values: np.ndarray | None) -> None:
    """Raises InputError for a criterion that has nothing to say of any frame, with what it would need."""
    if values is None or np.isfinite(values).any():
        return
    needs = {"jump": "frames that follow one another: give it videos",
             "disagreement": "a second run: give --second RUN",
             "unusual_pose": "labelled poses with every keypoint of the run: give --labelled PROJECT",
             "fitting": "whole videos of at least 40 frames: give it videos, with --every 1"}
    raise InputError(f"--by: {by} needs {needs.get(by, 'points within the pictures')}")


def reason(by: str, number: int, rank: int, values: np.ndarray | None, diverse: bool) -> str:
    """Why a frame was taken, in words."""
    if values is None:
        return "looks least like all that are labelled or taken"
    order = int((values > values[number]).sum()) + 1
    said = f"{by} ranks it {order} of {int(np.isfinite(values).sum())}"
    return f"{said}; looks least like those taken" if diverse and rank > 1 else said


def shown(name: str, values: np.ndarray) -> np.ndarray:
    """A criterion's values as tables print them: the mean score itself rather than its negative."""
    return -values if name == "score" else values


def table(frames: Sequence[Frame], numbers: Sequence[int], values, more: Sequence[Sequence[str]] = (),
          titles: Sequence[str] = ()) -> str:
    """A csv of frames; more: cells of further columns `titles`, for each frame."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "video", "frame", *CRITERIA, *titles])
    for place, number in enumerate(numbers):
        frame = frames[number]
        where = [frame.path, "", ""] if frame.number is None else ["", frame.path, frame.number]
        cells = [shown(name, values[name])[number] for name in CRITERIA]
        writer.writerow([*where, *("" if np.isnan(cell) else f"{cell:.6g}" for cell in cells),
                         *(more[place] if len(more) else ())])
    return text.getvalue()


def proposals_of(looked: Looked, chosen: Sequence[int], frames: Sequence[Frame]) -> list[Proposal]:
    """The chosen frames with their pictures, which are read again. Names of pictures are unique in their folder."""
    digits = {path: len(str(max(frame.number for frame in frames if frame.path == path)))
              for path in {looked.frames[number].path for number in chosen if looked.frames[number].number is not None}}
    owner: dict[str, Path] = {}
    made, used = [], set()
    for number in chosen:
        frame = looked.frames[number]
        source = frame.path if frame.number is not None else frame.path.absolute().parent
        folder = stem = source.stem if frame.number is not None else source.name
        again = 1
        while owner.setdefault(folder, source) != source:  # two videos of one name
            again += 1
            folder = f"{stem}_{again}"
        plain = frame.path.stem if frame.number is None else f"img{frame.number:0{max(4, digits[frame.path])}d}"
        name = plain if (folder, plain) not in used else frame.path.name.replace(".", "_")
        used.add((folder, name))
        made.append(Proposal(frame, folder, f"{name}.png", read_frame(frame), looked.keypoints[number],
                             looked.scores[number]))
    return made


def draw(proposals: Sequence[Proposal], skeleton: Skeleton, path: Path) -> None:
    """A sheet of the chosen frames with what is proposed on them."""
    usual = float(np.median([one.scores for one in proposals]))
    images = [draw_keypoints(one.image, one.keypoints, opacity_of_scores(one.scores, usual), skeleton)
              for one in proposals]
    captions = [f"{rank}: {one.folder}/{one.name}" for rank, one in enumerate(proposals, 1)]
    write_png(path, contact_sheet(images, captions=captions))


def suggest(
    run: Path, inputs: Sequence[Path], out: Path, *, count: int = 20, by: str = DEFAULT, diverse: bool = True,
    to: str = "", labelled: Path | None = None, second: Path | None = None, every: int | None = None,
    apart: int = APART, batch_size: int = 16, overwrite: bool = False, tell: Callable[[str], None] = print,
) -> Path:
    """Writes what the module's docstring says into `out` and returns the path of suggestions.csv.

    count: how many frames. by: one of CRITERIA, or "diversity", how frames look. diverse: whether of the best four
    times as many those that look least alike are taken. labelled: the project with the labels that there are; its
    frames, and those around them, are left out, and its format is that of the result unless `to` names another.
    second: another run for the same keypoints, for `disagreement`. apart: frames between two of one video.
    Raises InputError for input that cannot be used and output that is there already.
    """
    out = Path(out)
    for flag, value in (("--n", count), ("--batch-size", batch_size), ("--apart", apart)):
        if value < 1:
            raise InputError(f"{flag}: {value}; give 1 or more")
    if by not in (DIVERSITY, *CRITERIA):
        raise InputError(f"--by: {by!r} is unknown; there are {', '.join((DIVERSITY, *CRITERIA))}")
    if to and to not in FORMATS:
        raise InputError(f"--to: {to!r} is unknown; there are {', '.join(FORMATS)}")
    ours = (out / "suggestions.csv").exists()
    if out.exists() and (out.is_file() or any(out.iterdir())) and not (ours and overwrite):
        raise InputError(f"--out: {out} " + ("holds suggestions already; give --overwrite or another folder" if ours
                                             else "is there already and holds other things; name a new folder"))
    predictor, network, others = networks(run, second)
    known = NOTHING
    if labelled is not None:
        from kpjax.annotations.reading import read_project

        project = read_project(labelled)
        known, to = known_from(project, predictor.skeleton), to or FORMAT_OF_PROJECT[project.format]
    frames = [frame for frame in frames_at(inputs) if not frame.path.resolve().is_relative_to(out.resolve())]
    every = steps_between(frames, every, tell)
    with tqdm(total=len(frames), unit=" frames", disable=None) as bar:
        looked = look(frames, network, others=others, every=every, batch_size=batch_size, tick=bar.update)
    values = values_of(looked, known)
    chosen = chosen_frames(looked, known, None if by == DIVERSITY else values[by], by, count, diverse, apart)
    if not len(chosen):
        raise InputError(f"IN: all {len(looked.frames)} frames have labels already, or lie within {apart} frames of "
                         "one that has; name other videos, or a smaller --apart")
    proposals = proposals_of(looked, chosen, frames)
    if ours:
        shutil.rmtree(out)
    written = write_proposals(to or "csv", out, proposals, predictor.skeleton, f"kpjax_{predictor.title}")
    draw(proposals, predictor.skeleton, out / "suggestions.png")
    write_text(out / "all_frames.csv", table(looked.frames, range(len(looked.frames)), values))
    judged = None if by == DIVERSITY else values[by]
    more = [[str(rank), reason(by, number, rank, judged, diverse), f"{one.folder}/{one.name}"]
            for rank, (number, one) in enumerate(zip(chosen, proposals, strict=True), 1)]
    write_text(out / "suggestions.csv", table(looked.frames, chosen, values, more, ("rank", "reason", "picture")))
    for line in summary(looked, known, chosen, count, by, diverse, apart):
        tell(line)
    tell(f"{out / 'suggestions.csv'}, {out / 'suggestions.png'} and, as proposals, "
         + ", ".join(path.relative_to(out).as_posix() for path in written))
    return out / "suggestions.csv"


def chosen_frames(looked: Looked, known: Known, values: np.ndarray | None, by: str, count: int, diverse: bool,
                  apart: int) -> np.ndarray:
    """Numbers of the frames to label, in their order; those that have labels are not among them."""
    check_criterion(by, values)
    free = np.flatnonzero(~has_label(looked.frames, known.frames, apart))
    if not len(free):
        return free
    paths = {path: number for number, path in enumerate(dict.fromkeys(frame.path for frame in looked.frames))}
    videos = np.array([-1 if frame.number is None else paths[frame.path] for frame in looked.frames])
    numbers = np.array([-1 if frame.number is None else frame.number for frame in looked.frames])
    return free[choose(None if values is None else values[free], looked.features[free], count, diverse=diverse,
                       taken=known.features, videos=videos[free], frames=numbers[free], apart=apart)]


def summary(
    looked: Looked, known: Known, chosen: np.ndarray, count: int, by: str, diverse: bool, apart: int
) -> list[str]:
    """What was done, in a few lines."""
    how = f", of the best {WIDENING * count} those that look least alike" if diverse else ", as it comes"
    lines = [f"{len(chosen)} of {len(looked.frames)} frames by {by}{'' if by == DIVERSITY else how}, at least {apart} "
             "frames apart in a video"]
    if len(chosen) < count:
        lines.append(f"{count} were asked for; no more are {apart} frames apart from each other and from labelled ones")
    if len(known.frames):
        lines.append(f"{len(known.frames)} labelled frames are kept away from")
    if known.notes:
        lines.append(f"{len(known.notes)} labelled pictures cannot be read: {summarise(known.notes)}")
    if looked.unreadable:
        lines.append(f"{len(looked.unreadable)} frames do not decode and are left out: {summarise(looked.unreadable)}")
    return lines


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, one line each."""

    def error(self, message: str):
        raise InputError(f"experiments suggest: {message}; see --help")


def main(arguments: Sequence[str]) -> Path:
    """The command. Raises InputError; exits 0 for --help."""
    parser = _Parser(prog="python -m experiments suggest", description=__doc__.split("\n\n", 1)[1], allow_abbrev=False,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="a finished run's folder, or an exported predictor")
    parser.add_argument("inputs", metavar="IN", type=Path, nargs="+", help="pictures, videos, folders of them")
    parser.add_argument("--out", required=True, metavar="D", type=Path, help="a new folder")
    parser.add_argument("--n", type=int, default=20, help="how many frames (default 20)")
    parser.add_argument("--by", choices=(DIVERSITY, *CRITERIA), default=DEFAULT,
                        help=f"what makes a frame worth a label (default {DEFAULT})")
    parser.add_argument("--as-it-comes", action="store_true", help="the best, however alike they look")
    parser.add_argument("--to", choices=tuple(FORMATS), default="",
                        help="the tool that opens the result (default that of --labelled, else csv)")
    parser.add_argument("--labelled", type=Path, metavar="PROJECT", help="the labels that there are already")
    parser.add_argument("--second", type=Path, metavar="RUN", help="a run of another seed, for disagreement")
    parser.add_argument("--every", type=int, help="looks at every so many frames of a video (default: about "
                                                  f"{LOOKED_AT} frames in all)")
    parser.add_argument("--apart", type=int, default=APART, help=f"frames between two of one video (default {APART})")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures at a time (default 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier suggestions in D")
    flags = parser.parse_args(arguments)
    return suggest(flags.run, flags.inputs, flags.out, count=flags.n, by=flags.by, diverse=not flags.as_it_comes,
                   to=flags.to, labelled=flags.labelled, second=flags.second, every=flags.every, apart=flags.apart,
                   batch_size=flags.batch_size, overwrite=flags.overwrite)
