"""Annotation projects of every format as a `Project`; the format is recognised by content.

A format is a module and an entry of `FORMATS`. `recognises(path)` returns the files or folders of
its own there, and does not raise. `read(path, faults, options) -> Project` appends what is wrong to
`faults` (file, row,
field: what was found; the mend) and reads on, or raises InputError where it cannot; it returns
where images and videos should be. `write(project, folder) -> paths` writes labels only.
Missing files, sizes and frame numbers are checked here for all formats.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import kpjax.formats.project as projects
from kpjax.errors import InputError, count_text, printable
from kpjax.files import check_local, foreign
from kpjax.formats import (
    coco,
    deeplabcut,
    faces,
    label_studio,
    labelme,
    lightning_pose,
    plain_csv,
    sleap,
    ultralytics,
)
from kpjax.formats.names import shown_files
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import LARGEST, Frame, Project, outside, refuse
from kpjax.formats.tables import FOLDER
from kpjax.images.reading import common_depth, depth_note, image_size, is_turned

if TYPE_CHECKING:  # PyAV is loaded where a project has videos
    from kpjax.images.video import Video


class Format(NamedTuple):
    """A format of annotation projects."""

    name: str
    because: str  # what identifies it
    recognises: Callable[[Path], list[Path]]
    read: Callable[[Path, list[str], Options], Project]
    write: Callable[[Project, Path], list[Path]] | None = None
    short: str = ""  # its name on the command line, where it is written
    files: tuple[str, ...] = ()  # what `write` calls its files beside images
    videos: bool = False  # whether it refers to frames of videos; others get images of them
    by_video: bool = False  # whether images have to be in labeled-data/<video>/
    lacks: tuple[str, ...] = ()  # what it has no place for


_NO_PLACE = "splits", "which points are occluded"
FORMATS = (
    Format(
        "sleap",
        "a .slp file, or another that sleap-io reads",
        sleap.files_of,
        sleap.read,
        sleap.write,
        "slp",
        ("labels.slp",),
        videos=True,
        lacks=(*_NO_PLACE, "boxes"),
    ),
    Format(
        "deeplabcut",
        "a folder with config.yaml and labeled-data",
        deeplabcut.projects_at,
        deeplabcut.read,
        deeplabcut.write,
        "dlc",
        ("config.yaml",),
        by_video=True,
        lacks=(*_NO_PLACE, "boxes"),
    ),
    Format(
        "lightning_pose",
        "a table whose header rows are scorer, bodyparts and coords",
        lightning_pose.files_of,
        lightning_pose.read,
        lightning_pose.write,
        "lp",
        ("CollectedData.csv", "bbox.csv", "skeleton.json"),
        by_video=True,
        lacks=(*_NO_PLACE, "names of individuals"),
    ),
    Format(
        "csv",
        "a table with the columns image (or video and frame), keypoint, x, y, or image, <keypoint>_x, "
        "<keypoint>_y",
        plain_csv.files_of,
        plain_csv.read,
        plain_csv.write,
        "csv",
        ("labels.csv", "skeleton.json"),
        videos=True,
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
        ("annotations.json",),
    ),
    Format("pts", "files .pts, one for each image", faces.pts_files, faces.read_pts),
)
_KNOWN = "DeepLabCut, SLEAP, Lightning Pose, COCO, Ultralytics, Label Studio, LabelMe, .pts, or a csv table"
_TABLE = (
    "no export of it has keypoints: write a csv table with the columns image, keypoint, x and y, "
    "and read it with --pixels-from 0.5"
)
# Labels of tools that are not read: how their files begin, and what to do instead.
_OTHERS = (
    (
        "CVAT",
        rb"<annotations>.*<(?:version|meta|image|track)\b",
        "export 'COCO Keypoints' or 'Ultralytics YOLO Pose' from it",
    ),
    (
        "Pascal VOC",
        rb"<annotation\b",
        "they are boxes; export keypoints, as 'COCO Keypoints' of CVAT",
    ),
    (
        "VIA",
        rb'\A#?"?filename"?,"?file_size|"_via_|"shape_attributes"|CSV_HEADER = metadata_id',
        _TABLE,
    ),
    (
        "napari",
        rb'\A"?index"?,"?(?:shape-id|axis-0)',
        "save them with napari-deeplabcut, or write a csv table with the columns image, keypoint, x (the "
        "last axis) and y",
    ),
    (
        "Label Studio",
        rb'"?"keypointlabels"?"|"contributor"\s*:\s*"Label Studio"',
        "export 'JSON' from it",
    ),
    (
        "Ultralytics without kpt_shape",
        rb"(?m)^[\"']?(?:names|nc)[\"']?\s*:",
        "without it they are boxes; export keypoints, or add kpt_shape",
    ),
    ("Datumaro", rb'"dm_format_version"|"items"\s*:', "export 'coco_person_keypoints' from it"),
)
_START = 100_000  # bytes of a file that show whose it is


def format_of(path: Path) -> Format:
    """Returns the format of a project.

    Raises InputError for a missing path or an unknown format.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; name an annotation project")
    for one in FORMATS:
        if found := one.recognises(path):
            if one.name == "coco":  # which any json is taken for
                _refuse_others(found)
            return one
    kinds = ("*.xml", "*.csv", "*.json", "*.y*ml")
    _refuse_others(shown_files(path, *kinds, *(f"*/{kind}" for kind in kinds)))
    if (path / FOLDER).is_dir():
        raise InputError(
            f"{path}: {FOLDER} is there and config.yaml, which DeepLabCut writes beside it, is not; restore it, or "
            "name a table of labels"
        )
    raise InputError(
        f"{path}: not a known annotation project ({_KNOWN}); kpjax train pyramids needs no labels"
    )


def _refuse_others(files: Sequence[Path]) -> None:
    """Raises InputError if a file is one of a tool whose labels are not read, with the way to take."""
    for file in files:
        with file.open("rb") as opened:
            start = opened.read(_START).removeprefix(b"\xef\xbb\xbf")
        if b'"images"' in start:
            continue
        for tool, sign, mend in _OTHERS:
            if re.search(sign, start, re.DOTALL):
                raise InputError(f"{file}: labels of {tool}, which are not read; {mend}")


def project_and_faults(path: Path, options: Options = STATED) -> tuple[Project | None, list[str]]:
    """Returns what can be read of a project, and everything that is wrong with it.

    Raises InputError as `format_of`.
    """
    path, faults = Path(path), []
    check_local("project", path)
    if options.video_folder and not options.video_folder.is_dir():
        raise InputError(
            "video_root",
            f"{options.video_root} is not a folder; name the one that holds the videos",
        )
    form = format_of(path)
    try:
        with foreign(path):
            project = form.read(path, faults, options)
    except InputError as error:
        return None, [*faults, str(error)]
    if not faults and not project.frames:
        faults.append(f"{path.name}: there is no frame in it; label some and save")
    elif not faults and not project.instances:
        faults.append(
            f"{path.name}: no keypoint is labelled in {len(project.frames)} frames; label some and save"
        )
    project = _check_project(project, path, faults)
    project = projects.without_zeros(project) if options.drop_zeros else project
    doubts = [*project.doubts, *projects.label_doubts(project)]
    project = projects.counted_from(project, options.pixels_from)
    project = _with_files(project, faults, doubts, rescale_labels=options.rescale_labels)
    seen = sum(int((one.visible > 0).sum()) for one in project.instances)
    if not faults and seen and int(outside(project).sum()) == seen:
        faults.append(
            f"{path.name}: all {seen} labelled points lie outside their images; restore the images"
        )
    doubts += projects.coordinate_doubts(project, options.pixels_from)
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


def _check_project(project: Project, path: Path, faults: list[str]) -> Project:
    """Returns the project with plain paths of its images, after a fault for everything that no file
    can mean.

    These are names with control characters, images outside the project, two frames that are one,
    two animals of one name on a frame, and numbers beyond any image or video.
    """
    where, names, frames, whole = path.name, project.skeleton.names, [], not faults
    texts = [("keypoint", name) for name in names]
    texts += [
        (kind, text)
        for frame in project.frames
        for kind, text in (
            ("image", frame.name),
            ("session", frame.session),
            ("split", frame.split),
        )
    ]
    texts += [("track", one.track) for one in project.instances]
    faults += [
        f"{where}, {kind} {text!r:.200}: the name has characters that cannot be shown; rename it"
        for kind, text in dict.fromkeys(texts)
        if printable(text) != text
    ]
    faults += [
        f"{where}, {kind} {text!r:.200}: the name ends in a dot; rename it"
        for kind, text in dict.fromkeys(texts)
        if kind in ("session", "split") and text.endswith(".")
    ]
    seen: dict[tuple[str, int | None], str] = {}
    videos: dict[Path, dict[str, None]] = defaultdict(dict)  # their names
    for frame in project.frames:
        frames.append(_within(frame, project, where, faults))
        key = str(frames[-1].path), frame.number
        if frame.number is not None:
            videos[frames[-1].path].setdefault(frame.name.rpartition("/")[0])
        if frame.number is None and any(part.endswith(".") for part in frames[-1].path.parts[-2:]):
            faults.append(
                f"{where}, {frame.name:.200}: the name of an image or its folder ends in a dot; rename it"
            )
        elif key in seen and whole:
            faults.append(
                f"{where}, {frame.name}: it is listed twice, also as {seen[key]}; join the labels of the two"
            )
        seen[key] = frame.name
    faults += [
        f"{where}: the videos {', '.join(names)} are all found as {path}; restore the folders that tell them "
        "apart, or give one video one name"
        for path, names in videos.items()
        if len(names) > 1
    ]
    instances = []
    for one in project.instances:
        labelled = one.visible > 0
        far = labelled & ~(np.abs(np.where(labelled[:, None], one.keypoints, 0)) <= LARGEST).all(1)
        if not np.isnan(one.box).all() and not (
            np.isfinite(one.box).all() and (one.box[2:] > 0).all()
        ):
            faults.append(
                f"{where}, {project.frames[one.frame].name}, box: give x, y and a positive width and height"
            )
        elif far.any() or (np.abs(one.box) > LARGEST).any():
            what = f"keypoint {names[int(far.argmax())]}: x or y" if far.any() else "box: a number"
            faults.append(
                f"{where}, {project.frames[one.frame].name}, {what} is beyond {LARGEST:g} px; delete it"
            )
            one = one._replace(
                keypoints=np.where(far[:, None], np.nan, one.keypoints),
                visible=np.where(far, 0, one.visible),
                box=np.full(4, np.nan),
            )
        instances.append(one)
    tracks = Counter((one.frame, one.track) for one in project.instances if one.track)
    faults += [
        f"{where}, {project.frames[frame].name}: {count} animals are called {track!r:.60}; give each its own "
        "track"
        for (frame, track), count in tracks.items()
        if count > 1
    ]
    return project._replace(frames=tuple(frames), instances=tuple(instances))


def _within(frame: Frame, project: Project, where: str, faults: list[str]) -> Frame:
    """Returns a frame whose path has no `..`; a fault for an image that its name leads out of the
    project. Videos may lie anywhere, and SLEAP's images: their tools store whole paths. Links are
    followed, as a person's own."""
    path, root = Path(os.path.normpath(frame.path)), Path(os.path.normpath(project.root))
    leads_out = ".." in PurePosixPath(frame.name).parts or (
        project.format == "coco" and not path.is_relative_to(root)
    )
    if frame.number is not None or (".." not in frame.path.parts and not leads_out):
        return frame
    if path.is_relative_to(root):
        return frame._replace(path=path, name=path.relative_to(root).as_posix())
    if project.format == "sleap":
        return frame._replace(path=path, name=f"{frame.session or path.parent.name}/{path.name}")
    if leads_out:
        faults.append(
            f"{where}, {frame.name:.200}: it is outside the project's folder {root}; move it there, or name a "
            "folder that holds both"
        )
    return frame


def _with_files(
    project: Project, faults: list[str], doubts: list[str], *, rescale_labels: bool
) -> Project:
    """Returns the project with the size of each frame as its file has it.

    Doubtful are labels of videos that had another number of frames, and of images that EXIF turns,
    where no file says of which size they were when labelled. Faults are files that are missing,
    unreadable, too short, or of another size than stated. rescale_labels: scales labels with
    resized images instead, except where width and height are exchanged: such images were turned.
    """
    videos: dict[Path, Video] = {}
    for path, labelled in Counter(
        frame.path for frame in project.frames if frame.number is not None
    ).items():
        from kpjax.images.video import open_video  # PyAV is loaded where a project has videos

        try:
            if os.path.exists(path):  # False for a name that the system refuses
                videos[path] = open_video(path)
            else:
                faults.append(
                    f"{path}: video of {labelled} frames is missing; copy it there, or name `video_root`"
                )
        except InputError as error:
            faults.append(str(error))
    doubts += [
        f"{path.name} has {len(video)} frames, and had {project.lengths[path]} when it was labelled: labels may be on "
        "other frames; restore the video, or label this one anew"
        for path, video in videos.items()
        if project.lengths.get(path, len(video)) != len(video)
    ]
    images = list(dict.fromkeys(frame.path for frame in project.frames if frame.number is None))
    depths = {path: video.depth for path, video in videos.items()} | dict.fromkeys(
        images, common_depth(images)
    )
    frames, growth, labelled, turned = [], {}, {one.frame for one in project.instances}, 0
    for number, frame in enumerate(project.frames):
        size = _size(frame, videos, faults)
        if size and number in labelled and frame.number is None:
            turned += is_turned(frame.path, frame.size)
        other, exchanged = size and frame.size not in ((0, 0), size), size == frame.size[::-1]
        if other and rescale_labels and not exchanged:
            growth[number] = np.array(size) / frame.size
        elif other:
            mend = (
                "save it upright without a tag that turns it, as it was labelled"
                if exchanged
                else "restore the original, or set `rescale_labels` to scale the labels with it"
            )
            faults.append(
                f"{frame.name}: the file is {size[0]}x{size[1]} as shown, its labels belong to an image of "
                f"{frame.size[0]}x{frame.size[1]}; {mend}"
            )
        frames.append(frame._replace(depth=depths.get(frame.path, 0), size=size or frame.size))
    instances = tuple(
        one._replace(
            keypoints=(one.keypoints + 0.5) * growth[one.frame] - 0.5,
            box=one.box * np.tile(growth[one.frame], 2),
        )
        if one.frame in growth
        else one
        for one in project.instances
    )
    if turned:
        doubts.append(
            f"{count_text(turned, 'labelled image')} turned by an EXIF tag: labels are taken as on the image as it "
            "is shown; if your tool shows it unturned, save these images upright and label them anew"
        )
    notes = (f"labels of {len(growth)} resized images were scaled with them",) if growth else ()
    notes += tuple(depth_note(depth) for depth in sorted({*depths.values()} - {0}))
    return project._replace(frames=tuple(frames), instances=instances, notes=project.notes + notes)


def _size(
    frame: Frame, videos: "Mapping[Path, Video]", faults: list[str]
) -> tuple[int, int] | None:
    """Returns width and height of a frame as shown; None, with a fault, if its file lacks it."""
    if frame.number is not None:
        video = videos.get(frame.path)
        if video is None or 0 <= frame.number < len(video):
            return video and video.size
        faults.append(
            f"{frame.name}: {frame.path.name} has frames 0 to {len(video) - 1}; restore it, or delete the "
            "row"
        )
    elif not os.path.isfile(frame.path):
        faults.append(
            f"{frame.name}: the image is missing at {frame.path}; copy it there or delete its labels"
        )
    else:
        try:
            return image_size(frame.path)
        except InputError as error:
            faults.append(
                f"{frame.name}: the image cannot be opened ({error}); replace it or delete its labels"
            )
    return None
