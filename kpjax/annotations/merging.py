"""Labels that come back from a labelling tool, or from another person, merged into the project that they belong to.

The project stays where it is and what it is: its tables get rows, with its own scorer and order of keypoints, and its
folders get the images that it lacks. Each file that changes is kept beside it, as `<name>.before_merge`.
"""
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml
from PIL import Image

from kpjax.annotations import coco, deeplabcut, lightning_pose, plain_csv, sleap
from kpjax.annotations.checking import at_one_place, compare
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.annotations.project_source import read_frame
from kpjax.annotations.reading import read_project
from kpjax.annotations.tables import FOLDER
from kpjax.annotations.writing import IN_FOLDERS, NAMES_VIDEOS, WRITERS, Copy, make_images, unused
from kpjax.errors import InputError, RunError, summarise
from kpjax.file_names import portable
from kpjax.files import atomic, cache_folder, partial_path, read_content, remove, writing
from kpjax.images.video import VIDEO_SUFFIXES

BACKUP = ".before_merge"
_ALIKE = 4.0  # grey levels: the mean difference up to which two images of one name and size are one, saved twice
_SIDE = 32  # px, at which they are compared
Conflicts = Literal["stop", "old", "new"]


class Merged(NamedTuple):
    """A project with the labels of another one."""

    project: Project  # in the old one's place, with frames where `write_merged` puts them
    copies: tuple[Copy, ...]  # images that the old one lacks
    added: tuple[str, ...]  # names of the frames that are labelled now and were not
    replaced: tuple[str, ...]  # those whose labels are the new project's now
    kept: tuple[str, ...]  # those labelled in both, whose old labels stay
    same: int  # frames with the same labels in both


def merged(old: Project, new: Project, *, conflicts: Conflicts = "stop") -> Merged:
    """Adds the labels of a project to another one. Nothing is written.

    A frame is the same in both if it is the same file, or the same frame of a video of that name (`img0123.png` in a
    folder `<video>` is frame 123), or an image of the same name and folder, and looks alike. Keypoints are matched by
    name; those that the new project lacks are not labelled on its frames.

    conflicts: what becomes of frames that are labelled in both, and differently: "old" and "new" keep one of the two
    labels, "stop" raises.

    Raises InputError for a keypoint that the old project lacks, for conflicts, and for no frame with labels.
    """
    if unknown := [name for name in new.skeleton.names if name not in old.skeleton.names]:
        raise InputError(f"{new.root}: keypoint {unknown[0]!r} is unknown; {old.root} has "
                         f"{', '.join(old.skeleton.names)}")
    coming: dict[int, list[Instance]] = {}
    for one in new.instances:
        coming.setdefault(one.frame, []).append(_in_order(one, new.skeleton.names, old.skeleton.names))
    if not coming:
        raise InputError(f"{new.root}: no frame is labelled; label some and save")
    there: dict[int, list[Instance]] = {}
    for one in old.instances:
        there.setdefault(one.frame, []).append(one)
    twins, place = _Twins(old), _Places(old)
    frames, copies = list(old.frames), []
    added, replaced, kept, clashes, same = [], [], [], [], 0
    for number, instances in coming.items():
        frame = new.frames[number]
        twin = twins.of(frame)
        if twin is None:
            twin = len(frames)
            placed = place.of(frame)
            frames.append(placed)
            if placed.number is None:
                copies.append(Copy(frame, placed.name))
        name = frames[twin].name
        if twin not in there:
            added.append(name)
        elif _equal(there[twin], instances):
            same += 1
            continue
        else:
            clashes.append(name)
            (replaced if conflicts == "new" else kept).append(name)
            if conflicts != "new":
                continue
        there[twin] = [one._replace(frame=twin) for one in instances]
    if clashes and conflicts == "stop":
        raise InputError("conflicts", f"{len(clashes)} frames have other labels in {old.root} than in {new.root}: "
                                      f"{summarise(clashes)}; choose old or new")
    whole = tuple(one for number in sorted(there) for one in there[number])
    return Merged(old._replace(frames=tuple(frames), instances=whole), tuple(copies), tuple(added), tuple(replaced),
                  tuple(kept), same)


def write_merged(old: Project, found: Merged, path: Path) -> list[Path]:
    """Writes labels and images into the old project, reads it back, and returns the files that changed.

    path: by which the old project was read. Raises InputError for a project of several files or with images inside its
    file; RunError, after everything is as it was, if the project does not read back as it should.
    """
    root = old.root
    texts = _files_of(old, found, Path(path))
    partial = partial_path(root / "merge")
    shutil.rmtree(partial, ignore_errors=True)
    made: list[Path] = []
    backups: dict[Path, Path] = {}
    try:
        make_images(list(found.copies), partial)
        written = texts(partial / "labels")
        with writing(root):
            for copy in found.copies:
                target = root / copy.name
                target.parent.mkdir(parents=True, exist_ok=True)
                (partial / copy.name).replace(target)
                made.append(target)
            for target, source in written.items():
                for stale in [*_tables_beside(target, old.format), target]:
                    if stale.exists() and stale not in backups and stale not in made:
                        backups[stale] = _backup(stale)
                        stale.replace(backups[stale])
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
                made.append(target)
        again = compare(found.project, read_project(path))
        if again.wrong:
            raise RunError(f"{path}: the merged project would not read back as it should: {summarise(again.wrong)}; "
                           "nothing was changed; report this")
    except BaseException:
        for target in made:
            remove(target)
        for target, backup in backups.items():
            backup.replace(target)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return list(written)


# Which frames are the same

def _key(frame: Frame) -> tuple[str, str | int]:
    """Returns the video and number of a frame, or the folder and the name of an image."""
    if frame.number is not None:
        return frame.path.stem, frame.number
    folder, numbered = _without_ending(frame.path.parent.name), re.fullmatch(r"img(\d+)", frame.path.stem)
    return folder, int(numbered[1]) if numbered else frame.path.stem


def _without_ending(name: str) -> str:
    last = PurePosixPath(name)
    return last.stem if last.suffix.lower() in VIDEO_SUFFIXES else last.name


class _Twins:
    """Finds frames of a project that are those of another one."""

    def __init__(self, project: Project):
        self.frames = project.frames
        self.by_file = {(frame.path.resolve(), frame.number): row for row, frame in enumerate(project.frames)}
        self.by_key: dict[tuple, list[int]] = {}
        for row, frame in enumerate(project.frames):
            self.by_key.setdefault(_key(frame), []).append(row)

    def of(self, frame: Frame) -> int | None:
        row = self.by_file.get((frame.path.resolve(), frame.number))
        if row is not None:
            return row
        return next((row for row in self.by_key.get(_key(frame), ()) if _look_alike(frame, self.frames[row])), None)


def _look_alike(one: Frame, other: Frame) -> bool:
    images = [Image.fromarray(read_frame(frame)) for frame in (one, other)]
    if images[0].size != images[1].size:
        return False
    first, second = (np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
                     for image in images)
    return bool(np.abs(first - second).mean() <= _ALIKE)


def _in_order(one: Instance, names: Sequence[str], wanted: Sequence[str]) -> Instance:
    count, to = len(wanted), [wanted.index(name) for name in names]
    keypoints, visible, occluded = np.full((count, 2), np.nan), np.zeros(count, np.float32), np.zeros(count, bool)
    keypoints[to], visible[to], occluded[to] = one.keypoints, one.visible, one.occluded
    return one._replace(keypoints=keypoints, visible=visible, occluded=occluded)


def _equal(some: Sequence[Instance], others: Sequence[Instance]) -> bool:
    left = list(others)
    for one in some:
        twin = next((row for row, other in enumerate(left) if at_one_place(one, other)), None)
        if twin is None:
            return False
        left.pop(twin)
    return not left


# Where new frames belong

class _Places:
    """Gives frames of another project their place in this one."""

    def __init__(self, project: Project):
        self.project = project
        self.used = {frame.name.lower() for frame in project.frames}
        self.videos = {frame.path.stem: frame for frame in project.frames if frame.number is not None}
        self.sessions = {_without_ending(frame.session): frame.session for frame in project.frames if frame.session}
        # COCO's images are found below one folder, which their names do not tell.
        self.base = _base(project) if project.format == "coco" else ""

    def of(self, frame: Frame) -> Frame:
        """Returns the frame of a known video where there is one, else an image below the project's folder."""
        folder, number = _key(frame)
        holds_videos = self.project.format in NAMES_VIDEOS
        if holds_videos and isinstance(number, int) and (known := self.videos.get(folder)):
            name = f"{known.name.rpartition('/')[0]}/{number}"
            return known._replace(name=name, number=number, size=frame.size, split="")
        if holds_videos and frame.number is not None:
            path = frame.path.absolute()
            name = frame.name if self.project.format == "sleap" else f"{path.as_posix()}/{number}"
            return frame._replace(name=name, path=path, split="")
        last = frame.path.name if frame.number is None else f"img{frame.number:04d}.png"
        within = FOLDER if self.project.format in IN_FOLDERS else self.base or "images"
        name = unused(f"{within}/{portable(folder or 'images')}/{portable(last)}", self.used)
        path = self.project.root / name
        while path.exists():
            name = unused(name, self.used)
            path = self.project.root / name
        session = PurePosixPath(name).parent.name if self.project.format in IN_FOLDERS else (
            self.sessions.get(folder, folder))
        return Frame(name, path, None, frame.size, session)


def _base(project: Project) -> str:
    """Returns the folder of the project below which its images are named."""
    names = project.details.get("file_names", {})
    for frame in project.frames:
        parts, inside = PurePosixPath(names.get(frame.name, frame.name)).parts, PurePosixPath(frame.name).parts
        if inside[-len(parts):] == parts:
            return "/".join(inside[:-len(parts)])
    return ""


# Files of each format

def _files_of(old: Project, found: Merged, path: Path):
    """Returns a function that writes the label files into a folder, and returns where each belongs.

    Raises InputError if they cannot be written in place.
    """
    root, project = old.root, found.project
    if old.format == "coco":
        files = coco.files_of(path)
        if len(files) != 1:
            raise InputError(f"{path}: {len(files)} annotation files; name the one that the labels belong into")
        return lambda folder: {files[0]: _coco(files[0], old, found, folder)}
    if old.format == "sleap":
        if any(frame.path.is_relative_to(cache_folder()) for frame in old.frames):
            raise InputError(f"{path}: its images are inside the file; export the labels with images beside them first")
        target = sleap.files_of(path)[0]
        return lambda folder: {target: WRITERS["sleap"](project, folder)[0]}
    if old.format == "csv":
        target = plain_csv.files_of(path)[0]
        return lambda folder: {target: WRITERS["csv"](project, folder)[0]}
    if old.format == "lightning_pose":
        target = lightning_pose.file_of(path)
        return lambda folder: {root / (target.name if one.name == "CollectedData.csv" else one.name): one
                               for one in WRITERS["lightning_pose"](project, folder)
                               if one.name == "CollectedData.csv" or (root / one.name).exists()}
    return lambda folder: _deeplabcut(old, found, folder)


def _deeplabcut(old: Project, found: Merged, folder: Path) -> dict[Path, Path]:
    """Writes the tables of folders with new labels, and a config with their videos and individuals if it lacks some."""
    changed = {PurePosixPath(name).parent.name for name in (*found.added, *found.replaced)}
    written = {old.root / one.relative_to(folder): one for one in WRITERS["deeplabcut"](found.project, folder)}
    config, stored = old.root / "config.yaml", folder / "config.yaml"
    fresh = yaml.safe_load(read_content(stored))
    content = dict(old.details["config"].content)
    known = content.get("video_sets") if isinstance(content.get("video_sets"), dict) else {}
    folders = {PurePosixPath(frame.name).parent.name for frame in old.frames}
    videos = {path: value for path, value in fresh["video_sets"].items()
              if PurePosixPath(path).stem in changed - folders}
    several = content.get("individuals") != fresh.get("individuals") and fresh["multianimalproject"]
    keep = {target: source for target, source in written.items() if target.parent.name in changed or (
        several and target != config)}
    if config.is_file() and (videos or several):
        content |= {"video_sets": {**known, **videos}} | ({"individuals": fresh["individuals"]} if several else {})
        stored.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
        keep[config] = stored
    return keep


def _tables_beside(target: Path, format: str) -> list[Path]:
    """Returns tables of DeepLabCut that another one replaces: of another scorer, or as .h5."""
    if format != "deeplabcut" or not deeplabcut.is_table(target):
        return []
    return [path for ending in ("csv", "h5") for path in sorted(target.parent.glob(f"CollectedData_*.{ending}"))]


def _coco(file: Path, old: Project, found: Merged, folder: Path) -> Path:
    """Writes an annotation file with the new labels; all else in it stays."""
    content: dict[str, Any] = json.loads(read_content(file))
    frames, changed = found.project.frames, {*found.added, *found.replaced}
    identities: dict[str, Any] = dict(old.details["image_ids"])
    base = f"{_base(old)}/" if _base(old) else ""
    for frame in frames[len(old.frames):]:
        identities[frame.name] = _free(image["id"] for image in content["images"])
        content["images"].append(coco.image_entry(frame._replace(name=frame.name.removeprefix(base)),
                                                  identities[frame.name]))
    category: Mapping[str, Any] = old.details["category"]
    gone = {identities[name] for name in found.replaced}
    content["annotations"] = [one for one in content["annotations"] if not (
        one.get("image_id") in gone and one.get("category_id") == category.get("id") and one.get("keypoints"))]
    for one in found.project.instances:
        if frames[one.frame].name in changed:
            free = _free(found["id"] for found in content["annotations"] if "id" in found)
            content["annotations"].append(coco.annotation_entry(one, free, identities[frames[one.frame].name],
                                                                category.get("id")))
    target = folder / file.name
    with atomic(target) as partial:
        partial.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    return target


def _free(identities) -> int:
    return max((one for one in identities if isinstance(one, int)), default=0) + 1


def _backup(path: Path) -> Path:
    """Returns a free name beside a file."""
    found, count = path.with_name(path.name + BACKUP), 1
    while found.exists():
        count += 1
        found = path.with_name(f"{path.name}{BACKUP}_{count}")
    return found
