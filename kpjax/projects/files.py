"""The pictures and videos of a project: whether they are there, and of the size that the labels were made on."""
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from kpjax.errors import InputError
from kpjax.projects.project import Frame, Project

EXIF_ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # the tag, and its values that exchange width and height


def with_files(project: Project, faults: list[str], *, rescale_labels: bool = False) -> Project:
    """The project with the size of each frame as its file has it.

    Appends to `faults` what is missing, cannot be opened, ends before a labelled frame, or has another size than the
    project says. rescale_labels: labels of pictures of another size are scaled with them instead, but not where width
    and height are exchanged: such pictures are turned.
    """
    videos = _videos(project, faults)
    frames, growth = [], {}
    for number, frame in enumerate(project.frames):
        size = _size(frame, videos, faults)
        if size is None or frame.size in ((0, 0), size):
            frames.append(frame if size is None else frame._replace(size=size))
            continue
        exchanged = size == frame.size[::-1]
        if rescale_labels and not exchanged:
            frames.append(frame._replace(size=size))
            growth[number] = np.array(size) / frame.size
            continue
        frames.append(frame)
        told = f"{frame.size[0]}x{frame.size[1]}"
        mend = ("save it upright without an EXIF tag that turns it, as it was labelled" if exchanged else
                "restore the original, or scale the labels along with --rescale-labels")
        faults.append(f"{frame.name}: the file is {size[0]}x{size[1]} as shown, its labels are of a picture of {told}; "
                      f"{mend}")
    instances = tuple(one._replace(keypoints=(one.keypoints + 0.5) * growth[one.frame] - 0.5,
                                   box=one.box * np.tile(growth[one.frame], 2))
                      if one.frame in growth else one for one in project.instances)
    notes = project.notes
    if growth:
        notes += (f"labels of {len(growth)} resized pictures were scaled along",)
    return project._replace(frames=tuple(frames), instances=instances, notes=notes)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as shown, from its header. Raises InputError if the file is no picture."""
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            return (height, width) if opened.getexif().get(EXIF_ORIENTATION) in TURNED else (width, height)
    # Pillow raises SyntaxError for a broken PNG and ValueError or its own error for sizes that make no sense.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {error}") from None


def _videos(project: Project, faults: list[str]) -> Mapping[Path, tuple[tuple[int, int], int]]:
    """Size and length of every video that can be opened."""
    known = {}
    paths = dict.fromkeys(frame.path for frame in project.frames if frame.number is not None)
    if paths:
        from kpjax.input.video import open_video  # only projects with videos need PyAV
    for path in paths:
        labelled = sum(frame.path == path for frame in project.frames)
        if not path.exists():
            faults.append(f"{path}: this video of {labelled} frames is missing; copy it there, or name the folder that "
                          "it lies in with --video-root")
            continue
        try:
            video = open_video(path)
        except InputError as error:
            faults.append(str(error))
            continue
        known[path] = video.size, len(video)
    return known


def _size(frame: Frame, videos: Mapping[Path, tuple[tuple[int, int], int]], faults: list[str]
          ) -> tuple[int, int] | None:
    """Width and height of a frame's file as shown; None, and a fault, where it has no such frame."""
    if frame.number is not None:
        if frame.path not in videos:
            return None
        size, count = videos[frame.path]
        if not 0 <= frame.number < count:
            faults.append(f"{frame.name}: frame {frame.number} is labelled, {frame.path.name} has frames 0 to "
                          f"{count - 1}; name the video that was labelled, or delete the row")
            return None
        return size
    if not frame.path.is_file():
        faults.append(f"{frame.name}: the picture is missing at {frame.path}; copy it there or delete its labels")
        return None
    try:
        return picture_size(frame.path)
    except InputError as error:
        faults.append(f"{frame.name}: the picture cannot be opened ({error}); replace it or delete its labels")
        return None
