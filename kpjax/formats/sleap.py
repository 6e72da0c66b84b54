"""SLEAP's `.slp` files, and what else sleap-io reads: SLEAP's analysis HDF5 and csv, NWB and JABS.
Needs kpjax[sleap].

Pereira et al., SLEAP: a deep learning system for multi-animal pose tracking, Nature Methods 2022.
Packages may hold their images. Old files count pixels from the corner of the first; sleap-io shifts
them by half a pixel.
"""

import hashlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kpjax import InputError, Skeleton
from kpjax.errors import count_text, summarise
from kpjax.files import atomic, cache_folder, foreign
from kpjax.formats.hdf5 import check_hdf5, names_in
from kpjax.formats.names import (
    below,
    forward,
    found_by_trailing_parts,
    only_file,
    shown_files,
    skeleton_of,
)
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Frame, Project, Report, by_frame, instance_of, show_nobody
from kpjax.formats.tables import first_line

_LABELS = "labels.slp"
_FOLDERS_ABOVE = 4  # searched for a video whose folder is part of its stored path
# By what lies at the top of their HDF5: how sleap-io calls them.
_KINDS = (
    ({"videos_json", "frames"}, "slp"),
    ({"track_occupancy", "node_names"}, "analysis_h5"),
    ({"poseest"}, "jabs"),
    ({"nwb_version"}, "nwb"),
)


class Animal(NamedTuple):
    """One animal to write on a frame."""

    points: np.ndarray  # (K, 2), nan where unknown
    track: str = ""
    #: (K,) of a prediction, which SLEAP shows and never takes for a label
    scores: np.ndarray | None = None


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads the labels of a file, without predicted instances.

    A point is labelled if it has coordinates and SLEAP's mark as visible. Keypoints are in the
    skeleton's order; the flip is that of its symmetries, else derived from the names. Skeletons of
    the same names in another order are one. Suggested frames, and frames with predictions only, are
    unlabelled frames. Videos are searched beside the file, below the option `video_root`, and in
    parent folders that share a folder with their stored path. Images inside a package are copied to
    the cache folder (XDG_CACHE_HOME).
    """
    file = only_file(path, files_of(path), ".slp files")
    labels = load(file)
    report = report.at(file.name)
    skeleton = skeleton_in(file, labels, report)
    labelled = list(labels.labeled_frames)
    known = {(id(one.video), one.frame_idx) for one in labelled}
    suggested = [one for one in labels.suggestions if (id(one.video), one.frame_idx) not in known]
    with foreign(file.name, "save the package again with SLEAP"):
        images_of = {id(one): _stored_frames(one) for one in labels.videos}
    used = []
    for one in (*labelled, *suggested):
        stored = images_of[id(one.video)]
        if getattr(one, "user_instances", ()) or stored is None or one.frame_idx in stored:
            used.append(one)
    left_out = len(labelled) + len(suggested) - len(used)
    videos = _videos(file, labels, used, options.video_folder, report)
    frames = []
    instances = []
    unlisted = []
    marked = set()
    invisible = set()
    contradicting = []
    for one in used:
        video = videos[id(one.video)]
        number = int(one.frame_idx)
        frame = _frame(video, number, file.parent)
        if frame is None:
            report.fault(f"frame {number} of {video.name} has no image; delete it in SLEAP")
            continue
        at = len(frames)
        animals = []
        for user in getattr(one, "user_instances", ()):  # which suggestions have not
            points = points_of(user, skeleton.names)[:, :2]
            track = (user.track and user.track.name) or ""
            animals.append(instance_of(at, points, track=track))
        seen = [animal for animal in animals if animal.seen.any()]
        instances += seen
        is_marked = getattr(one, "is_negative", False)
        if seen and is_marked:
            contradicting.append(frame.name)
        elif is_marked:
            marked.add(at)
        elif animals and not seen:
            invisible.add(at)
        elif not seen and getattr(one, "predicted_instances", [None]):
            unlisted.append(at)
        frames.append(frame)
    predicted = sum(len(one.predicted_instances) for one in labelled)
    kept = sum(not hasattr(one, "instances") for one in used)
    for count, words in (
        (predicted, "predicted instances are left out: predictions train nothing"),
        (len(marked), "frames are marked to show no animal, which is taught"),
        (kept, "suggested frames are kept as frames without labels"),
        (left_out, "frames without labels, whose images this package has not, are left out"),
    ):
        if count:
            report.notes.append(f"{count} {words}")
    doubts = []
    if invisible:
        doubts.append(
            f"{count_text(len(invisible), 'frame')} whose animals have no visible point, such as "
            f"{frames[min(invisible)].name}: taken to show no animal, which is taught; mark them as negative in "
            "SLEAP, or delete these animals"
        )
    if contradicting:
        doubts.append(
            f"{count_text(len(contradicting), 'frame')} marked to show no animal, and labelled: "
            f"{summarise(contradicting, 3)}; the labels are read, take the mark away or delete them"
        )
    lengths = {one.path: one.length for one in videos.values() if one.path and one.length}
    project = Project(
        file.parent,
        "sleap",
        skeleton,
        frames,
        instances,
        doubts=doubts,
        lengths=lengths,
        unlisted=frozenset(unlisted),
    )
    return show_nobody(project, marked | invisible)


def _frame(video: "_Video", number: int, root: Path) -> Frame | None:
    """Returns a frame of a video; None of one without an image."""
    if video.path is not None:
        return Frame(f"{video.name}/{number}", video.path, number, video.size, video.name)
    path = video.images.get(number)
    if path is None:
        return None
    name = below(path, root)
    if name == path.as_posix():  # elsewhere
        session = video.name or path.parent.name
        return Frame(f"{session}/{path.name}", path, session=session)
    session = video.name or name.rpartition("/")[0]
    return Frame(name, path, session=session)


def write(project: Project, folder: Path) -> list[Path]:
    """Writes labels.slp with the instances as user labels, and returns its path.

    Images and videos stay where they are and are named by absolute paths. Frames without an
    instance become suggested frames. Raises InputError without the extra kpjax[sleap].
    """
    animals = [[Animal(one.keypoints, one.track) for one in found] for found in by_frame(project)]
    empty = {number for number, found in enumerate(animals) if not found}
    suggested = sorted(empty - project.nobody)
    path = save(
        folder / _LABELS,
        project.skeleton,
        project.frames,
        animals,
        name=project.root.name,
        suggested=suggested,
        negative=project.nobody,
    )
    return [path]


def library() -> ModuleType:
    """Returns sleap-io. Raises InputError if it is not installed."""
    try:
        import sleap_io

        _ = sleap_io.Labels  # sleap-io imports its parts on first use
    except ImportError as error:
        raise InputError(
            f'.slp files need sleap-io ({error}); pip install "kpjax[sleap]"'
        ) from None
    return sleap_io


def kind_of(path: Path) -> str:
    """Returns how sleap-io calls the format of a file, by its content: "" for one that it need not
    read.
    """
    names = names_in(path)
    ending = path.suffix.lower()
    if not names and ending == ".csv" and "frame_idx" in first_line(path).split(","):
        return "csv"
    for wanted, kind in _KINDS:
        if wanted <= names:
            return kind
    return "slp" if ending == ".slp" and path.is_file() else ""


def load(file: Path) -> Any:
    """Returns sleap-io's `Labels` of a file, with closed videos.

    Raises InputError for anything else.
    """
    sio = library()
    kind = kind_of(file)
    with foreign(file.name, "save it again with SLEAP"):
        if kind == "csv":
            return sio.load_csv(str(file), format="sleap")
        check_hdf5(file)
        if kind == "slp":
            return sio.load_slp(str(file), open_videos=False)
        labels = sio.load_file(str(file), format=kind)
        if kind == "nwb":
            shapes = _shapes_in_nwb(file)
            for video in labels.videos:
                if not isinstance(video.filename, list) and video.filename in shapes:
                    video.backend_metadata |= {"shape": shapes[video.filename]}
        return labels


def _shapes_in_nwb(file: Path) -> dict[str, tuple[int, ...]]:
    """Returns frames, height, width and channels of the videos that an NWB file names, which
    sleap-io does not read.
    """
    import h5py

    found = {}

    def visit(_: str, node: Any) -> None:
        if not isinstance(node, h5py.Group):
            return
        if not {"external_file", "dimension", "num_samples"} <= {*node}:
            return
        width, height = node["dimension"][()].tolist()
        count = int(node["num_samples"][()])
        for name in node["external_file"].asstr()[()].tolist():
            found[name] = count, height, width, 3

    with h5py.File(file) as opened:
        opened.visititems(visit)
    return found


def _stored_frames(video: Any) -> Collection[int] | None:
    """Returns the frames whose images a package keeps; None of a video beside the file, or where all
    frames are kept."""
    if not dict(video.backend_metadata).get("dataset"):
        return None
    video.open_backend = True
    if video.backend is None:
        video.open()
    # of a video without labels a package keeps no image, and none of the numbers
    numbered = getattr(video.backend, "source_inds", None) is not None
    return video.backend.frame_map if numbered else None


def skeleton_in(file: Path, labels: Any, report: Report) -> Skeleton:
    """Converts the skeleton of all instances. Raises InputError for several."""
    in_use = {id(one.skeleton) for frame in labels.labeled_frames for one in frame.instances}
    skeletons = [one for one in labels.skeletons if id(one) in in_use] or labels.skeletons
    if len({frozenset(one.node_names) for one in skeletons}) != 1:
        raise InputError(
            f"{file.name} has {len(skeletons)} skeletons where one belongs; save the labels of one"
        )
    stored = skeletons[0]
    edges = [(int(a), int(b)) for a, b in stored.edge_inds]
    pairs = [(int(a), int(b)) for a, b in stored.symmetry_inds]
    return skeleton_of(stored.node_names, edges, pairs or None, report)


def points_of(instance: Any, names: Sequence[str]) -> np.ndarray:
    """Returns x, y and score (K, 3) float64 of an instance by the names of its own skeleton; nan
    where not visible.
    """
    own = list(instance.skeleton.node_names)
    points = instance.points
    scores = points["score"] if "score" in points.dtype.names else np.ones(len(points))
    visible = np.array(points["visible"], bool)
    found = np.column_stack([points["xy"], scores]).astype(np.float64)
    found[~visible, :2] = np.nan
    if own == list(names):
        return found
    order = [own.index(name) for name in names]
    return found[order]


def save(
    path: Path,
    skeleton: Skeleton,
    frames: Sequence[Frame],
    animals: Sequence[Sequence[Animal]],
    *,
    name: str,
    suggested: Collection[int] = (),
    negative: Collection[int] = (),
    lengths: Mapping[Path, int] | None = None,
    provenance: str = "",
) -> Path:
    """Writes a .slp file whole or not at all, and returns its path. Raises InputError without the
    extra kpjax[sleap].

    animals: Of each frame. A frame without any is written empty, unless it is only suggested. name:
    Of the skeleton.
    suggested: Numbers of the frames that are suggested to be labelled. negative: Of those that are
    known to show no animal. lengths: Number of frames of
    videos by path, where known. provenance: What predicted the points.
    """
    sio = library()
    names = skeleton.names
    nodes = sio.Skeleton(nodes=list(names), name=name)
    for a, b in skeleton.edges:
        nodes.add_edge(names[a], names[b])
    for a, b in enumerate(skeleton.flip):
        if a < b:
            nodes.add_symmetry(names[a], names[b])
    tracks = {}
    for one in itertools.chain(*animals):
        if one.track and one.track not in tracks:
            tracks[one.track] = sio.Track(one.track)
    videos, at = _sio_videos(sio, frames, lengths or {})
    unlabelled = set(suggested)

    def instance(one: Animal) -> Any:
        track = tracks.get(one.track)
        if one.scores is None:
            return sio.Instance.from_numpy(one.points, skeleton=nodes, track=track)
        score = float(one.scores.mean()) if len(one.scores) else 0.0
        return sio.PredictedInstance.from_numpy(
            one.points, nodes, point_scores=one.scores, score=score, track=track
        )

    labelled = []
    for number, of_frame in enumerate(animals):
        if of_frame or number not in unlabelled:
            instances = [instance(one) for one in of_frame]
            is_negative = number in negative
            frame = sio.LabeledFrame(*at[number], instances, is_negative=is_negative)
            labelled.append(frame)
    labels = sio.Labels(
        labelled,
        videos=videos,
        skeletons=[nodes],
        tracks=list(tracks.values()),
        suggestions=[sio.SuggestionFrame(*at[number]) for number in suggested],
        provenance={"predicted by": provenance} if provenance else {},
    )
    with atomic(path) as partial:
        sio.save_slp(labels, str(partial), embed=False, verbose=False)
    return path


def _sio_videos(
    sio: ModuleType, frames: Sequence[Frame], lengths: Mapping[Path, int]
) -> tuple[list[Any], dict[int, tuple[Any, int]]]:
    """Returns the videos of frames, none of them opened, and each frame's video and number.

    Images of one session and size become one video, a list of images.
    """
    groups: dict[tuple, list[int]] = {}
    for number, frame in enumerate(frames):
        key = (frame.session, frame.size) if frame.number is None else (frame.path,)
        groups.setdefault(key, []).append(number)
    videos = []
    at = {}
    for members in groups.values():
        first = frames[members[0]]
        width, height = first.size
        of_image = {number: frames[number].path.absolute().as_posix() for number in members}
        paths = list(dict.fromkeys(of_image.values()))
        metadata: dict[str, Any] = {"filename": paths[0], "grayscale": False}
        count = len(paths) if first.number is None else lengths.get(first.path)
        if count is not None:
            metadata["shape"] = [count, height, width, 3]
        if first.number is None:
            sides = {"height_": height, "width_": width, "channels_": 3}
            metadata |= {"type": "ImageVideo", "filenames": paths, **sides}
        else:
            metadata |= {"type": "MediaVideo", "bgr": True, "dataset": "", "input_format": ""}
        name = paths if first.number is None else paths[0]
        video = sio.Video(filename=name, backend_metadata=metadata, open_backend=False)
        videos.append(video)
        place = {path: number for number, path in enumerate(paths)}
        for member, path in of_image.items():
            number = frames[member].number
            at[member] = video, place[path] if number is None else number
    return videos, at


class _Video(NamedTuple):
    name: str
    path: Path | None  # None if every frame is an image file
    images: Mapping[int, Path]
    size: tuple[int, int] = (0, 0)  # as stored, of a video file
    length: int = 0  # its frames, as stored


def files_of(path: Path) -> list[Path]:
    """Returns the files at a path, or in the folder that it is, that sleap-io reads and that may have
    labels.
    """
    return [
        file for file in shown_files(path, "*.slp", "*.nwb") if kind_of(file) not in ("", "csv")
    ]


def _videos(
    file: Path, labels: Any, used: Sequence[Any], video_root: Path | None, report: Report
) -> dict[int, _Video]:
    """Locates each video, by its id; the path of one that is not found does not exist."""
    videos = {}
    names = {}
    for number, video in enumerate(labels.videos):
        stored = video.filename
        facts = dict(video.backend_metadata)
        source = video.source_video
        if facts.get("crop"):
            report.fault(f"video {number} is a crop of another; label and save the whole video")
        if isinstance(stored, list):
            images = dict(enumerate(_find(file, path, video_root) for path in stored))
            videos[id(video)] = _Video("", None, images)
            continue
        # what sleap-io alone decodes
        if facts.get("dataset") or Path(stored).suffix.lower() in (".tif", ".tiff"):
            of = source.filename if source is not None else None
            name = PurePosixPath(forward(of)).name if isinstance(of, str) else f"video{number}"
            wanted = sorted({int(one.frame_idx) for one in used if one.video is video})
            images = _embedded_images(file, number, video, wanted, report)
            found = _Video(name, None, images)
            key = number
        else:
            path = _find(file, stored, video_root)
            shape = tuple(facts.get("shape") or ())
            found = _Video(path.name, path, {})
            if len(shape) == 4 and all(shape):
                frames, height, width, _ = shape
                found = _Video(path.name, path, {}, (width, height), int(frames))
            key = forward(stored)  # one video may be listed twice
        if names.setdefault(found.name, key) != key:
            found = found._replace(name=f"{number}-{found.name}")
        videos[id(video)] = found
    return videos


def _find(file: Path, stored: str, video_root: Path | None) -> Path:
    """Returns a stored path as found on this machine, or where it is expected."""
    beside = [file.parent, video_root] if video_root else [file.parent]
    found = found_by_trailing_parts(stored, beside)
    if found:
        return found
    above = list(file.absolute().parents)[1 : _FOLDERS_ABOVE + 1]
    found = found_by_trailing_parts(stored, above, least=2)
    return found or file.parent / forward(stored).lstrip("/")


def _embedded_images(
    file: Path, number: int, video: Any, frames: Sequence[int], report: Report
) -> dict[int, Path]:
    """Copies frames of the video `number` to missing PNG files in the cache folder. Raises InputError
    if one does not decode."""
    found = {}
    stat = file.stat()
    # a copy keeps the time of the content, and not that of the change
    times = f"{stat.st_mtime_ns} {stat.st_ctime_ns}"
    key = f"{file.resolve()} {stat.st_size} {times} {number}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    folder = cache_folder() / "sleap" / digest[:16]
    for frame in frames:
        path = folder / f"{frame:06d}.png"
        place = f"{file.name}: frame {frame} of video {number}"
        if not path.is_file():
            with foreign(place, "save the package again with SLEAP"):
                video.open_backend = True  # opens it on the first access
                image = np.asarray(video[frame])[..., :3]
            with atomic(path) as partial:
                Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3))).save(partial)
        found[frame] = path
    video.close()
    report.notes.append(f"{len(found)} images inside {file.name} were copied to {folder}")
    return found
