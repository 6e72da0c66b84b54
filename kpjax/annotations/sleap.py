"""SLEAP's `.slp` files, packages with their images inside included, read and written by sleap-io.

Pereira et al., SLEAP: a deep learning system for multi-animal pose tracking, Nature Methods 2022. Needs the extra
kpjax[sleap]. Old files that count pixels from the corner of the first are moved by half a pixel, so that coordinates
are as everywhere here.
"""
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kpjax.annotations.names import derived_flip, flip_line, forward, found_by_trailing_parts
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.errors import InputError
from kpjax.structures import Skeleton

# Images that SLEAP keeps inside its files, copied out so that they are files as all others


def kept_inside(video: Any) -> bool:
    """Whether sleap-io has to decode a video: packages, HDF5 and TIFF stacks; its filename is then no list."""
    if isinstance(video.filename, list):
        return False
    return bool(video.backend_metadata.get("dataset")) or Path(video.filename).suffix.lower() in (".tif", ".tiff")


def images_inside(
    file: Path, number: int, video: Any, frames: Sequence[int], faults: list[str]
) -> tuple[dict[int, Path], str]:
    """The frames of a video as PNG files in the cache folder, and a line that says where. Those there already are kept.

    number: of the video in its file. A frame that cannot be decoded is left out, with a fault.
    """
    stat = file.stat()
    told = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns} {number}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kpjax" / "sleap"
    folder = cache / hashlib.sha256(told.encode()).hexdigest()[:16]
    found = {frame: folder / f"{frame:06d}.png" for frame in frames}
    if missing := [frame for frame, path in found.items() if not path.is_file()]:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            video.open()
        except Exception as error:  # sleap-io raises many kinds
            faults.append(f"{file.name}: the images of video {number} cannot be opened ({error}); save the package "
                          "again with SLEAP")
            return {}, ""
        for frame in missing:
            try:
                image = np.asarray(video[frame])
            except Exception as error:
                faults.append(f"{file.name}: frame {frame} of video {number} cannot be decoded ({error}); save the "
                              "package again with SLEAP")
                del found[frame]
                continue
            partial = folder / f".{frame:06d}.{os.getpid()}.png"
            Image.fromarray(np.repeat(image, 3, -1) if image.shape[-1] == 1 else image[..., :3]).save(partial)
            partial.replace(folder / f"{frame:06d}.png")
        video.close()
    return found, f"{len(found)} images inside {file.name} were copied to {folder}"


FOLDERS_ABOVE = 4  # that are searched for a video whose folder is part of its stored path
LABELS = "labels.slp"


class Place(NamedTuple):
    """Where the frames of one of SLEAP's videos are."""

    name: str
    video: Path | None  # None where every frame is an image of its own
    images: dict[int, Path]


def recognises(path: Path) -> bool:
    """Whether it is a .slp file, or a folder with one."""
    return bool(_files(Path(path)))


def read(path: Path, faults: list[str], *, video_root: Path | None = None) -> Project | None:
    """The labels of a .slp file. Instances that were predicted are left out.

    A point is labelled if it has coordinates and SLEAP's mark that it is seen. Keypoints are in the skeleton's order,
    the flip is that of its symmetries, else it follows from the names. Frames that SLEAP suggests for labelling are
    frames without an instance, as are those with predictions only. Videos are looked for beside the file, below
    video_root, and in the folders above where their stored path leads from there. Images inside a package are
    copied to the cache folder (XDG_CACHE_HOME). Raises InputError without the extra kpjax[sleap].
    """
    sio, files = library(), _files(Path(path))
    if len(files) != 1:
        faults.append(f"{path} holds {len(files)} .slp files; name one of them")
        return None
    file = files[0]
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
    skeleton, notes = _skeleton(labels.skeletons[0])
    labelled = list(labels.labeled_frames)
    seen = {(id(one.video), one.frame_idx) for one in labelled}
    suggested = [one for one in labels.suggestions if (id(one.video), one.frame_idx) not in seen]
    places = _places(file, labels, [*labelled, *suggested], video_root, notes, faults)
    drawn = [(one, one.user_instances) for one in labelled] + [(one, []) for one in suggested]
    frames, instances, empty = [], [], 0
    for one, users in drawn:
        frame = _frame(file, places[id(one.video)], int(one.frame_idx), faults)
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
    """Writes labels.slp with the instances as a person's labels, and returns its path.

    Images and videos stay where they are and are named by absolute paths. Frames without an instance become frames
    that SLEAP suggests. Raises InputError without the extra kpjax[sleap].
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
    return [save(sio, labels, folder / LABELS)]


def library() -> ModuleType:
    """sleap-io. Raises InputError if it is not installed."""
    try:
        import sleap_io
        _ = sleap_io.Labels  # loaded only when it is used
    except ImportError as error:
        raise InputError(f'.slp files need sleap-io ({error}); pip install "kpjax[sleap]"') from None
    return sleap_io


def sio_skeleton(sio: ModuleType, skeleton: Skeleton, name: str) -> Any:
    """A skeleton for sleap-io."""
    made = sio.Skeleton(nodes=[sio.Node(one) for one in skeleton.names], name=name)
    for a, b in skeleton.edges:
        made.add_edge(skeleton.names[a], skeleton.names[b])
    for a, b in enumerate(skeleton.flip):
        if a < b:
            made.add_symmetry(skeleton.names[a], skeleton.names[b])
    return made


def sio_videos(sio: ModuleType, frames: Sequence[Frame]) -> tuple[list[Any], list[tuple[Any, int]]]:
    """The videos of some frames for sleap-io, and the video and number of each frame.

    Images of one session and size become one video that is a list of images.
    """
    groups: dict[tuple, list[int]] = {}
    for number, frame in enumerate(frames):
        groups.setdefault((frame.session, frame.size) if frame.number is None else (frame.path,), []).append(number)
    videos, at = [], [None] * len(frames)
    for key, members in groups.items():
        first = frames[members[0]]
        if first.number is None:
            width, height = first.size
            paths = list(dict.fromkeys(frames[number].path.absolute().as_posix() for number in members))
            metadata = {"type": "ImageVideo", "shape": [len(paths), height, width, 3], "filename": paths[0],
                        "filenames": paths, "height_": height, "width_": width, "channels_": 3, "grayscale": False}
            video = sio.Video(filename=paths, backend_metadata=metadata, open_backend=False)
            numbers = [paths.index(frames[number].path.absolute().as_posix()) for number in members]
        else:
            path = key[0].absolute().as_posix()
            metadata = {"type": "MediaVideo", "filename": path, "grayscale": False, "bgr": True, "dataset": "",
                        "input_format": ""}
            video = sio.Video(filename=path, backend_metadata=metadata, open_backend=False)
            numbers = [frames[number].number for number in members]
        videos.append(video)
        for member, number in zip(members, numbers, strict=True):
            at[member] = video, number
    return videos, at


def save(sio: ModuleType, labels: Any, path: Path) -> Path:
    """Writes a .slp file that appears under its name once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial.slp")
    try:
        sio.save_slp(labels, str(partial), embed=False, verbose=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _files(path: Path) -> list[Path]:
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
    return Skeleton(names, edges, derived or ()), [flip_line(names, derived)]


def _places(
    file: Path, labels: Any, used: Sequence[Any], video_root: Path | None, notes: list[str], faults: list[str]
) -> dict[int, Place]:
    """Where each video is, by its id; a path that does not exist if it is not found."""
    places, names = {}, {}
    for number, video in enumerate(labels.videos):
        stored = video.filename
        if video.backend_metadata.get("crop"):
            faults.append(f"{file.name}: video {number} is a crop of another; label and save the whole video")
        if kept_inside(video):
            source = video.source_video.filename if video.source_video is not None else f"video{number}"
            name = PurePosixPath(forward(source if isinstance(source, str) else f"video{number}")).name
            numbers = sorted({int(one.frame_idx) for one in used if one.video is video})
            images, line = images_inside(file, number, video, numbers, faults)
            notes += [line] if line else []
            place = Place(name, None, images)
        elif isinstance(stored, list):
            found = [_found(file, path, video_root) for path in stored]
            place = Place("", None, dict(enumerate(found)))
        else:
            path = _found(file, stored, video_root)
            place = Place(path.name, path, {})
        if names.setdefault(place.name, number) != number and not isinstance(stored, list):
            place = place._replace(name=f"{number}-{place.name}")
        places[id(video)] = place
    return places


def _found(file: Path, stored: str, video_root: Path | None) -> Path:
    """Where a stored path lies on this machine, or should lie."""
    beside = [file.parent] + ([video_root] if video_root else [])
    above = list(file.absolute().parents)[1:FOLDERS_ABOVE + 1]
    found = found_by_trailing_parts(stored, beside) or found_by_trailing_parts(stored, above, least=2)
    return found or file.parent / forward(stored).lstrip("/")


def _frame(file: Path, place: Place, number: int, faults: list[str]) -> Frame | None:
    if place.video is not None:
        return Frame(f"{place.name}/{number}", place.video, number, (0, 0), place.name)
    if number not in place.images:
        faults.append(f"{file.name}: frame {number} of {place.name} is labelled, but there is no such image; delete "
                      "it in SLEAP")
        return None
    path = place.images[number]
    session, inside = place.name or path.parent.name, path.is_relative_to(file.parent)
    return Frame(path.relative_to(file.parent).as_posix() if inside else f"{session}/{path.name}", path, None, (0, 0),
                 session)


def _instance(frame: int, user: Any) -> Instance | None:
    points = np.array(user.points["xy"], np.float64)
    visible = np.isfinite(points).all(1) & np.array(user.points["visible"], bool)
    points[~visible] = np.nan
    track = user.track.name if user.track is not None else ""
    return Instance(frame, points, visible.astype(np.float32), np.zeros(len(points), bool), np.full(4, np.nan),
                    track or "") if visible.any() else None
