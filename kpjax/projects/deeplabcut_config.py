"""DeepLabCut's `config.yaml`: what it says of labels, and one for labels that come from elsewhere."""
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from kpjax.projects.deeplabcut_tables import Table
from kpjax.projects.names import forward

MULTI = "MULTI!"  # in the place of body parts in a project of several animals
SINGLE = "single"  # the individual that has the body parts which a picture has once
# What DeepLabCut asks of a config beyond labels: which frames it takes out of videos, how it draws and trains.
SETTINGS = {
    "identity": False, "engine": "pytorch", "start": 0, "stop": 1, "numframes2pick": 20, "skeleton_color": "black",
    "pcutoff": 0.6, "dotsize": 12, "alphavalue": 0.7, "colormap": "rainbow", "TrainingFraction": [0.95], "iteration": 0,
    "default_net_type": "resnet_50", "default_augmenter": "default", "snapshotindex": -1, "detector_snapshotindex": -1,
    "batch_size": 8, "detector_batch_size": 1, "cropping": False, "x1": 0, "x2": 640, "y1": 0, "y2": 480,
    "corner2move2": [50, 50], "move2corner": True,
}


class Config(NamedTuple):
    """What a config says of the labels, or the tables where there is none."""

    parts: tuple[str, ...]  # of every animal
    unique: tuple[str, ...]  # of the picture, once
    individuals: tuple[str, ...]  # () in a project of one animal
    pairs: tuple[tuple[str, str], ...]  # body parts that a line joins
    scorer: str
    crops: Mapping[str, tuple[int, ...]]  # x1, x2, y1, y2 in the video, by the name of its folder of pictures
    content: Mapping[str, Any]  # all of it

    @property
    def names(self) -> tuple[str, ...]:
        """The keypoints of a project, in order."""
        return self.parts + self.unique


def read_config(file: Path, notes: list[str], faults: list[str]) -> Config | None:
    """The config in a file. None and faults if it cannot be used."""
    data = file.read_bytes()
    try:
        content = yaml.safe_load(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        faults.append(f"{file.name}: byte 0x{data[error.start]:02x} is no UTF-8; save the file as UTF-8")
        return None
    except yaml.YAMLError as error:
        faults.append(f"{file.name} cannot be read: {' '.join(str(error).split())}; mend it in an editor")
        return None
    if not isinstance(content, dict):
        faults.append(f"{file.name} holds no settings; name the folder of a DeepLabCut project")
        return None
    several, before = content.get("bodyparts") == MULTI or bool(content.get("multianimalproject")), len(faults)
    parts = _names(content, "multianimalbodyparts" if several else "bodyparts", file, faults)
    unique = _names(content, "uniquebodyparts", file, faults) if several and content.get("uniquebodyparts") else ()
    individuals = _names(content, "individuals", file, faults) if several else ()
    if both := sorted(set(parts) & set(unique)):
        faults.append(f"{file.name}: {both[0]} is among multianimalbodyparts and uniquebodyparts; keep one")
    if len(faults) > before:
        return None
    lines = content.get("skeleton") if isinstance(content.get("skeleton"), list) else []
    pairs = [tuple(map(str, line)) if isinstance(line, list) else () for line in lines]
    kept = tuple(pair for pair in pairs if len(pair) == 2 and set(pair) <= set(parts + unique))
    if len(kept) < len(pairs):
        notes.append(f"{file.name}: {len(pairs) - len(kept)} of {len(pairs)} lines of the skeleton join no two body "
                     "parts and are dropped")
    return Config(parts, unique, individuals, kept, str(content.get("scorer") or ""), _crops(content), content)


def config_of_tables(tables: Sequence[Table]) -> Config:
    """The body parts of tables that stand without a config, in the order in which they come."""
    points = list(dict.fromkeys(point for table in tables for point in table.points))
    several = len({individual for individual, _ in points}) > 1
    unique = tuple(dict.fromkeys(part for name, part in points if several and name == SINGLE))
    parts = tuple(dict.fromkeys(part for _, part in points if part not in unique))
    individuals = tuple(dict.fromkeys(name for name, _ in points if several and name != SINGLE))
    return Config(parts, unique, individuals, (), tables[0].scorer if tables else "", {}, {})


def config_text(config: Config, root: Path, videos: Mapping[str, tuple[int, int]]) -> str:
    """A config for labels.

    root: the project's folder. videos: width and height of each, by its path; those that `config.content` has already
    keep their settings, all other things that it says stay as they are.
    """
    content = {"Task": root.name, "date": datetime.date.today().strftime("%b%d"), **SETTINGS, **config.content}
    sets = content.get("video_sets")
    known = {PurePosixPath(forward(str(path))).stem: (path, settings)
             for path, settings in (sets.items() if isinstance(sets, dict) else ())}
    content["video_sets"] = dict(known.get(PurePosixPath(path).stem, (path, {"crop": f"0, {width}, 0, {height}"}))
                                 for path, (width, height) in videos.items())
    several = bool(config.individuals)
    content |= {"scorer": config.scorer, "multianimalproject": several, "project_path": str(root),
                "bodyparts": MULTI if several else list(config.parts),
                "skeleton": [list(pair) for pair in config.pairs]}
    if several:
        content |= {"multianimalbodyparts": list(config.parts), "uniquebodyparts": list(config.unique),
                    "individuals": list(config.individuals)}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _names(content: Mapping[str, Any], field: str, file: Path, faults: list[str]) -> tuple[str, ...]:
    found = content.get(field)
    if not isinstance(found, list) or not found or len(set(map(str, found))) != len(found):
        kind = "" if field == "bodyparts" else "this is a multi-animal project, but "
        faults.append(f"{file.name}: {kind}{field} is {found!r} where a list of different names belongs; give it one")
        return ()
    return tuple(str(name) for name in found)


def _crops(content: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    crops = {}
    sets = content.get("video_sets")
    for video, settings in sets.items() if isinstance(sets, dict) else ():
        numbers = str(settings.get("crop", "") if isinstance(settings, dict) else "").split(",")
        if len(numbers) == 4 and all(number.strip().lstrip("-").isdigit() for number in numbers):
            crops[PurePosixPath(forward(str(video))).stem] = tuple(int(number) for number in numbers)
    return crops
