"""SLEAP's `.slp` files, including packages with embedded images, read and written by sleap-io.

Pereira et al., SLEAP: a deep learning system for multi-animal pose tracking, Nature Methods 2022. Needs the extra
kpjax[sleap]. Old files count pixels from the corner of the first; sleap-io shifts them by half a pixel.
"""
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kpjax.annotations.hdf5_process import check_readable
from kpjax.annotations.names import derived_flip, flip_note, forward, found_by_trailing_parts
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.errors import InputError
from kpjax.files import atomic
from kpjax.structures import Skeleton

_LABELS = "labels.slp"
_FOLDERS_ABOVE = 4  # searched for a video whose folder is part of its stored path


def recognises(path: Path) -> bool:
    """Returns whether a path is a .slp file, or a folder that holds one."""
    return bool(files_of(Path(path)))


def read(path: Path, faults: list[str], *, video_root: Path | None = None) -> Project | None:
    """Reads the labels of a .slp file, without predicted instances.

    A point is labelled if it has coordinates and SLEAP's mark as visible. Keypoints are in the skeleton's order; the
    flip is that of its symmetries, else derived from the names. Suggested frames, and frames with predictions only,
    are unlabelled frames. Videos are searched beside the file, below `video_root`, and in parent folders that share a
    folder with their stored path. Images inside a package are copied to the cache folder (XDG_CACHE_HOME). Raises
    InputError without the extra kpjax[sleap].
    """
    sio, files = library(), files_of(Path(path))
    if len(files) != 1:
        faults.append(f"{path} holds {len(files)} .slp files; name one of them")
        return None
    file = files[0]
    try:
        check_readable(file)  # in a process of its own, which damage may crash
    except InputError as error:
        faults.append(f"{file.name} cannot be read as a SLEAP file ({str(error).removeprefix(f'{file}: ')}); save it "
                      "again with SLEAP")
        return None
    try:
        labels = sio.load_slp(str(file), open_videos=False)
    except Exception as error:  # HDF5 and sleap-io raise many kinds on a damaged file
        faults.append(f"{file.name} cannot be read as a SLEAP file ({' '.join(str(error).split())[:200]}); save it "
                      "again with SLEAP")
        return None
    if len(labels.skeletons) != 1:
        faults.append(f"{file.name} has {len(labels.skeletons)} skeletons where one belongs; save the labels of one "
                      "skeleton to a file of their own")
        return None
    try:
        return _project(file, labels, video_root, faults)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError) as error:
        faults.append(f"{file.name}: its tables do not belong together ({' '.join(str(error).split())[:200]}); save it "
                      "again with SLEAP")
        return None


def _project(file: Path, labels: Any, video_root: Path | None, faults: list[str]) -> Project:
    skeleton, notes = _skeleton(labels.skeletons[0])
    labelled = list(labels.labeled_frames)
    known = {(id(one.video), one.frame_idx) for one in labelled}
    suggested = [one for one in labels.suggestions if (id(one.video), one.frame_idx) not in known]
    videos = _videos(file, labels, [*labelled, *suggested], video_root, notes, faults)
    frames, instances, empty = [], [], 0
    for one, users in [(one, one.user_instances) for one in labelled] + [(one, []) for one in suggested]:
        frame = _frame(file, videos[id(one.video)], int(one.frame_idx), faults)
        if frame is None:
            continue
        found = [made for user in users if (made := _instance(len(frames), user)) is not None]
        empty += len(users) - len(found)
        frames.append(frame)
        instances += found
    predicted = sum(len(one.predicted_instances) for one in labelled)
    notes += [f"{predicted} predicted instances are left out: predictions train nothing"] if predicted else []
    notes += [f"{empty} instances without a labelled point are left out"] if empty else []
    notes += [f"{len(suggested)} suggested frames are kept as frames without labels"] if suggested else []
    return Project(file.parent, "sleap", skeleton, tuple(frames), tuple(instances), tuple(notes),
                   {"skeleton": labels.skeletons[0].name})


def write(project: Project, folder: Path) -> list[Path]:
    """Writes labels.slp with the instances as user labels, and returns its path.

    Images and videos stay where they are and are named by absolute paths. Frames without an instance become suggested
    frames. Raises InputError without the extra kpjax[sleap].
    """
    sio = library()
    skeleton = sio_skeleton(sio, project.skeleton, str(project.details.get("skeleton") or project.root.name))
    tracks = {name: sio.Track(name) for name in dict.fromkeys(one.track for one in project.instances if one.track)}
    videos, at = sio_videos(sio, project.frames)
    of_frame: dict[int, list[Any]] = {}
    for one in project.instances:
        of_frame.setdefault(one.frame, []).append(
            sio.Instance.from_numpy(one.keypoints, skeleton=skeleton, track=tracks.get(one.track)))
    labelled = [sio.LabeledFrame(*at[number], instances) for number, instances in of_frame.items()]
    suggested = [sio.SuggestionFrame(*at[number]) for number in range(len(project.frames)) if number not in of_frame]
    labels = sio.Labels(labelled, videos=videos, skeletons=[skeleton], tracks=list(tracks.values()),
                        suggestions=suggested)
    return [save(sio, labels, folder / _LABELS)]


# sleap-io

def library() -> ModuleType:
    """Returns sleap-io. Raises InputError if it is not installed."""
    try:
        import sleap_io
        _ = sleap_io.Labels  # sleap-io imports its parts on first use
    except ImportError as error:
        raise InputError(f'.slp files need sleap-io ({error}); pip install "kpjax[sleap]"') from None
    return sleap_io


def sio_skeleton(sio: ModuleType, skeleton: Skeleton, name: str) -> Any:
    """Converts a skeleton for sleap-io."""
    made = sio.Skeleton(nodes=[sio.Node(one) for one in skeleton.names], name=name)
    for a, b in skeleton.edges:
        made.add_edge(skeleton.names[a], skeleton.names[b])
    for a, b in enumerate(skeleton.flip):
        if a < b:
            made.add_symmetry(skeleton.names[a], skeleton.names[b])
    return made


def sio_videos(
    sio: ModuleType, frames: Sequence[Frame], lengths: Mapping[Path, int] | None = None
) -> tuple[list[Any], list[tuple[Any, int]]]:
    """Converts the videos of frames for sleap-io; none is opened. Returns them, and each frame's video and number.

    Images of one session and size become one video, a list of images. lengths: Number of frames by path, where known.
    """
    groups: dict[tuple, list[int]] = {}
    for number, frame in enumerate(frames):
        groups.setdefault((frame.session, frame.size) if frame.number is None else (frame.path,), []).append(number)
    videos, at = [], [None] * len(frames)
    for members in groups.values():
        first = frames[members[0]]
        paths = list(dict.fromkeys(frames[number].path.absolute().as_posix() for number in members))
        metadata = {"filename": paths[0], "grayscale": False}
        count = len(paths) if first.number is None else (lengths or {}).get(first.path)
        if count is not None:
            metadata["shape"] = [count, *first.size[::-1], 3]
        if first.number is None:
            metadata |= {"type": "ImageVideo", "filenames": paths, "height_": first.size[1], "width_": first.size[0],
                         "channels_": 3}
            numbers = [paths.index(frames[number].path.absolute().as_posix()) for number in members]
        else:
            metadata |= {"type": "MediaVideo", "bgr": True, "dataset": "", "input_format": ""}
            numbers = [frames[number].number for number in members]
        videos.append(sio.Video(filename=paths if first.number is None else paths[0], backend_metadata=metadata,
                                open_backend=False))
        for member, number in zip(members, numbers, strict=True):
            at[member] = videos[-1], number
    return videos, at


def save(sio: ModuleType, labels: Any, path: Path) -> Path:
    """Writes a .slp file whole or not at all, and returns its path."""
    with atomic(path) as partial:
        sio.save_slp(labels, str(partial), embed=False, verbose=False)
    return path


# Reading

class _Video(NamedTuple):
    name: str
    path: Path | None  # None if every frame is an image file
    images: dict[int, Path]


def files_of(path: Path) -> list[Path]:
    """Returns the .slp files of a path."""
    return sorted(path.glob("[!.]*.slp")) if path.is_dir() else [path] if path.suffix == ".slp" else []


def _skeleton(stored: Any) -> tuple[Skeleton, list[str]]:
    names = tuple(stored.node_names)
    flip = list(range(len(names)))
    for a, b in stored.symmetry_inds:
        flip[a], flip[b] = b, a
    edges = tuple((int(a), int(b)) for a, b in stored.edge_inds)
    if stored.symmetry_inds:
        return Skeleton(names, edges, tuple(flip)), []
    derived = derived_flip(names)
    return Skeleton(names, edges, derived or ()), [flip_note(names, derived)]


def _videos(
    file: Path, labels: Any, used: Sequence[Any], video_root: Path | None, notes: list[str], faults: list[str]
) -> dict[int, _Video]:
    """Locates each video, by its id; the path of one that is not found does not exist."""
    videos, names = {}, {}
    for number, video in enumerate(labels.videos):
        stored = video.filename
        if not isinstance(video.backend_metadata, dict):
            raise ValueError(f"video {number}: backend is not an object")
        if video.backend_metadata.get("crop"):
            faults.append(f"{file.name}: video {number} is a crop of another; label and save the whole video")
        if _is_embedded(video):
            source = video.source_video.filename if video.source_video is not None else f"video{number}"
            name = PurePosixPath(forward(source if isinstance(source, str) else f"video{number}")).name
            numbers = sorted({int(one.frame_idx) for one in used if one.video is video})
            found = _Video(name, None, _embedded_images(file, number, video, numbers, notes, faults))
        elif isinstance(stored, list):
            found = _Video("", None, dict(enumerate(_found(file, path, video_root) for path in stored)))
        else:
            path = _found(file, stored, video_root)
            found = _Video(path.name, path, {})
        if names.setdefault(found.name, number) != number and not isinstance(stored, list):
            found = found._replace(name=f"{number}-{found.name}")
        videos[id(video)] = found
    return videos


def _found(file: Path, stored: str, video_root: Path | None) -> Path:
    """Returns a stored path as found on this machine, or where it is expected."""
    beside = [file.parent] + ([video_root] if video_root else [])
    above = list(file.absolute().parents)[1:_FOLDERS_ABOVE + 1]
    found = found_by_trailing_parts(stored, beside) or found_by_trailing_parts(stored, above, least=2)
    return found or file.parent / forward(stored).lstrip("/")


def _frame(file: Path, video: _Video, number: int, faults: list[str]) -> Frame | None:
    if video.path is not None:
        return Frame(f"{video.name}/{number}", video.path, number, (0, 0), video.name)
    if number not in video.images:
        faults.append(f"{file.name}: frame {number} of {video.name} is labelled, but there is no such image; delete "
                      "it in SLEAP")
        return None
    path = video.images[number]
    session, inside = video.name or path.parent.name, path.is_relative_to(file.parent)
    return Frame(path.relative_to(file.parent).as_posix() if inside else f"{session}/{path.name}", path, None, (0, 0),
                 session)


def _instance(frame: int, user: Any) -> Instance | None:
    points = np.array(user.points["xy"], np.float64)
    visible = np.isfinite(points).all(1) & np.array(user.points["visible"], bool)
    points[~visible] = np.nan
    track = user.track.name if user.track is not None else ""
    return Instance(frame, points, visible.astype(np.float32), np.zeros(len(points), bool), np.full(4, np.nan),
                    track or "") if visible.any() else None


# Images inside a file

def _is_embedded(video: Any) -> bool:
    """Returns whether only sleap-io can decode a video: a package, HDF5 file or TIFF stack."""
    if isinstance(video.filename, list):
        return False
    return bool(video.backend_metadata.get("dataset")) or Path(video.filename).suffix.lower() in (".tif", ".tiff")


def _embedded_images(
    file: Path, number: int, video: Any, frames: Sequence[int], notes: list[str], faults: list[str]
) -> dict[int, Path]:
    """Copies frames of the video `number` to missing PNG files in the cache folder; a fault if one does not decode."""
    stat = file.stat()
    key = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns} {number}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kpjax" / "sleap"
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    found = {frame: folder / f"{frame:06d}.png" for frame in frames}
    if missing := [frame for frame, path in found.items() if not path.is_file()]:
        try:
            video.open()
        except Exception as error:  # sleap-io raises many kinds
            faults.append(f"{file.name}: the images of video {number} cannot be opened ({error}); save the package "
                          "again with SLEAP")
            return {}
        for frame in missing:
            try:
                image = np.asarray(video[frame])
            except Exception as error:
                faults.append(f"{file.name}: frame {frame} of video {number} cannot be decoded ({error}); save the "
                              "package again with SLEAP")
                del found[frame]
                continue
            with atomic(found[frame]) as partial:
                Image.fromarray(np.repeat(image, 3, -1) if image.shape[-1] == 1 else image[..., :3]).save(partial)
        video.close()
    notes.append(f"{len(found)} images inside {file.name} were copied to {folder}")
    return found
