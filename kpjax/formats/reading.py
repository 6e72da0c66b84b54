"""Annotation projects of every format as a `Project`; the format is recognised by content.

A format is a module and an entry of `FORMATS`. `recognises(path)`, often called `files_of`, returns
the files or folders of its own there, and does not raise. `read(path, report, options) -> Project`
reports what is wrong (file, row, field: what was found; the mend) and reads on, or raises InputError
where it cannot; it returns where images and videos should be. `write(project, folder) -> paths`
writes labels only. A format of proposals has its short name in `kpjax.lab.commands.FormatName`, too.
Missing files, sizes, sessions and frame numbers are looked at here for all formats, and animals
without a labelled point are left out.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import kpjax.formats.project as projects
from kpjax.errors import InputError, count_text, printable
from kpjax.files import check_local, foreign
from kpjax.formats import (
    coco,
    deeplabcut,
    label_studio,
    labelme,
    lightning_pose,
    plain_csv,
    sleap,
    ultralytics,
)
from kpjax.formats.agreements import agreements
from kpjax.formats.names import below, with_sessions
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import (
    LARGEST,
    Frame,
    Project,
    Report,
    instance_of,
    refuse,
)
from kpjax.formats.tables import FOLDER
from kpjax.images.reading import common_depth, depth_note, image_size, is_turned

if TYPE_CHECKING:  # PyAV is loaded where a project has videos
    from kpjax.images.video import Video


class Format(NamedTuple):
    """A format of annotation projects."""

    name: str
    because: str  # what identifies it
    recognises: Callable[[Path], list[Path]]
    read: Callable[[Path, Report, Options], Project]
    write: Callable[[Project, Path], list[Path]] | None = None
    short: str = ""  # its name on the command line, where proposals are written
    by_video: bool = False  # whether images have to be in labeled-data/<video>/


FORMATS = (
    Format(
        "sleap",
        "a .slp file, or another that sleap-io reads",
        sleap.files_of,
        sleap.read,
        sleap.write,
        "slp",
    ),
    Format(
        "deeplabcut",
        "a folder with config.yaml and labeled-data",
        deeplabcut.projects_at,
        deeplabcut.read,
        deeplabcut.write,
        "dlc",
        by_video=True,
    ),
    Format(
        "lightning_pose",
        "a table whose header rows are scorer, bodyparts and coords",
        lightning_pose.files_of,
        lightning_pose.read,
        lightning_pose.write,
        "lp",
        by_video=True,
    ),
    Format(
        "csv",
        "a table with the columns image (or video and frame), keypoint, x, y, or image, <keypoint>_x, "
        "<keypoint>_y",
        plain_csv.files_of,
        plain_csv.read,
        plain_csv.write,
        "csv",
    ),
    Format(
        "label_studio",
        "json with tasks and their annotations",
        label_studio.files_of,
        label_studio.read,
    ),
    Format("ultralytics", "a yaml with kpt_shape", ultralytics.files_of, ultralytics.read),
    Format("labelme", "a json of LabelMe for each image", labelme.files_of, labelme.read),
    Format(
        "coco",
        "json with images, annotations and categories",
        coco.files_of,
        coco.read,
        coco.write,
        "coco",
    ),
)
_KNOWN = (
    "DeepLabCut, SLEAP, Lightning Pose, COCO, Ultralytics, Label Studio, LabelMe, or a csv table"
)


def format_of(path: Path) -> Format:
    """Returns the format of a project.

    Raises InputError for a missing path or an unknown format.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; name an annotation project")
    for one in FORMATS:
        found = one.recognises(path)
        if found:
            return one
    if (path / FOLDER).is_dir():
        raise InputError(
            f"{path}: {FOLDER} is there and config.yaml, which DeepLabCut writes beside it, is not; restore it, or "
            "name a table of labels"
        )
    found = plain_csv.lacks_to_be_labels(path) or _project_above(path)
    mend = found or "export another tool's labels as COCO or YOLO; kpjax train pyramids needs none"
    raise InputError(f"{path}: not a known annotation project ({_KNOWN}); {mend}")


def _project_above(path: Path) -> str:
    """Returns that a folder shortly above is a project, "" if none is. Of COCO nothing is said: any
    json is taken for it."""
    for folder in path.absolute().parents[:2]:
        for one in FORMATS:
            if one.name != "coco" and one.recognises(folder):
                return f"{folder} is one ({one.name}): name it"
    return ""


def project_and_faults(path: Path, options: Options = STATED) -> tuple[Project | None, list[str]]:
    """Returns what can be read of a project, and everything that is wrong with it.

    Raises InputError as `format_of`.
    """
    path = Path(path)
    report = Report(path.name, [], [])
    check_local("project", path)
    if options.video_folder and not options.video_folder.is_dir():
        raise InputError(
            "video_root",
            f"{options.video_root} is not a folder; name the one that holds the videos",
        )
    form = format_of(path)
    try:
        with foreign(path):
            project = form.read(path, report, options)
    except InputError as error:
        return None, [*report.faults, str(error)]
    faults = report.faults
    if not faults and not (project.frames and project.instances):
        count = len(project.frames)
        what = f"no keypoint is labelled in {count} frames" if count else "there is no frame in it"
        report.fault(f"{what}; label some and save")
    project = _check_project(project, report)
    if options.drop_zeros:
        project = projects.without_zeros(project)
    project = projects.counted_from(project, options.pixels_from)
    project = projects.frames_counted_from(project, int(options.frames_from))
    project, counts = _with_files(project, faults, options)
    doubts = []
    for one in agreements(project, options, counts):
        told = faults if one.is_fault else doubts
        told.append(one.text)
    return project._replace(notes=(*project.notes, *doubts), doubts=tuple(doubts)), faults


def read_project(path: Path, options: Options = STATED, **more: Any) -> Project:
    """Reads an annotation project of any format in `FORMATS`, with the size of every frame that its
    file states.

    more: options in place of those of `options`. Raises InputError if the path is no project, or
    with everything that is wrong in one line: faulty labels, images and videos that are missing or
    of another size.
    """
    project, faults = project_and_faults(path, replace(options, **more))
    refuse(path, faults)
    return project


# What no format may hold, whatever its reader lets pass


def _check_project(project: Project, report: Report) -> Project:
    """Returns the project with plain paths of its images, after a fault for everything that no file
    can mean.

    These are names with control characters, images outside the project, two frames that are one,
    two animals of one name on a frame, and numbers beyond any image or video.
    """
    names = project.skeleton.names
    frames = [_within(frame, project, report) for frame in with_sessions(project.frames)]
    texts = [("keypoint", name) for name in names]
    texts += [("track", one.track) for one in project.instances]
    for frame in frames:
        texts += [("image or frame", frame.name), ("session", frame.session)]
    for kind, text in dict.fromkeys(texts):
        if printable(text) != text:
            report.within(f"{kind} {text!r:.200}").fault(
                "the name has characters that cannot be shown; rename it"
            )
    listed: dict[tuple[str, int | None], int] = {}
    videos: dict[Path, dict[str, None]] = defaultdict(dict)  # their names
    for number, frame in enumerate(frames):
        first = listed.setdefault((str(frame.path), frame.number), number)
        if first < number:
            report.within(frame.name).fault(
                f"it is listed twice, also as {frames[first].name}; join the labels of the two"
            )
        if frame.number is not None:
            videos[frame.path].setdefault(frame.name.rpartition("/")[0])
    for path, titles in videos.items():
        if len(titles) > 1:
            report.fault(
                f"the videos {', '.join(titles)} are all found as {path}; restore the folders that tell them apart, "
                "or give one video one name"
            )
    instances = []
    tracks = Counter()
    for one in project.instances:
        coordinates = np.nan_to_num(np.abs(one.keypoints))
        far = (coordinates > LARGEST).any(1)
        boxed = np.isnan(one.box).all() or one.boxed
        what = f"keypoint {names[int(far.argmax())]}: x or y" if far.any() else "box: a number"
        place = report.within(frames[one.frame].name)
        if far.any() or (np.abs(one.box) > LARGEST).any():
            report.faults.append(f"{place.place}, {what} is beyond {LARGEST:g} px; delete it")
        elif not boxed:
            place.within("box").fault("give x, y and a positive width and height")
        if far.any() or not boxed:
            points = np.where(far[:, None], np.nan, one.keypoints)
            one = instance_of(one.frame, points, track=one.track)
        tracks[one.frame, one.track] += bool(one.track)
        instances.append(one)
    for (frame, track), count in tracks.items():
        if count > 1:
            report.within(frames[frame].name).fault(
                f"{count} animals are called {track!r:.60}; give each its own track"
            )
    return project._replace(
        frames=tuple(frames),
        instances=tuple(one for one in instances if projects.says_something(project, one)),
        notes=tuple(report.notes),
    )


def _within(frame: Frame, project: Project, report: Report) -> Frame:
    """Returns a frame whose path has no `..`; a fault for an image that its name leads out of the
    project. Videos may lie anywhere, and SLEAP's images: their tools store whole paths. Links are
    followed, as a person's own."""
    path = Path(os.path.normpath(frame.path))
    root = Path(os.path.normpath(project.root))
    inside = path.is_relative_to(root)
    leads_out = ".." in frame.name.split("/") or (project.format == "coco" and not inside)
    if frame.number is not None or (".." not in frame.path.parts and not leads_out):
        return frame
    if inside:
        return frame._replace(path=path, name=below(path, root))
    if project.format == "sleap":
        return frame._replace(path=path, name=f"{frame.session or path.parent.name}/{path.name}")
    if leads_out:
        report.within(f"{frame.name:.200}").fault(
            f"it is outside the project's folder {root}; move it there, or name a folder that holds both"
        )
    return frame


def _with_files(
    project: Project, faults: list[str], options: Options
) -> tuple[Project, dict[Path, int]]:
    """Returns the project with the size of each frame as its file has it, and how many frames each
    video has.

    Doubtful are labels of images that EXIF turns, where no file says of which size they were when
    labelled. Faults are files that are missing, unreadable, or of another size than stated. With
    the option `rescale_labels` or `labelled_size`, labels are scaled with resized images instead,
    except where width and height are exchanged: such images were turned.
    """
    labelled_size = _labelled_size(options)
    videos: dict[Path, Video] = {}
    used = Counter(frame.path for frame in project.frames if frame.number is not None)
    for path, count in used.items():
        from kpjax.images.video import open_video  # PyAV is loaded where a project has videos

        try:
            if os.path.exists(path):  # False for a name that the system refuses
                videos[path] = open_video(path)
            else:
                faults.append(
                    f"{path}: the video of {count} listed frames is missing; copy it there, or name `video_root`"
                )
        except InputError as error:
            faults.append(str(error))
    images = list(dict.fromkeys(frame.path for frame in project.frames if frame.number is None))
    depths = dict.fromkeys(images, common_depth(images))
    depths |= {path: video.depth for path, video in videos.items()}
    frames = []
    growth = {}
    turned = 0
    labelled = {one.frame for one in project.instances}
    for number, frame in enumerate(project.frames):
        stated = labelled_size or frame.size
        if frame.number is None:
            size = _image_size(frame, faults)
        else:
            size = videos[frame.path].size if frame.path in videos else None
        if size and number in labelled and frame.number is None:
            turned += is_turned(frame.path, frame.size)
        if size and stated not in ((0, 0), size):
            exchanged = size == stated[::-1]
            if (options.rescale_labels or labelled_size) and not exchanged:
                growth[number] = np.array(size) / stated
            else:
                faults.append(
                    f"{frame.name}: the file is {size[0]}x{size[1]} as shown, its labels belong to an image of "
                    f"{stated[0]}x{stated[1]}; restore the original (upright, if it was "
                    "turned), or set `rescale_labels` to scale the labels with one that was resized"
                )
                size = stated
        frames.append(frame._replace(depth=depths.get(frame.path, 0), size=size or frame.size))
    instances = list(project.instances)
    for number, one in enumerate(instances):
        by = growth.get(one.frame)
        if by is not None:
            points = (one.keypoints + 0.5) * by - 0.5
            box = one.box * np.tile(by, 2)
            area = (one.area or 0.0) * float(np.prod(by))
            instances[number] = one._replace(keypoints=points, box=box, area=area)
    doubts = list(project.doubts)
    if turned:
        doubts.append(
            f"{count_text(turned, 'labelled image')} turned by an EXIF tag: labels are taken as on the image as it "
            "is shown; if your tool shows it unturned, save these images upright and label them anew"
        )
    notes = list(project.notes)
    if growth:
        notes.append(f"labels of {len(growth)} resized images were scaled with them")
    notes += [depth_note(depth) for depth in sorted({*depths.values()} - {0})]
    read = project._replace(
        frames=tuple(frames), instances=tuple(instances), notes=tuple(notes), doubts=doubts
    )
    return read, {path: len(video) for path, video in videos.items()}


def _labelled_size(options: Options) -> tuple[int, int] | None:
    """Returns width and height of the option `labelled_size`; None if nothing is said."""
    if not options.labelled_size:
        return None
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", options.labelled_size.strip())
    if not found:
        raise InputError(
            "labelled_size", f"{options.labelled_size!r} is no size; give two numbers, as 640x480"
        )
    return int(found[1]), int(found[2])


def _image_size(frame: Frame, faults: list[str]) -> tuple[int, int] | None:
    """Returns width and height of an image as shown; None, with a fault, if it is not there."""
    if not os.path.isfile(frame.path):
        faults.append(
            f"{frame.name}: the image is missing at {frame.path}; copy it there or delete its labels"
        )
        return None
    try:
        return image_size(frame.path)
    except InputError as error:
        faults.append(
            f"{frame.name}: the image cannot be opened ({error}); replace it or delete its labels"
        )
        return None
