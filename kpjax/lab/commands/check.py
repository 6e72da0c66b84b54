"""Report of the command `check`: the contents and faults of an annotation project, and a sheet of
its labels.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from kpjax import InputError
from kpjax.cores import usable_cores
from kpjax.drawing.overlays import write_png
from kpjax.errors import WriteError, count_text, summarise
from kpjax.files import remove_partials
from kpjax.formats.project import Project, outside
from kpjax.formats.project_source import read_frame, reference_lengths, with_point_boxes
from kpjax.formats.reading import format_of, project_and_faults
from kpjax.images.reading import read_image, spread
from kpjax.images.video import Video, open_video
from kpjax.lab.commands import Check
from kpjax.lab.own.project import never_labelled, questions, videos_of
from kpjax.lab.own.systems import systems_lines
from kpjax.lab.reports.sheets import label_sheet
from kpjax.papers.parsing import as_flags, flags_of

LISTED = 40  # faults, each in a line of its own
DECODED = 1000  # images whose pixels are decoded, spread evenly over all
# first and last bytes of whole files; what comes in other forms is decoded
ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND\xaeB`\x82"}


def check(asked: Check) -> Project:
    """Prints the report, draws the sheet and returns the project.

    Raises InputError if anything is wrong.
    """
    project, faults = project_and_faults(asked.project, asked)
    project = project and with_point_boxes(project, asked.box_side)
    form = format_of(asked.project)
    print(f"{asked.project}: {form.name} ({form.because})")
    videos = []
    if project is not None:
        seen = tuple(one for one in project.instances if one.seen.any())
        animals = project._replace(instances=seen)
        print(*frame_lines(animals), *keypoint_lines(animals), sep="\n")
        if asked.sheet > 0 and seen:  # before all is decoded, which may take minutes
            place = asked.project.resolve()
            title = place.name if place.is_dir() else place.stem
            try:
                draw_sheet(animals, asked.sheet, asked.out / f"{title}_labels.png", asked.overwrite)
            except WriteError as error:  # no fault of the project
                print(f"sheet: not drawn: {error}")
            except InputError as error:  # the others follow
                print(f"sheet: not drawn: {error}")
                faults.append(f"sheet: {error}")
        known = dict.fromkeys(frame.path for frame in project.frames if frame.number is not None)
        # those without labels are looked at, not decoded
        for path in dict.fromkeys([*known, *videos_of(project)]):
            try:
                videos.append(open_video(path))
                print(video_line(videos[-1], project, decode=path in known and not asked.quick))
            except InputError as error:
                if path not in known:  # that of a labelled frame is among the faults
                    print(f"note: {error}")
        if not asked.quick:
            images = list(
                dict.fromkeys(frame.path for frame in project.frames if frame.number is None)
            )
            if len(images) > DECODED:
                print(
                    f"images: the pixels of {DECODED:,} of {len(images):,} were decoded; of the others, "
                    "only header and end were checked"
                )
            told = " ".join(faults)
            faults += [one for one in image_faults(images) if one.split(";")[0] not in told]
        for line in project.notes:
            print(f"note: {line}")
        for line in questions(project):
            print(f"question: {line}")
    if faults:
        print(
            *[f"fault: {as_flags(fault, flags_of(Check))}" for fault in faults[:LISTED]], sep="\n"
        )
        if len(faults) > LISTED:
            print(f"and {len(faults) - LISTED} more")
        raise InputError(
            f"{asked.project}: {count_text(len(faults), 'fault')}, listed above; fix them first"
        )
    print(*systems_lines(project, [len(one) for one in videos]), sep="\n")
    return project


def frame_lines(project: Project) -> list[str]:
    """Returns the counts of frames, animals, sizes, recordings and splits."""
    frames = [project.frames[one.frame] for one in project.instances]
    on_frame = Counter(one.frame for one in project.instances)
    several = sum(count > 1 for count in on_frame.values())
    sizes = Counter(
        "{}x{}".format(*frame.size) if frame.size[0] else "unknown" for frame in project.frames
    )
    lines = [
        f"frames: {len(project.frames)}, of these {len(on_frame)} labelled; sizes: {_most(sizes)}"
    ]
    animals = (
        f"animals: {len(frames)}, {several} frames have several"
        if several
        else "one animal a frame"
    )
    if frames:
        boxed = sum(one.boxed for one in project.instances)
        lengths, sides = reference_lengths(project), np.array([max(frame.size) for frame in frames])
        share = f", {100 * np.median(lengths / sides):.0f} % of the image" if sides.all() else ""
        animals += f"; {boxed} have a box; median diagonal {np.median(lengths):.0f} px{share}"
        unlike = (lengths > 4 * np.median(lengths)) | (lengths < np.median(lengths) / 4)
        if strange := [frames[number].name for number in np.flatnonzero(unlike)]:
            animals += f"; more than four times larger or smaller: {summarise(strange, 3)}"
    lines.append(animals)
    for title, field in (("recordings", "session"), ("splits", "split")):
        counts = Counter(getattr(frame, field) for frame in project.frames)
        if set(counts) - {""}:
            lines.append(f"{title}: {_most(counts)}")
    return lines


def keypoint_lines(project: Project) -> list[str]:
    """Returns a table: how often each keypoint is labelled, occluded, outside its image and
    empty."""
    names = project.skeleton.names
    cells = [(one.seen, one.seen & one.occluded, ~one.seen) for one in project.instances]
    labelled, occluded, empty = np.array(cells, int).reshape(-1, 3, len(names)).sum(0)
    counts = (labelled, occluded, outside(project).sum(0), empty)
    width = max([len("keypoint"), *map(len, names)])
    lines = [f"{'keypoint':{width}}  labelled  occluded   outside     empty"]
    lines += [
        f"{name:{width}}  {labelled:8d}  {occluded:8d}  {beyond:8d}  {empty:8d}"
        for name, labelled, occluded, beyond, empty in zip(names, *counts, strict=True)
    ]
    return [*lines, *never_labelled(project), f"edges: {len(project.skeleton.edges)}"]


def video_line(video: Video, project: Project, *, decode: bool) -> str:
    """Describes a video in a line.

    decode: whether to look at all of it, for frames that do not decode.
    """
    labelled = len(
        {one.frame for one in project.instances if project.frames[one.frame].path == video.path}
    )
    rate = ""
    if video.times is not None and len(steps := np.diff(video.times)):
        median = float(np.median(steps))
        rate = f", {1 / median:.4g} frames/s{' (variable)' if np.ptp(steps) > median / 20 else ''}"
    turned = f", turned by {video.rotation} degrees" if video.rotation else ""
    frames = tqdm(video, desc=video.path.name, disable=None, leave=False) if decode else ()
    bad = f", {sum(image is None for _, image in frames)} unreadable" if decode else ""
    cut = f", {video.cut_off} cut off" if video.cut_off else ""
    return (
        f"video {video.path.name}: {len(video)} frames, {video.size[0]}x{video.size[1]}{rate}{turned}{bad}{cut}, "
        f"{labelled} labelled{f'; {video.note}' if video.note else ''}"
    )


def image_faults(paths: Sequence[Path]) -> list[str]:
    """Returns a line for each image that does not decode.

    Of more than DECODED images, so many are decoded, and those that do not end as a file of their
    kind does.
    """
    # False for a name that the system refuses
    there = [path for path in paths if os.path.isfile(path)]
    decoded = set(spread(there, DECODED))

    def fault_of(path: Path) -> str:
        try:
            if path in decoded or not _has_end(path.read_bytes()):
                read_image(path)
            return ""
        except (InputError, OSError) as error:
            return f"{error}; replace the image or delete its labels"

    with ThreadPoolExecutor(max_workers=min(4, usable_cores())) as readers:
        found = readers.map(fault_of, there)
        shown = tqdm(found, desc="images", total=len(there), disable=None, leave=False)
        return [fault for fault in shown if fault]


def _has_end(content: bytes) -> bool:
    """Returns whether a file begins and ends as a whole one of its kind."""
    return any(content.startswith(first) and content.endswith(last) for first, last in ENDS.items())


def draw_sheet(project: Project, count: int, path: Path, overwrite: bool) -> None:
    """Draws the labels of animals spread evenly over the project, those on frames that can be
    read."""
    remove_partials(path.parent)
    if path.exists() and not overwrite:
        print(f"sheet: {path} kept, though it may show older labels; --overwrite redraws it")
        return
    shown = []
    for one in spread(project.instances, count):
        frame = project.frames[one.frame]
        with contextlib.suppress(InputError, OSError):  # it is among the faults
            shown.append((read_frame(frame), one, f"{frame.name} {one.track}".strip()))
    if shown:
        write_png(path, label_sheet(shown, project.skeleton))
        print(
            f"sheet: {path} shows the labels of {len(shown)} animals; look for swapped and shifted ones"
        )


def _most(counts: Counter, shown: int = 6) -> str:
    """Lists the most common of a few kinds, with their counts."""
    listed = [f"{name or 'none'} ({count})" for name, count in counts.most_common(shown)]
    return ", ".join(listed) + (f" and {len(counts) - shown} more" if len(counts) > shown else "")
