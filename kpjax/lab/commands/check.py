"""Report of the command `check`: the contents and faults of an annotation project, and a sheet of
its labels.
"""

import contextlib
import hashlib
import os
from collections import Counter, defaultdict
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
    videos, copies = [], []
    if project is not None:
        print(*frame_lines(project), *keypoint_lines(project), sep="\n")
        if asked.sheet > 0 and project.instances:  # before all is decoded, which may take minutes
            place = asked.project.resolve()
            title = place.name if place.is_dir() else place.stem
            try:
                draw_sheet(project, asked.sheet, asked.out / f"{title}_labels.png", asked.overwrite)
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
            broken, copies = image_faults(images)
            if len(images) > DECODED:
                print(
                    f"images: the pixels of {DECODED:,} of {len(images):,} were decoded; of the others, "
                    "only header and end were checked"
                )
            faults += [
                fault
                for fault in broken
                if not any(fault.split(";")[0] in known for known in faults)
            ]
        for line in (*project.notes, *slips(project, copies)):
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
    visible, occluded = (
        np.array(found, bool).reshape(len(project.instances), len(names))
        for found in (
            [one.seen for one in project.instances],
            [one.occluded for one in project.instances],
        )
    )
    counts = visible.sum(0), (visible & occluded).sum(0), outside(project).sum(0), (~visible).sum(0)
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
    labelled, rate = (
        len(
            {one.frame for one in project.instances if project.frames[one.frame].path == video.path}
        ),
        "",
    )
    if video.times is not None and len(steps := np.diff(video.times)):
        median = float(np.median(steps))
        rate = f", {1 / median:.4g} frames/s{' (variable)' if np.ptp(steps) > median / 20 else ''}"
    turned = f", turned by {video.rotation} degrees" if video.rotation else ""
    frames = tqdm(video, desc=video.path.name, disable=None, leave=False) if decode else ()
    bad = f", {sum(image is None for _, image in frames)} unreadable" * decode
    cut = f", {video.cut_off} cut off" if video.cut_off else ""
    return (
        f"video {video.path.name}: {len(video)} frames, {video.size[0]}x{video.size[1]}{rate}{turned}{bad}{cut}, "
        f"{labelled} labelled{f'; {video.note}' if video.note else ''}"
    )


def image_faults(paths: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Returns a line for each image that does not decode, and each copy of another.

    Of more than DECODED images, so many are decoded, and those that do not end as a file of their
    kind does.
    """
    # False for a name that the system refuses
    there = [path for path in paths if os.path.isfile(path)]
    decoded = set(spread(there, DECODED))

    def read(path: Path) -> tuple[bytes, str]:
        try:
            content = path.read_bytes()
            if path in decoded or not _has_end(content):
                read_image(path)
            return hashlib.sha256(content).digest(), ""
        except (InputError, OSError) as error:
            return b"", str(error)

    seen: dict[bytes, Path] = {}
    faults, copies = [], []
    with ThreadPoolExecutor(max_workers=min(4, usable_cores())) as readers:
        found = tqdm(
            readers.map(read, there), desc="images", total=len(there), disable=None, leave=False
        )
        for path, (digest, fault) in zip(there, found, strict=True):
            if fault:
                faults.append(f"{fault}; replace the image or delete its labels")
            elif (first := seen.setdefault(digest, path)) != path:
                copies.append(
                    f"{path.name} is {first.name}"
                    if path.name != first.name
                    else f"{path} is {first}"
                )
    return faults, copies


def _has_end(content: bytes) -> bool:
    """Returns whether a file begins and ends as a whole one of its kind."""
    return any(content.startswith(first) and content.endswith(last) for first, last in ENDS.items())


def slips(project: Project, copies: Sequence[str]) -> list[str]:
    """Returns lines about animals with exactly the labels of another one, and recordings on both
    sides of a split.

    copies: images that are copies of another, as `image_faults` names them.
    """
    seen: dict[bytes, str] = {}
    here, elsewhere = {}, {}
    for one in project.instances:
        name, labels = project.frames[one.frame].name, one.keypoints.tobytes()
        if labels not in seen:
            seen[labels] = name
        elif seen[labels] == name:
            here[name] = None
        else:
            elsewhere[f"{name} has those of {seen[labels]}"] = None
    splits: dict[str, set[str]] = defaultdict(set)
    for frame in project.frames:
        if frame.session and frame.split:
            splits[frame.session].add(frame.split)
    both = [
        f"{session} ({' and '.join(sorted(found))})"
        for session, found in splits.items()
        if len(found) > 1
    ]
    said = [
        f"the same labels {what}: {len(found)} frames, such as {summarise([*found][:2])}"
        for what, found in (("twice on one frame", here), ("on two frames", elsewhere))
        if found
    ]
    said += [f"{len(copies)} images are copies of another: {summarise(copies, 3)}"] * bool(copies)
    return said + [
        "recordings on both sides of a split, where test frames have neighbours that train: "
        f"{summarise(both)}"
    ] * bool(both)


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
