"""Where a project says one fact twice, and not the same: one list, of faults and of doubts.

Every reader checks its files against the images. Here two statements are compared with each other:
boxes with images and points, splits with neighbouring frames, numbers of frames with videos, sizes
with points, mirror images with names. What only a reader sees, such as two tables of one folder, it
adds to the project's `doubts`, which head the list.
"""

import difflib
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from kpjax.errors import InputError, count_text, summarise
from kpjax.formats.names import below, derived_flip, digests_of_alike
from kpjax.formats.options import Options
from kpjax.formats.project import Frame, Project, first_pixel, outside, place_in_recording
from kpjax.images.reading import read_image, spread

_RARE = 0.05  # of the labels of a keypoint: with fewer, one of nearly its name may be misspelt
_NEARLY_ALIKE = 0.75  # similarity of two names by difflib: that of nose and nsoe
_MOST, _NEARLY_ALL = 0.5, 0.95  # shares of points, boxes or images
_BESIDE = 2.0  # px by which a point may lie beside its box, and a tenth of the box's side
_LOOKED_AT = 60  # held-out images, and as many others, whose pixels are compared
_THUMBNAIL = 32  # px, their side
_NEIGHBOUR = 0.5  # distance of neighbours by name, over that of any two images
_TWIN = 0.15  # the same of images whose names tell nothing


class Disagreement(NamedTuple):
    """Two statements of one fact: what differs, how often and by how much, and the mend."""

    text: str
    is_fault: bool = False  # whether nothing can be learnt from such labels


def agreements(
    project: Project, options: Options, counts: Mapping[Path, int]
) -> list[Disagreement]:
    """Returns all disagreements within a project.

    project: with the sizes of its files, and coordinates that count from the centre of the first
    pixel. counts: frames of its videos as they are now.
    """
    return [
        *map(Disagreement, project.doubts),
        *_frames_and_videos(project, counts),
        *_spellings(project),
        *_sides(project),
        *_points(project, first_pixel(project, options.pixels_from)),
        *_same_labels(project),
        *_splits(project),
        *_boxes(project),
        *_sizes(project, options),
    ]


# Frames


def _frames_and_videos(project: Project, counts: Mapping[Path, int]) -> Iterator[Disagreement]:
    """Compares stated numbers of frames with those of the files."""
    for path, count in counts.items():
        title = below(path, project.root)
        had = project.lengths.get(path, count)
        if count != had:
            yield Disagreement(
                f"{title} has {count} frames, and had {had} when it was labelled: labels may be on other frames; "
                "restore the video, or label this one anew"
            )
        numbers = [frame.number for frame in project.frames if frame.path == path]
        beyond = [str(number) for number in numbers if not 0 <= number < count]
        if not beyond:
            continue
        mend = "restore the video"
        if min(numbers) > 0 and max(numbers) == count:
            mend = f"do frames count from 1? --frames-from 1 reads them so; else {mend}"
        elif min(numbers) < 0:
            mend = "frames cannot count from 1: leave out --frames-from 1"
        yield Disagreement(
            f"{title} has frames 0 to {count - 1}, and labels stand on {summarise(beyond)}; {mend}",
            is_fault=True,
        )


def _splits(project: Project) -> Iterator[Disagreement]:
    """Finds recordings on both sides of a split, and copies of images: by their sessions, else by
    names and pixels."""
    copies = _copies(project)
    if copies:
        yield Disagreement(f"{len(copies)} images are copies of another: {summarise(copies, 3)}")
    sides: dict[str, set[str]] = defaultdict(set)
    for frame in project.frames:
        if frame.split:
            sides[frame.session].add(frame.split)
    both = [
        f"{session} ({' and '.join(sorted(found))})"
        for session, found in sides.items()
        if session and len(found) > 1
    ]
    if both:
        yield Disagreement(
            "recordings on both sides of a split, where test frames have neighbours that train: "
            f"{summarise(both)}; split by recording"
        )
    elif len(sides[""]) > 1:
        yield from _neighbours(project)


def _copies(project: Project) -> list[str]:
    """Returns "a is b" for each image whose content is that of an earlier one."""
    files = dict.fromkeys(frame.path for frame in project.frames if frame.number is None)
    seen: dict[str, str] = {}
    copies = []
    for path, digest in digests_of_alike(files).items():
        name = below(path, project.root)
        first = seen.setdefault(digest, name)
        if first != name:
            copies.append(f"{name} is {first}")
    return copies


def _neighbours(project: Project) -> Iterator[Disagreement]:
    """Compares held-out images with those that train: with the nearest by the number at the end of
    its name, and with all that are looked at.

    Numbers alone tell nothing of photographs, which a class may be numbered through, nor do pixels of
    one scene: neighbours are much nearer to each other than any two images.
    """
    beside: dict[str, list[Frame]] = defaultdict(list)
    train = []
    held = []
    for frame in project.frames:
        if frame.number is None and frame.split == "train":
            beside[place_in_recording(frame)[0]].append(frame)
            train.append(frame)
        elif frame.number is None and frame.split:
            held.append(frame)
    if not held or not train:
        return
    others = np.array([_thumbnail(frame) for frame in spread(train, _LOOKED_AT)])
    stems = Counter()
    rows = []
    for frame in spread(held, _LOOKED_AT):
        stem, number = place_in_recording(frame)
        seen = _thumbnail(frame)
        away = np.abs(others - seen).mean((1, 2))
        by_name = np.inf
        if number >= 0 and beside[stem]:
            nearest = min(beside[stem], key=lambda one: abs(place_in_recording(one)[1] - number))
            by_name = np.abs(_thumbnail(nearest) - seen).mean()
            stems[stem] += 1
        rows.append((by_name, away.min(), np.median(away)))
    by_name, by_pixels, usual = np.array(rows).T
    far = np.median(usual)
    near = by_name < _NEIGHBOUR * far
    if near.mean() <= _MOST:
        near = by_pixels < _TWIN * far
    if near.mean() > _MOST:
        named = summarise([stem for stem in stems if stem], 3) or "by their pixels"
        yield Disagreement(
            f"{near.sum()} of {len(near)} held-out images are neighbours of images that train ({named}): they "
            f"differ by {np.median(by_pixels[near]) / far:.0%} of what any two do, so errors on them say little of "
            "new recordings; split by recording"
        )


def _thumbnail(frame: Frame) -> np.ndarray:
    """Returns a small grey image (side, side) float32, nan of one that cannot be read."""
    try:
        image = Image.fromarray(read_image(frame.path, frame.depth)).convert("L")
    except InputError:  # one of the faults
        return np.full((_THUMBNAIL, _THUMBNAIL), np.nan, np.float32)
    return np.asarray(image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX), np.float32)


# Names


def _spellings(project: Project) -> Iterator[Disagreement]:
    """Finds each two keypoints that may be one, spelt in two ways: equal but for case and what joins
    words, or nearly alike where one has hardly any label.
    """
    names = project.skeleton.names
    labels = np.zeros(len(names), int)
    for one in project.instances:
        labels += one.seen
    for pair in itertools.combinations(range(len(names)), 2):
        rare, usual = sorted(pair, key=lambda k: labels[k])
        is_rare = 0 < labels[rare] < _RARE * labels[usual]
        is_mirrored = bool(project.skeleton.flip) and project.skeleton.flip[rare] == usual
        is_doubtful = is_rare and not is_mirrored and _is_near(names[rare], names[usual])
        if is_doubtful or _plain_name(names[rare]) == _plain_name(names[usual]):
            yield Disagreement(
                f"{names[rare]!r} ({count_text(labels[rare], 'label')}) and {names[usual]!r} "
                f"({count_text(labels[usual], 'label')}) are spelt nearly alike; if they are one keypoint, give it "
                "one name"
            )


def _plain_name(name: str) -> str:
    """Returns a keypoint's name without case and what joins words."""
    return re.sub("[ _-]", "", name).casefold()


def _is_near(name: str, other: str) -> bool:
    """Returns whether two names are nearly alike in their letters; numbers tell keypoints apart."""
    letters, others = (re.sub(r"\d", "", _plain_name(one)) for one in (name, other))
    ratio = difflib.SequenceMatcher(None, letters, others).ratio()
    return letters != others and ratio >= _NEARLY_ALIKE


def _sides(project: Project) -> Iterator[Disagreement]:
    """Compares stated mirror images with left and right in the names."""
    names = project.skeleton.names
    flip = project.skeleton.flip
    by_names = derived_flip(names)
    if not flip or by_names is None:
        return
    wrong = [k for k, other in enumerate(by_names) if k < other != flip[k]]
    if wrong:
        first = wrong[0]
        yield Disagreement(
            f"mirror images of {count_text(len(wrong), 'pair')} are not as named: {names[first]} becomes "
            f"{names[flip[first]]}, and by its name {names[by_names[first]]}; correct the flip pairs, or the "
            "names"
        )


# Labels


def _points(project: Project, first: float) -> Iterator[Disagreement]:
    """Finds labels that can hardly be right: at (0, 0) of the file, or several at one place.

    first: what the file calls the centre of the first pixel.
    """
    zeros = 0
    together = []
    for one in project.instances:
        points = one.keypoints[one.seen]
        others = points[(points != -first).any(1)]
        zeros += len(points) - len(others)
        if len(np.unique(others, axis=0)) < len(others):
            together.append(project.frames[one.frame].name)
    if zeros:
        yield Disagreement(
            f"{count_text(zeros, 'point')} labelled at exactly (0, 0), as tools write points that nobody labelled; "
            "--drop-zeros leaves them out"
        )
    if together:
        yield Disagreement(
            f"{count_text(len(together), 'animal')} with several keypoints at one identical place, first on "
            f"{together[0]}; look there"
        )


def _same_labels(project: Project) -> Iterator[Disagreement]:
    """Finds animals with exactly the labels of another one."""
    seen: dict[bytes, str] = {}
    here, elsewhere = {}, {}
    for one in project.instances:
        name = project.frames[one.frame].name
        if not one.seen.any():
            continue
        labels = one.keypoints.tobytes()
        first = seen.get(labels)
        if first == name:
            here[name] = None
        elif first:
            elsewhere[f"{name} has those of {first}"] = None
        seen.setdefault(labels, name)
    for what, found, mend in (
        ("twice on one frame", here, "delete one of each"),
        ("on two frames", elsewhere, "look whether both were labelled"),
    ):
        if found:
            yield Disagreement(
                f"the same labels {what}: {count_text(len(found), 'frame')}, such as {summarise([*found], 2)}; {mend}"
            )


# Boxes and sizes

# What the four numbers of a box may mean, other than its format says, and the box then.
_MEANT = {
    "left, top, right and bottom": lambda a, b, c, d: (a, b, c - a, d - b),
    "the middle, width and height": lambda a, b, c, d: (a - c / 2, b - d / 2, c, d),
    "left, top, width and height": lambda *box: box,
}


def _boxes(project: Project) -> Iterator[Disagreement]:
    """Compares boxes with their images, and with the labelled points in them."""
    sizes = []
    stated = []
    corners = []
    for one in project.instances:
        size = project.frames[one.frame].size
        if one.boxed and all(size) and one.seen.any():
            points = one.keypoints[one.seen] + 0.5
            sizes.append(size)
            stated.append(one.box)
            corners.append((points.min(0), points.max(0)))
    if not stated:
        return
    low, high = np.array(corners).swapaxes(0, 1)

    def misfit(boxes: np.ndarray) -> np.ndarray:
        """Returns (2, N) by how many pixels each reaches beyond its image, and points beyond it."""
        start, sides = boxes[:, :2], boxes[:, 2:]
        end = start + sides
        beside = np.maximum(start - low, high - end) - 0.1 * sides
        return np.stack([np.maximum(-start, end - sizes).max(1), beside.max(1)])

    boxes = np.array(stated)
    far = misfit(boxes)
    beyond, beside = (far > _BESIDE).sum(1)
    said = []
    if beyond:
        said.append(
            f"{beyond} of {len(boxes)} boxes reach beyond their images, by up to {far[0].max():.0f} px"
        )
    if beside > _MOST * len(boxes):
        said.append(
            f"{beside} of {len(boxes)} boxes do not hold their points, by up to {far[1].max():.0f} px"
        )
    numbers = boxes.copy()
    if project.format == "ultralytics":  # which gives the middle
        numbers[:, :2] += boxes[:, 2:] / 2
    for words, meant in _MEANT.items():
        other = np.stack(meant(*numbers.T), -1)
        fits = (misfit(other) <= _BESIDE).all(0) & (other[:, 2:] > 0).all(1)
        is_wider = np.median(boxes[:, 2:] / np.maximum(other[:, 2:], 1)) > 2
        if fits.mean() >= _NEARLY_ALL and (said or is_wider) and not np.allclose(other, boxes):
            said.append(
                f"are they written as {words}? so all fit; write what {project.format} asks for"
            )
            break
    if said:
        yield Disagreement("; ".join(said))


def _sizes(project: Project, options: Options) -> Iterator[Disagreement]:
    """Compares points with the sizes of images, which may have been made smaller after labelling, and
    finds coordinates that seem to count from 1: whole numbers, since a label that was clipped at an
    edge equals the image's side, too.
    """
    sized = [one for one in project.instances if all(project.frames[one.frame].size)]
    points = np.concatenate([np.zeros((0, 2)), *(one.keypoints[one.seen] for one in sized)])
    beyond = outside(project)
    share = beyond.sum() / max(len(points), 1)
    if share:
        number = int(beyond.any(1).argmax())
        keypoint = int(beyond[number].argmax())
        one = project.instances[number]
        x, y = one.keypoints[keypoint]
        frame = project.frames[one.frame]
        said = (
            f"{beyond.sum()} labelled points are more than 1 px outside their images, the first is "
            f"{project.skeleton.names[keypoint]} of {frame.name} at ({x:g}, {y:g}) of "
            f"{frame.size[0]}x{frame.size[1]}; "
        )
        if share < _MOST:
            yield Disagreement(f"{said}they train nothing")
        else:
            reach = math.ceil(points.max() + 0.5)
            yield Disagreement(
                f"{said}{share:.0%} of all, up to {reach} px: are they of larger images? --rescale-labels scales "
                "them, with --labelled-size WIDTHxHEIGHT where the files do not say of which size",
                is_fault=True,
            )
    if len(points) and (points >= 0).all() and (points <= 1).all():
        yield Disagreement(
            "all labelled points lie within the first pixel; give pixels, not shares of the image"
        )
    if (
        (options.pixels_from, project.tool) == ("tool", "")
        and any((one.keypoints == project.frames[one.frame].size).any() for one in sized)
        and (points == points.round()).all()
        and points.min() >= 1
    ):
        yield Disagreement(
            "`pixels_from`: some coordinates equal an image's side, none is below 1; do pixels count from 1?"
        )
