"""DeepLabCut projects of one or several animals: `config.yaml` and the tables under
`labeled-data/<video>/`.

Mathis et al., DeepLabCut: markerless pose estimation of user-defined body parts with deep learning,
Nature Neuroscience 2018; Lauer et al., Multi-animal pose estimation, identification and tracking
with DeepLabCut, Nature Methods 2022. Coordinates are those of the labelled images, which are crops
of their video where the config says so. They count from the centre of the first pixel: its
`labeling_toolbox.py` keeps the coordinates of matplotlib's axes, and napari-deeplabcut's `_writer.py`
those of napari, which moves images by half a pixel (`_vispy/layers/base.py`).
"""

import datetime
import importlib.util
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import av
import numpy as np
import yaml

from kpjax.errors import InputError
from kpjax.files import foreign, read_content, write_text
from kpjax.formats.names import (
    below,
    forward,
    found_by_trailing_parts,
    image_frames,
    only_file,
    shown_files,
    skeleton_of,
)
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Frame, Instance, Project, Report, animals_of, by_frame
from kpjax.formats.tables import (
    FOLDER,
    SCORER,
    Table,
    read_table,
    table_text,
    whole_number,
    write_h5,
)
from kpjax.images.reading import IMAGE_SUFFIXES, image_size
from kpjax.images.video import open_container

_CONFIG = "config.yaml"
_MULTI = "MULTI!"  # in place of the body parts in a project of several animals
SINGLE = "single"  # the individual with the body parts that an image has once
# Settings beyond labels that DeepLabCut expects: extraction of frames, drawing and training.
_SETTINGS = {
    "identity": False,
    "engine": "pytorch",
    "start": 0,
    "stop": 1,
    "numframes2pick": 20,
    "skeleton_color": "black",
    "pcutoff": 0.6,
    "dotsize": 12,
    "alphavalue": 0.7,
    "colormap": "rainbow",
    "TrainingFraction": [0.95],
    "iteration": 0,
    "default_net_type": "resnet_50",
    "default_augmenter": "default",
    "snapshotindex": -1,
    "detector_snapshotindex": -1,
    "batch_size": 8,
    "detector_batch_size": 1,
    "cropping": False,
    "x1": 0,
    "x2": 640,
    "y1": 0,
    "y2": 480,
    "corner2move2": [50, 50],
    "move2corner": True,
}


# The path of a video, and the parts of it, x1, x2, y1, y2, that images may show.
Recording = tuple[str, list[list[int]]]


class Config(NamedTuple):
    """The part of a config that concerns labels."""

    parts: tuple[str, ...]  # names of every animal's parts: the keypoints of a project, in order
    #: names that an image has once: points of the frame, no keypoints of an animal
    unique: tuple[str, ...]
    individuals: tuple[str, ...]  # () in a project of one animal
    pairs: tuple[tuple[str, str], ...]  # body parts joined by an edge
    scorer: str
    videos: Mapping[str, Recording] = {}  # by their stems


def projects_at(path: Path) -> list[Path]:
    """Returns the folders of projects at a path: itself, the one of its config.yaml, the one that it
    lies in with its table or images, or those in a folder.
    """
    folder = path.parent if path.name == _CONFIG else path
    for one in (path, *path.parents[:2]):
        if one.name == FOLDER:
            folder = one.parent
            break
    labels = [folder / FOLDER, *sorted(folder.glob(f"[!.]*/{FOLDER}"))]
    homes = [one.parent for one in labels if one.is_dir()]
    configs = [home / _CONFIG for home in homes]
    found = [one.parent for one in configs if one.is_file() and not of_lightning_pose(one)]
    return [folder] if folder in found else found


def of_lightning_pose(config: Path) -> bool:
    """Returns whether a config.yaml is Lightning Pose's, which has the sections data and model."""
    keys = re.findall(rb"^[\"']?(\w+)[\"']?\s*:", read_content(config), re.MULTILINE)
    return {b"data", b"model"} <= {*keys} or {b"data", b"training"} <= {*keys}


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads a project. Frames are the rows of its tables in order, followed by the images that no
    table lists.

    Empty cells are unlabelled points. Keypoints are in the order of the config. Body parts that an
    image has once are points of the frame and not of an animal: they are left out, with a note. The
    track of an instance is the name of its individual. Of the tables of a video, that of the
    config's scorer is read. An .h5 table is read only where there is no csv, with the extra
    kpjax[dlc].
    """
    roots = projects_at(path)
    root, notes = only_file(path, roots, "DeepLabCut projects"), report.notes
    config = _read_config(root / _CONFIG, report)
    frames, instances = [], []
    for file in _tables_of(root, config.scorer, notes):
        label = report.at(_label(file))
        if (table := _read_table(file, config, label)) is None:
            continue
        of_frame = np.isin([part for _, part in table.points], config.unique)
        points = tuple(itertools.compress(table.points, ~of_frame))
        # Rows may have whole paths of another machine. Where the folder was renamed, images lie
        # beside the table.
        keys = [
            "/".join((FOLDER, *(file.parent.name, *str(key).split("/"))[-2:])) for key in table.keys
        ]
        found = [
            frame._replace(session=frame.path.parent.name)
            for frame in image_frames(keys, root, [root, file.parent])
        ]
        table = table._replace(points=points, values=table.values[:, ~of_frame])
        add_rows(table, found, config.parts, frames, instances, label)
    if config.unique:
        notes.append(
            f"{len(config.unique)} unique body parts ({', '.join(config.unique)}) are "
            "points of the image and of no animal: left out"
        )
    known, listed = {frame.path for frame in frames}, len(frames)
    doubts: list[str] = []
    for video in _videos_of(root):
        images = _images_in(video)
        if not video.name.endswith("_labeled"):  # DeepLabCut's copies with the points drawn on them
            frames += [
                Frame(below(image, root), image, session=video.name)
                for image in images
                if image not in known
            ]
        doubts += _video_doubts(root, video.name, images, config)
    if len(frames) > listed:
        notes.append(
            f"{len(frames) - listed} images are in no table: kept as images without labels"
        )
    edges = [(config.parts.index(a), config.parts.index(b)) for a, b in config.pairs]
    skeleton = skeleton_of(config.parts, edges, None, report.at(_CONFIG))
    return Project(root, "deeplabcut", skeleton, frames, instances, doubts=doubts)


def _images_in(folder: Path) -> list[Path]:
    return [file for file in shown_files(folder, "*") if file.suffix.lower() in IMAGE_SUFFIXES]


def _video_doubts(root: Path, name: str, images: Sequence[Path], config: Config) -> Iterator[str]:
    """Yields lines about a video that shows more than the images of its folder do, or that has changed
    since they were taken from it: what its file's header says against the config and the names of
    images, which end in the number of their frame.
    """
    stored, crops = config.videos.get(name, (f"videos/{name}.mp4", []))
    if not images:
        return
    try:
        size = whole = image_size(images[0])
        frames = 0
        if video := found_by_trailing_parts(stored, [root]):
            with open_container(video) as container:
                stream = container.streams.video[0]
                whole, frames = (stream.width, stream.height), stream.frames
    except (InputError, av.FFmpegError, IndexError, OSError):  # whoever reads the file says so
        return
    crop = next((one for one in crops if (one[1] - one[0], one[3] - one[2]) == size), ())
    shown = f"{size[0]}x{size[1]}"
    if crop and (crop[0] or crop[2] or sorted(whole) != sorted(size)):
        stated = ",".join(map(str, crop))
        yield (
            f"{name}: its {shown} images are a crop of the video, by {_CONFIG}; predict the video with --crop "
            f"{stated}"
        )
    elif sorted(whole) != sorted(size):
        yield (
            f"{name}: its images are {shown}, and the video is {whole[0]}x{whole[1]}: it was changed after "
            "labelling; restore it to predict it"
        )
    numbers = [int(found[0]) for file in images if (found := re.findall(r"\d+$", file.stem))]
    if frames and max(numbers, default=0) >= frames:
        yield (
            f"{name}: an image is called after frame {max(numbers)}, and the video has {frames} frames: it was "
            "changed after labelling"
        )


def _videos_in(content: Mapping[str, Any]) -> dict[str, Recording]:
    """Returns the videos of a config: each may have a crop of its own, and all have that of the
    config where it says `cropping`."""
    stated, videos = content.get("video_sets"), {}
    of_all = ",".join(str(content.get(side)) for side in ("x1", "x2", "y1", "y2"))
    for path, facts in stated.items() if isinstance(stated, dict) else ():
        texts = [str(facts.get("crop", "")) if isinstance(facts, dict) else ""]
        texts += [of_all] if content.get("cropping") else []
        crops = [[whole_number(one.strip()) for one in text.split(",")] for text in texts]
        crops = [crop for crop in crops if len(crop) == 4 and None not in crop]
        videos[PurePosixPath(forward(str(path))).stem] = str(path), crops
    return videos


def write(project: Project, folder: Path) -> list[Path]:
    """Writes config.yaml and a table for every folder of images, and returns their paths.

    The images have to be in `labeled-data/<video>/` of the project already; unlabelled ones are in
    no table. Tables are written as csv and, with the extra kpjax[dlc], as .h5. The config has each
    video in the folder `videos`.
    """
    config, owners = _config_for(project)
    individuals = config.individuals or ("",)
    points = tuple((name, part) for name in individuals for part in config.parts)
    of_frame: dict[int, dict[str, np.ndarray]] = {}
    for instance, individual in zip(project.instances, owners, strict=True):
        of_frame.setdefault(instance.frame, {})[individual] = instance.keypoints
    rows, sizes, empty = {}, {}, np.full((len(config.parts), 2), np.nan)
    for number, frame in enumerate(project.frames):
        image = PurePosixPath(frame.name)
        video = image.parent.name
        sizes.setdefault(f"{project.root.as_posix()}/videos/{video}.mp4", frame.size)
        if found := of_frame.get(number):
            values = np.concatenate([found.get(name, empty) for name in individuals])
            rows.setdefault(video, {})[f"{FOLDER}/{video}/{image.name}"] = values
    written = [write_text(folder / _CONFIG, config_text(config, project.root, sizes))]
    for video, labelled in rows.items():
        keys = tuple(sorted(labelled))
        values = np.array([labelled[key] for key in keys], np.float64)
        table = Table(config.scorer, points, ("x", "y"), keys, values)
        path = folder / FOLDER / video / f"CollectedData_{config.scorer}.csv"
        written += write_table(table, path)
    return written


def write_table(table: Table, path: Path) -> list[Path]:
    """Writes a table of images as csv and, if pandas and tables are installed, as .h5 beside it.

    Returns the paths.
    """
    written = [write_text(path, table_text(table, 3))]
    if all(importlib.util.find_spec(module) for module in ("pandas", "tables")):
        written.append(write_h5(table, path.with_suffix(".h5"), 3))
    return written


def config_text(config: Config, root: Path, videos: Mapping[str, tuple[int, int]]) -> str:
    """Formats config.yaml, with DeepLabCut's first settings beyond labels.

    videos: width and height of each by path.
    """
    several = bool(config.individuals)
    content = {
        "Task": root.name,
        "date": datetime.date.today().strftime("%b%d"),
        **_SETTINGS,
        "video_sets": {
            path: {"crop": f"0, {width}, 0, {height}"} for path, (width, height) in videos.items()
        },
        "scorer": config.scorer,
        "multianimalproject": several,
        "project_path": str(root),
        "bodyparts": _MULTI if several else list(config.parts),
        "skeleton": [list(pair) for pair in config.pairs],
    }
    if several:
        content |= {
            "multianimalbodyparts": list(config.parts),
            "uniquebodyparts": [],
            "individuals": list(config.individuals),
        }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _read_config(file: Path, report: Report) -> Config:
    with foreign(file.name, "correct it in an editor"):
        content = yaml.safe_load(read_content(file).decode("utf-8-sig"))
        several = content.get("bodyparts") == _MULTI or bool(content.get("multianimalproject"))
        parts = _names(content, "multianimalbodyparts" if several else "bodyparts")
        individuals = _names(content, "individuals") if several else ()
        unique = several and content.get("uniquebodyparts")
        unique = _names(content, "uniquebodyparts") if unique else ()
        pairs = [tuple(map(str, line)) for line in content.get("skeleton") or []]
        kept = tuple(pair for pair in pairs if len(pair) == 2 and set(pair) <= set(parts))
        videos = _videos_in(content)
    if both := sorted(set(parts) & set(unique)):
        raise InputError(
            f"{file.name}: {both[0]} is among multianimalbodyparts and uniquebodyparts; keep one"
        )
    if len(kept) < len(pairs):
        report.notes.append(
            f"{file.name}: {len(pairs) - len(kept)} of {len(pairs)} edges join no two body parts, dropped"
        )
    return Config(parts, unique, individuals, kept, str(content.get("scorer") or ""), videos)


def _names(content: Mapping[str, Any], field: str) -> tuple[str, ...]:
    found = content.get(field)
    if not found or not isinstance(found, list):
        raise InputError(
            f"{_CONFIG}, {field}: {found!r:.200} where a list of names belongs; correct it"
        )
    return tuple(map(str, found))


def _config_for(project: Project) -> tuple[Config, list[str]]:
    """Returns the config of a project of any format, and the name of the individual for each
    instance.
    """
    names = project.skeleton.names
    tracks = list(dict.fromkeys(one.track for one in project.instances if one.track))
    of_frames = by_frame(project)
    several = len(tracks) > 1 or max(map(len, of_frames), default=0) > 1
    owners = []
    taken = [{one.track for one in found} for found in of_frames]
    for one in project.instances:
        used = taken[one.frame]
        free = (name for n in itertools.count(1) if (name := f"individual{n}") not in used)
        owners.append((one.track or next(free)) if several else "")
        used.add(owners[-1])
    named = sorted(
        dict.fromkeys([*tracks, *owners]), key=lambda name: name.startswith("individual")
    )
    pairs = tuple((names[a], names[b]) for a, b in project.skeleton.edges)
    return Config(names, (), tuple(named if several else ()), pairs, SCORER), owners


def _videos_of(root: Path) -> list[Path]:
    return sorted(path for path in (root / FOLDER).glob("[!.]*") if path.is_dir())


def _tables_of(root: Path, scorer: str, notes: list[str]) -> list[Path]:
    """Returns the label table of each video: csv, or .h5 in folders without one; of several that of
    the scorer.
    """
    found = []
    for video in _videos_of(root):
        kinds = (shown_files(video, f"CollectedData_*.{kind}") for kind in ("csv", "h5"))
        tables = next(filter(None, kinds), [])
        mine = [table for table in tables if table.stem == f"CollectedData_{scorer}"]
        found += mine or tables
        if scorer and (others := [table for table in tables if table not in mine]):
            said = "not read" if mine else "read, since there is no table of theirs"
            notes.append(f"{', '.join(map(_label, others))}: by another scorer, and {said}")
    return found


def _label(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _read_table(file: Path, config: Config, report: Report) -> Table | None:
    """Returns a table of labels; None, with a fault, for one that cannot be read or is of other
    animals or parts.
    """
    try:
        table = read_table(file, report)
    except InputError as error:
        report.faults.append(str(error))
        return None
    names = config.individuals
    unknown = sorted({part for _, part in table.points} - {*config.parts, *config.unique})
    strangers = sorted({one for one, _ in table.points} - {*(names or [""]), SINGLE})
    misfit = ""
    if table.coordinates != ("x", "y"):
        misfit = f"labels have no column {table.coordinates[2]}; predictions train nothing, remove the file"
    elif unknown:
        misfit = f"body part {unknown[0]!r} is unknown; {_CONFIG} has {', '.join(config.parts + config.unique)}"
    elif strangers:
        known = ", ".join(names) or "nothing"
        misfit = f"header row individuals: {strangers[0]!r} where {known} belongs; correct it"
    if misfit:
        report.fault(misfit)
        return None
    return table


def add_rows(
    table: Table,
    found: Sequence[Frame],
    names: Sequence[str],
    frames: list[Frame],
    instances: list[Instance],
    report: Report,
) -> None:
    """Adds the frame of every row and an instance for every labelled individual on it.

    found: of the rows. names: keypoints in their order.
    """
    for frame, values in zip(found, table.values, strict=True):
        points = ((*point, value[:2]) for point, value in zip(table.points, values, strict=True))
        animals = animals_of(len(frames), points, names, report)
        instances += [one._replace(track=own) for own, one in animals.items() if one.seen.any()]
        frames.append(frame)
