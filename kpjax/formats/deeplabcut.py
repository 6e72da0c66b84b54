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
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import av
import numpy as np
import yaml

from kpjax.errors import InputError, count_text, summarise
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
    """Returns whether a config.yaml is Lightning Pose's, which has the section data and no names of
    body parts of its own."""
    keys = re.findall(rb"^[\"']?(\w+)[\"']?\s*:", read_content(config), re.MULTILINE)
    return b"data" in keys and not {b"bodyparts", b"multianimalbodyparts"} & {*keys}


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads a project. Frames are the rows of its tables in order, followed by the images that no
    table lists.

    Empty cells are unlabelled points. Keypoints are in the order of the config. Body parts that an
    image has once are points of the frame and not of an animal: they are left out, with a note. The
    track of an instance is the name of its individual. Of the tables of a video, that of the
    config's scorer is read. Of a csv and an .h5 of one name it is the .h5, which DeepLabCut reads,
    if the extra kpjax[dlc] is installed; a doubt says where they differ.
    """
    roots = projects_at(path)
    root = only_file(path, roots, "DeepLabCut projects")
    notes = report.notes
    config = _read_config(root / _CONFIG, report)
    frames = []
    instances = []
    doubts: list[str] = []
    for files in _tables_of(root, config.scorer, doubts):
        label = report.at(_label(files[0]))
        file, table = _read_tables(files, config, label, doubts)
        if table is None:
            continue
        # Rows may have whole paths of another machine. Where the folder was renamed, images lie
        # beside the table.
        keys = []
        for key in table.keys:
            parts = [file.parent.name, *str(key).split("/")]
            keys.append("/".join([FOLDER, *parts[-2:]]))
        found = [
            frame._replace(session=frame.path.parent.name)
            for frame in image_frames(keys, root, [root, file.parent])
        ]
        table = table.with_points([part not in config.unique for _, part in table.points])
        add_rows(table, found, config.parts, frames, instances, label)
    if config.unique:
        notes.append(
            f"{len(config.unique)} unique body parts ({', '.join(config.unique)}) are "
            "points of the image and of no animal: left out"
        )
    known = {frame.path for frame in frames}
    listed = len(frames)
    for video in _videos_of(root):
        images = _images_in(video)
        if not video.name.endswith("_labeled"):  # DeepLabCut's copies with the points drawn on them
            for image in images:
                if image not in known:
                    frames.append(Frame(below(image, root), image, session=video.name))
        doubts += _video_doubts(root, video.name, images, config)
    if len(frames) > listed:
        notes.append(
            f"{len(frames) - listed} images are in no table: kept as images without labels"
        )
    edges = [(config.parts.index(a), config.parts.index(b)) for a, b in config.pairs]
    skeleton = skeleton_of(config.parts, edges, None, report.at(_CONFIG))
    unlisted = frozenset(range(listed, len(frames)))
    return Project(
        root, "deeplabcut", skeleton, frames, instances, doubts=doubts, unlisted=unlisted
    )


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
    shown = f"{size[0]}x{size[1]}"
    is_whole = sorted(whole) == sorted(size)
    crop: tuple[int, ...] = ()
    for x1, x2, y1, y2 in crops:
        if (x2 - x1, y2 - y1) == size:
            crop = (x1, x2, y1, y2)
            break
    if crop and (crop[0] or crop[2] or not is_whole):
        stated = ",".join(map(str, crop))
        yield (
            f"{name}: its {shown} images are a crop of the video, by {_CONFIG}; predict the video with --crop "
            f"{stated}"
        )
    elif not is_whole:
        yield (
            f"{name}: its images are {shown}, and the video is {whole[0]}x{whole[1]}: it was changed after "
            "labelling; restore it to predict it"
        )
    numbers = []
    for file in images:
        at_the_end = re.search(r"\d+$", file.stem)
        if at_the_end:
            numbers.append(int(at_the_end[0]))
    last = max(numbers, default=0)
    if frames and last >= frames:
        yield (
            f"{name}: an image is called after frame {last}, and the video has {frames} frames: it was "
            "changed after labelling"
        )


def _videos_in(content: Mapping[str, Any]) -> dict[str, Recording]:
    """Returns the videos of a config: each may have a crop of its own, and all have that of the
    config where it says `cropping`."""
    stated = content.get("video_sets")
    if not isinstance(stated, dict):
        return {}
    of_all = ",".join(str(content.get(side)) for side in ("x1", "x2", "y1", "y2"))
    videos = {}
    for path, facts in stated.items():
        texts = []
        if isinstance(facts, dict):
            texts.append(str(facts.get("crop", "")))
        if content.get("cropping"):
            texts.append(of_all)
        crops = []
        for text in texts:
            crop = [whole_number(one.strip()) for one in text.split(",")]
            if len(crop) == 4 and None not in crop:
                crops.append(crop)
        stem = PurePosixPath(forward(str(path))).stem
        videos[stem] = (str(path), crops)
    return videos


def write(project: Project, folder: Path) -> list[Path]:
    """Writes config.yaml and a table for every folder of images, and returns their paths.

    The images, of one animal each, have to be in `labeled-data/<video>/` of the project already;
    unlabelled ones are in no table. Tables are written as csv and, with the extra kpjax[dlc], as .h5.
    The config has each video in the folder `videos`.
    """
    names = project.skeleton.names
    pairs = tuple((names[a], names[b]) for a, b in project.skeleton.edges)
    config = Config(names, (), (), pairs, SCORER)
    rows = {}
    sizes = {}
    for frame, found in zip(project.frames, by_frame(project), strict=True):
        video = PurePosixPath(frame.name).parent.name
        sizes[f"{project.root.as_posix()}/videos/{video}.mp4"] = frame.size
        if found:
            rows.setdefault(video, {})[frame.name] = found[0].keypoints
    written = [write_text(folder / _CONFIG, config_text(config, project.root, sizes))]
    for video, labelled in rows.items():
        keys = tuple(sorted(labelled))
        values = np.array([labelled[key] for key in keys], np.float64)
        table = Table(SCORER, tuple(("", name) for name in names), ("x", "y"), keys, values)
        path = folder / FOLDER / video / f"CollectedData_{SCORER}.csv"
        written += write_table(table, path)
    return written


def missing_for_h5() -> list[str]:
    """Returns a line that says that tables are written as csv alone and what writes them as .h5,
    which DeepLabCut opens; none where that is installed."""
    if all(importlib.util.find_spec(module) for module in ("pandas", "tables")):
        return []
    return [
        "DeepLabCut opens .h5, and none is written beside the csv: pip install 'kpjax[dlc]', and repeat this "
        "into a new folder"
    ]


def write_table(table: Table, path: Path) -> list[Path]:
    """Writes a table of images as csv and, if pandas and tables are installed, as .h5 beside it.

    Returns the paths.
    """
    written = [write_text(path, table_text(table, 3))]
    if not missing_for_h5():
        written.append(write_h5(table, path.with_suffix(".h5"), 3))
    return written


def config_text(config: Config, root: Path, videos: Mapping[str, tuple[int, int]]) -> str:
    """Formats config.yaml, with DeepLabCut's first settings beyond labels.

    videos: width and height of each by path.
    """
    several = bool(config.individuals)
    crops = {path: {"crop": f"0, {width}, 0, {height}"} for path, (width, height) in videos.items()}
    content = {
        "Task": root.name,
        "date": datetime.date.today().strftime("%b%d"),
        **_SETTINGS,
        "video_sets": crops,
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
    stored = read_content(file)
    with foreign(file.name, "correct it in an editor"):
        try:
            text = stored.decode("utf-8-sig")
        except UnicodeDecodeError:  # DeepLabCut on Windows writes paths in the system's own letters
            text = stored.decode("cp1252")
            report.notes.append(f"{file.name}: not UTF-8, and read as Windows-1252")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError(
                "it has YAML aliases (*name), which a few lines can multiply without end"
            )
        content = yaml.safe_load(text)
        several = content.get("bodyparts") == _MULTI or bool(content.get("multianimalproject"))
        individuals: tuple[str, ...] = ()
        unique: tuple[str, ...] = ()
        if several:
            parts = _names(content, "multianimalbodyparts")
            individuals = _names(content, "individuals")
            if content.get("uniquebodyparts"):
                unique = _names(content, "uniquebodyparts")
        else:
            parts = _names(content, "bodyparts")
        pairs = [tuple(map(str, line)) for line in content.get("skeleton") or []]
        kept = tuple(pair for pair in pairs if len(pair) == 2 and set(pair) <= set(parts))
        videos = _videos_in(content)
    both = sorted(set(parts) & set(unique))
    if both:
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


def _videos_of(root: Path) -> list[Path]:
    return sorted(path for path in (root / FOLDER).glob("[!.]*") if path.is_dir())


def _tables_of(root: Path, scorer: str, doubts: list[str]) -> list[list[Path]]:
    """Returns the files of the label tables of each video, csv and .h5 of one name together; of
    several tables that of the scorer.
    """
    found = []
    for video in _videos_of(root):
        tables: dict[str, list[Path]] = {}
        for file in shown_files(video, "CollectedData_*.csv", "CollectedData_*.h5"):
            tables.setdefault(file.stem, []).append(file)
        mine = tables.pop(f"CollectedData_{scorer}", None)
        others = [files[0] for files in tables.values()]
        found += [mine] if mine else tables.values()
        if scorer and others:
            said = "not read" if mine else "read, since there is no table of theirs"
            doubts.append(
                f"{', '.join(map(_label, others))}: by another scorer than {scorer} of {_CONFIG}, and {said}"
            )
    return found


def _read_tables(
    files: Sequence[Path], config: Config, report: Report, doubts: list[str]
) -> tuple[Path, Table | None]:
    """Returns a table of labels and its file, the .h5 of two of one name; None, with a fault, if it
    cannot be read."""
    *others, file = sorted(files, key=lambda one: one.suffix.lower() == ".h5")
    if others and missing_for_h5():
        file = others.pop()
        report.notes.append(
            f"{_label(file)}: the .h5 beside it is not read; pip install 'kpjax[dlc]'"
        )
    table = _read_table(file, config, report.at(_label(file)))
    if table is None:
        return file, None
    if file.stem == f"CollectedData_{config.scorer}" and table.scorer not in ("", config.scorer):
        doubts.append(
            f"{_label(file)}: its header names the scorer {table.scorer}, and {_CONFIG} {config.scorer}; DeepLabCut "
            "reads no label of another one"
        )
    named = {part for _, part in table.points}
    unnamed = [part for part in config.parts if part not in named]
    if unnamed:
        doubts.append(
            f"{_label(file)}: its header lacks {', '.join(unnamed)} of {_CONFIG}: not labelled there"
        )
    for one in others:
        unheard = Report("", [], [])
        other = _read_table(one, config, unheard)
        said = _difference(table, other) if other else summarise(unheard.faults, 1)
        if said:
            doubts.append(
                f"{_label(one)} and the .h5 beside it differ: {said}; the .h5 is read, as DeepLabCut reads it; delete "
                "the one that is old"
            )
    return file, table


def _difference(table: Table, other: Table) -> str:
    """Returns how the labels of an .h5 differ from those of the csv beside it, "" if both say the same
    to a thousandth of a pixel."""
    mine, theirs = _labels_in(table), _labels_in(other)
    both = mine.keys() & theirs.keys()
    apart = [float(np.linalg.norm(mine[key] - theirs[key])) for key in both]
    moved = [distance for distance in apart if distance > 1e-3]
    said = []
    if moved:
        said.append(
            f"{len(moved)} of {len(both)} labels lie elsewhere, {np.median(moved):.1f} px apart (median)"
        )
    for file, alone in ((".h5", mine.keys() - theirs), ("csv", theirs.keys() - mine)):
        if alone:
            images = len({image for image, *_ in alone})
            said.append(
                f"{len(alone)} labels on {count_text(images, 'image')} are in the {file} alone"
            )
    return ", ".join(said)


def _labels_in(table: Table) -> dict[tuple[str, ...], np.ndarray]:
    """Returns (x, y) of the labelled points, by image, individual and body part."""
    found = {}
    for key, values in zip(table.keys, table.values, strict=True):
        image = PurePosixPath(str(key)).name
        for point, value in zip(table.points, values, strict=True):
            if not np.isnan(value[:2]).any():
                found[image, *point] = value[:2]
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
    # A person's table keeps the likelihood of machine labels that were refined.
    if "likelihood" in table.coordinates and file.stem == f"CollectedData_{table.scorer}":
        report.notes.append(f"{_label(file)}: likelihood of refined machine labels, left out")
        table = table._replace(coordinates=("x", "y"), values=table.values[..., :2])
    names = config.individuals
    parts = {part for _, part in table.points}
    individuals = {individual for individual, _ in table.points}
    unknown = sorted(parts - {*config.parts, *config.unique})
    if unknown and {*config.parts, *config.unique} <= parts:
        # As in DeepLabCut, what was taken out of the config is not read.
        report.notes.append(f"{_label(file)}: {', '.join(unknown)}: not in {_CONFIG}, and left out")
        table = table.with_points([part not in unknown for _, part in table.points])
        unknown = []
    strangers = sorted(individuals - {*(names or [""]), SINGLE})
    misfit = ""
    if table.coordinates != ("x", "y"):
        misfit = f"labels have no column {table.coordinates[2]}; predictions are not labels, remove the file"
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
        points = []
        for (individual, part), value in zip(table.points, values, strict=True):
            points.append((individual, part, value[:2]))
        animals = animals_of(len(frames), points, names, report)
        for individual, one in animals.items():
            if one.seen.any():
                instances.append(one._replace(track=individual))
        frames.append(frame)
