"""The pictures of a run: what its core learns from, what is adapted to, and what is evaluated."""
import functools
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.figure_categories import PEOPLE, Category, render_category
from data.figure_faces import FACES
from data.figure_four_legged import FOUR_LEGGED
from data.prepared import open_source
from experiments.adaptation.config import Config, OwnConfig
from experiments.domains import decoded_once
from experiments.own_project import ENOUGH_RECORDINGS, Held, hold_out, is_own, needed_project
from kpjax.annotations.project import Frame, Project
from kpjax.annotations.project_source import decoded, frame_identity, frames_at, project_source, unlabelled_source
from kpjax.errors import InputError, summarise
from kpjax.evaluation.probes.landmarks import draw_turns, turn_map
from kpjax.images.boxes import turned_canvas
from kpjax.images.transforms import (
    Place,
    landmark_crop,
    letterbox,
    margin_crop,
    person_crop,
    place_local_contrast,
    scaled_by_box,
    window_crop,
)
from kpjax.input.source import (
    ArraySource,
    Source,
    check_disjoint,
    identities,
    labelled_subset,
    subset,
    turned,
    with_local_contrast,
    without_keypoints,
    without_labels,
)
from kpjax.input.video_source import NO_KEYPOINTS

DRAWN = "drawn:"
CATEGORIES: dict[str, Category] = {"people": PEOPLE, "faces": FACES, "four_legged": FOUR_LEGGED}

# The fields of a config that decide which pictures are adapted to and evaluated, and how they look.
Settings = namedtuple("Settings", (
    "target", "fit", "test", "target_images", "pictures", "image_size", "target_placement", "target_tightness",
    "target_side", "test_placement", "test_tightness", "target_background", "training_pictures", "test_pictures"))


class Pictures(NamedTuple):
    """What the rows of a seed learn from and are judged by."""

    target: Source  # without labels
    fit: Source  # what regressors are fitted on, all with labels
    test: Source
    turned_once: Source  # the test pictures, each turned in place
    turned_twice: Source  # and turned again
    turns: np.ndarray  # (N, 3, 3) float64, pixels of `turned_once` to those of `turned_twice`
    chosen: tuple[str, ...]  # the names, or numbers, of `target_images`; () for all


def open_pictures(config: Config, seed: int, data_dir: Path) -> Pictures:
    """The pictures of one seed, kept for the next run of the same settings; drawn ones differ between seeds, and so
    does the choice of `target_images`.

    Raises InputError if a set was not prepared or is unknown, if more pictures are asked for than there are, or if a
    picture that is adapted to is also tested.
    """
    if is_own(config):
        return open_own(config)
    settings = Settings(*(getattr(config, name) for name in Settings._fields))
    return _opened(settings, seed if _is_drawn(config.target) or config.target_images else 0, data_dir)


def open_core_pictures(config: Config, seed: int, data_dir: Path) -> tuple[Source, Source | None]:
    """What the core is trained on and, if the config names it, tested on. Raises InputError as `open_pictures` does."""
    if _is_drawn(config.core):
        draw = functools.partial(_draw, config.core, seed, config.image_size, config.core_background, config.pictures)
        test = draw(config.core_test_pictures, config.core_pictures) if config.core_test else None
        return draw(config.core_pictures, 0), test
    place = core_place_of(config)
    opened = [_prepared(name, config.pictures, place, data_dir) if name else None
              for name in (config.core, config.core_test)]
    return tuple(source and without_keypoints(source, config.core_unused_keypoints) for source in opened)


def core_place_of(config: Config) -> Place:
    """How the core's pictures are cropped."""
    if config.core_placement == "person_crop":
        place = person_crop(config.image_size, config.core_crop_margin, smallest=config.core_crop_smallest)
    else:
        place = place_of(config.core_placement, config.image_size, config.test_tightness)
    return scaled_by_box(place) if config.core_pck_over == "box" else place


def place_of(name: str, side: int, tightness: int = 0) -> Place:
    """How a picture becomes a square one of `side` px."""
    makers = {"landmark_crop": functools.partial(landmark_crop, tightness=tightness), "margin_crop": margin_crop,
              "window_crop": window_crop, "letterbox": letterbox}
    return makers[name](side)


def turn_in_place(degrees: float, side: int) -> np.ndarray:
    """The map (3, 3) float64 of a square picture turned about its middle that keeps its size; corners are lost."""
    map_, width, height = turned_canvas(side, side, degrees)
    shift = np.eye(3)
    shift[:2, 2] = (side - width) / 2, (side - height) / 2
    return shift @ map_


@functools.lru_cache(maxsize=2)
def _opened(config: Settings, seed: int, data_dir: Path) -> Pictures:
    if _is_drawn(config.target):
        def draw(side: int, count: int, first: int) -> Source:
            return _draw(config.target, seed, side, config.target_background, config.pictures, count, first)

        target = draw(config.target_side, config.training_pictures, 0)
        fit = target if config.target_side == config.image_size else draw(
            config.image_size, config.training_pictures, 0)
        test = draw(config.image_size, config.test_pictures, config.training_pictures)
    else:
        judged = place_of(config.test_placement, config.image_size, config.test_tightness)
        target = _prepared(config.target, config.pictures, place_of(
            config.target_placement, config.target_side, config.target_tightness), data_dir)
        fit, test = (_prepared(name, config.pictures, judged, data_dir)
                     for name in (config.fit or config.target, config.test))
        # Pixels of one picture differ where it is cropped in two ways, and names hold within one set.
        check_disjoint(target, test, by_name=_set(config.target) == _set(config.test), by_pixels=False)
    chosen: tuple[str, ...] = ()
    if config.target_images:
        numbers = labelled_subset(target, count=config.target_images, seed=seed).labelled
        target = subset(target, numbers, f"{target.name}, {len(numbers)} pictures")
        chosen = identities(target) or tuple(map(str, numbers))
    return with_turns(without_labels(target), fit, test, config.image_size, chosen)


def with_turns(target: Source, fit: Source, test: Source, side: int, chosen: tuple[str, ...] = ()) -> Pictures:
    """The pictures of a run, the tested ones of `side` px also turned once and twice."""
    drawn = draw_turns(len(test))
    once = decoded_once(turned(test, np.array([turn_in_place(angle, side) for angle in drawn.first])))
    turns = np.array([turn_map(angle, side) for angle in drawn.second])
    return Pictures(target, fit, test, once, decoded_once(turned(once, turns)), turns, chosen)


@functools.lru_cache(maxsize=2)
def open_own(config: OwnConfig) -> Pictures:
    """A person's own pictures without labels, and what they are judged by: the project's labelled ones, or where there
    is none the held-out part of the same pictures."""
    split = own_split(config)
    root = split.project.root if split.project else Path("/")

    def unlabelled(frames: Sequence[Frame], side: int, name: str) -> ArraySource:
        return decoded(unlabelled_source(frames, own_place(config, side), NO_KEYPOINTS, root=root, name=name),
                       on_bad_frame=config.on_bad_frame)

    target = unlabelled(split.target, config.target_side, "own pictures")
    if not split.project:
        test = unlabelled(split.test, config.image_size, "own pictures, held out")
        return with_turns(target, test, test, config.image_size)
    fit, test = (decoded(project_source(split.project, own_place(config, config.image_size), instances=numbers,
                                        occluded=config.occluded, name=f"{split.project.root.name}, {part}"),
                         on_bad_frame=config.on_bad_frame)
                 for part, numbers in (("training", split.held.train), ("held out", split.held.held_out)))
    check_disjoint(target, test)
    return with_turns(target, fit, test, config.image_size)


def own_place(config: OwnConfig, side: int) -> Place:
    """Whole pictures, as the core has seen its own."""
    place = letterbox(side)
    return place_local_contrast(place) if config.pictures == "local_contrast" else place


class OwnSplit(NamedTuple):
    """Which of a person's frames are adapted to, and which judge."""

    target: tuple[Frame, ...]
    test: tuple[Frame, ...]  # () where a project judges
    project: Project | None
    held: Held | None
    words: str  # what is held out


def own_split(config: OwnConfig) -> OwnSplit:
    """Pictures that a project holds out are not adapted to. Without a project whole videos are held out where there
    are three or more, else the last fifth of the frames."""
    if not config.image_files:
        raise InputError("--images: name pictures, videos or folders of them")
    frames = tuple(frame for frame in frames_at(config.image_files) if not (frame.number or 0) % max(config.every, 1))
    if config.project:
        project = needed_project(config)
        held = hold_out(project, config.validation)
        tested = {frame_identity(project.frames[project.instances[number].frame], project.root)
                  for number in held.held_out}
        target = tuple(frame for frame in frames if frame_identity(frame, project.root) not in tested)
        return OwnSplit(target, (), project, held, held.words)
    videos = sorted({frame.path for frame in frames if frame.number is not None})
    count = max(round(0.2 * len(frames)), 1)
    if len(videos) >= ENOUGH_RECORDINGS and all(frame.number is not None for frame in frames):
        drawn = videos[-max(round(0.2 * len(videos)), 1):]
        test = tuple(frame for frame in frames if frame.path in drawn)
        words = f"videos {summarise([path.name for path in drawn])}"
    else:
        test, words = frames[-count:], f"the last {count} frames"
    kept = set(test)
    return OwnSplit(tuple(frame for frame in frames if frame not in kept), test, None, None, words)


def _is_drawn(name: str) -> bool:
    return name.startswith(DRAWN)


def _set(name: str) -> str:
    return name.partition("/")[0]


def _draw(name: str, seed: int, side: int, background: str, pictures: str, count: int, first: int) -> ArraySource:
    category = name.removeprefix(DRAWN)
    if category not in CATEGORIES:
        raise InputError(f"{name}: there are {', '.join(DRAWN + known for known in CATEGORIES)}")
    source = render_category(CATEGORIES[category], count, seed, side, background=background, first=first)
    return with_local_contrast(source) if pictures == "local_contrast" else source


def _prepared(name: str, pictures: str, place: Place, data_dir: Path) -> Source:
    dataset, _, split = name.partition("/")
    if not split:
        raise InputError(f"{name or 'no data'}: name a prepared set and its split, such as youtube_faces/train, or one "
                         f"of {', '.join(DRAWN + known for known in CATEGORIES)}")
    place = place_local_contrast(place) if pictures == "local_contrast" else place
    return decoded_once(open_source(dataset, split, data_dir=data_dir, place=place))
