"""`python -m experiments check PROJECT`: what an annotation project holds, and everything that is wrong with it.

Prints the format, frames, sizes, how often each keypoint is labelled, videos, duplicates and faults, draws labels with
their names on a sheet, and says in its last line which systems can be trained on the project. Exit code 2 if anything
is wrong.
"""
import argparse
import functools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.own_needs import material_of, systems_line
from kpjax.annotations.checking import (
    VideoFacts,
    image_faults,
    keypoint_counts,
    repeated_labels,
    sessions_on_both_sides,
    unusual_sizes,
    video_facts,
)
from kpjax.annotations.project import Project
from kpjax.annotations.project_source import read_frame, reference_lengths
from kpjax.annotations.reading import Options, fault_line, format_of, project_and_faults
from kpjax.drawing.label_sheet import Labels, label_sheet
from kpjax.drawing.overlays import write_png
from kpjax.errors import InputError, summarise

LISTED = 40  # faults, each in a line of its own


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, one line each."""

    def error(self, message: str):
        raise InputError(f"experiments check: {message}; see --help")


def main(arguments: Sequence[str]) -> Project:
    """The command; returns the project. Raises InputError if anything is wrong; exits 0 for --help."""
    parser = _Parser(prog="python -m experiments check", description=__doc__.split("\n\n")[1])
    parser.add_argument("project", metavar="PROJECT", type=Path, help="a folder or file of any of the known formats")
    parser.add_argument("--out", metavar="PNG", type=Path, help="the sheet of labels (default PROJECT's name in the "
                        "current folder)")
    parser.add_argument("--sheet", metavar="N", type=int, default=12, help="animals on the sheet (default 12, 0 none)")
    parser.add_argument("--quick", action="store_true", help="do not decode pictures and videos")
    parser.add_argument("--category", default="", help="of a COCO file with several")
    parser.add_argument("--video-root", type=Path, help="where videos lie that are not where the project says")
    parser.add_argument("--pixels-from", type=int, default=0, help="1 if the top-left pixel is (1, 1)")
    parser.add_argument("--rescale-labels", action="store_true", help="scale labels of resized pictures along")
    flags = parser.parse_args(arguments)
    if flags.out is not None and flags.out.suffix.lower() != ".png":
        raise InputError(f"--out: {flags.out} does not end in .png, as the sheet of labels does")
    if flags.video_root is not None and not flags.video_root.is_dir():
        raise InputError(f"--video-root: {flags.video_root} is no folder; name the one that the videos lie in")
    form = format_of(flags.project)
    print(f"{flags.project}: {form.name} ({form.because})")
    project, faults = project_and_faults(flags.project, Options(
        flags.category, flags.video_root, flags.pixels_from, flags.rescale_labels))
    if project is None:
        _list(faults)
        raise InputError(fault_line(flags.project, faults))
    print(*frame_lines(project), *keypoint_lines(project), sep="\n")
    videos = _videos(project, decode=not flags.quick)
    print(*[video_line(video, project) for video in videos], sep="\n", end="\n" if videos else "")
    copies = []
    if not flags.quick:
        pictures = list(dict.fromkeys(frame.path for frame in project.frames if frame.number is None))
        broken, copies = image_faults(pictures, functools.partial(
            tqdm, total=len(pictures), desc="pictures", disable=None, leave=False))
        faults += [fault for fault in broken if not any(fault.split(";")[0] in known for known in faults)]
    print(*note_lines(project, copies), sep="\n")
    if flags.sheet > 0 and project.instances:
        draw_sheet(project, flags.sheet, flags.out or Path(f"{flags.project.resolve().stem}_labels.png"))
    if faults:
        _list(faults)
        raise InputError(fault_line(flags.project, faults))
    print(systems_line(material_of(project, [video.frames for video in videos])))
    return project


def frame_lines(project: Project) -> list[str]:
    """Frames, animals, sizes, recordings and splits."""
    on_frame = Counter(one.frame for one in project.instances)
    several = sum(count > 1 for count in on_frame.values())
    sizes = Counter(f"{width}x{height}" if width else "unknown" for width, height in
                    (frame.size for frame in project.frames))
    lines = [f"frames: {len(project.frames)}, of these {len(on_frame)} labelled; sizes: {_most(sizes)}"]
    animals = f"animals: {len(project.instances)}, {several} frames have several" if several else "one animal a frame"
    boxed = sum(bool(np.isfinite(one.box).all()) for one in project.instances)
    if project.instances:
        lengths, sides = reference_lengths(project), np.array(
            [max(project.frames[one.frame].size) for one in project.instances])
        share = f", {100 * np.median(lengths / sides):.0f} % of the picture" if sides.all() else ""
        animals += f"; {boxed} have a box; median diagonal {np.median(lengths):.0f} px{share}"
        strange = unusual_sizes(lengths)
        if len(strange):
            names = [project.frames[project.instances[number].frame].name for number in strange]
            animals += f"; more than four times larger or smaller: {summarise(names, 3)}"
    lines.append(animals)
    for title, field in (("recordings", "session"), ("splits", "split")):
        counts = Counter(getattr(frame, field) for frame in project.frames)
        if set(counts) - {""}:
            lines.append(f"{title}: {_most(counts)}")
    return lines


def keypoint_lines(project: Project) -> list[str]:
    """A table: how often each keypoint is labelled, occluded, outside its picture and empty."""
    counts, names = keypoint_counts(project), project.skeleton.names
    width = max([len("keypoint"), *map(len, names)])
    lines = [f"{'keypoint':{width}}  labelled  occluded   outside     empty"]
    lines += [f"{name:{width}}  {labelled:8d}  {occluded:8d}  {beyond:8d}  {empty:8d}"
              for name, labelled, occluded, beyond, empty in zip(names, *counts, strict=True)]
    if never := [name for name, labelled in zip(names, counts.labelled, strict=True) if not labelled]:
        lines.append(f"never labelled: {', '.join(never)}")
    return [*lines, f"edges: {len(project.skeleton.edges)}"]


def video_line(video: VideoFacts, project: Project) -> str:
    """A video in a line."""
    labelled = len({one.frame for one in project.instances if project.frames[one.frame].path == video.path})
    rate = "" if math.isnan(video.rate) else f", {video.rate:.4g} frames/s{' (variable)' if video.variable else ''}"
    turned = f", turned by {video.rotation} degrees" if video.rotation else ""
    bad = "" if video.unreadable is None else f", {video.unreadable} unreadable"
    cut = f", {video.cut_off} cut off" if video.cut_off else ""
    return (f"video {video.path.name}: {video.frames} frames, {video.size[0]}x{video.size[1]}{rate}{turned}{bad}{cut}, "
            f"{labelled} labelled")


def note_lines(project: Project, copies: Sequence[str]) -> list[str]:
    """What the reader derived or left out, and what looks like a slip."""
    lines = [*project.notes, *repeated_labels(project)]
    if copies:
        lines.append(f"{len(copies)} pictures are copies of another: {summarise(copies, 3)}")
    if both := sessions_on_both_sides(project):
        lines.append(f"recordings on both sides of a split, where test frames have neighbours that train: "
                     f"{summarise(both)}")
    return [f"note: {line}" for line in lines]


def draw_sheet(project: Project, count: int, path: Path) -> None:
    """Draws the labels of animals spread evenly over the project, those on frames that can be read."""
    total = len(project.instances)
    numbers = np.unique(np.linspace(0, total - 1, min(count, total)).round()).astype(int).tolist()
    pictures, labels, captions = [], [], []
    for number in numbers:
        one = project.instances[number]
        frame = project.frames[one.frame]
        try:
            pictures.append(read_frame(frame))
        except (InputError, OSError):
            continue  # it is among the faults
        labels.append(Labels(one.keypoints, one.occluded))
        captions.append(f"{frame.name} {one.track}".strip())
    if not pictures:
        return
    try:
        write_png(path, label_sheet(pictures, labels, project.skeleton, captions=captions))
    except OSError as error:
        raise InputError(f"--out: {path} cannot be written ({error.strerror or error}); choose another "
                         "place") from None
    print(f"sheet: {path} shows the labels of {len(pictures)} animals; look for swapped and shifted ones")


def _videos(project: Project, *, decode: bool) -> list[VideoFacts]:
    found = []
    for path in dict.fromkeys(frame.path for frame in project.frames if frame.number is not None):
        try:
            found.append(video_facts(path, decode=decode, progress=functools.partial(
                tqdm, desc=path.name, disable=None, leave=False)))
        except InputError:
            continue  # it is among the faults
    return found


def _most(counts: Counter, shown: int = 6) -> str:
    """The most common of a few kinds, with their counts."""
    listed = [f"{name or 'none'} ({count})" for name, count in counts.most_common(shown)]
    return ", ".join(listed) + (f" and {len(counts) - shown} more" if len(counts) > shown else "")


def _list(faults: Sequence[str]) -> None:
    for fault in faults[:LISTED]:
        print(f"fault: {fault}")
    if len(faults) > LISTED:
        print(f"and {len(faults) - LISTED} more")
