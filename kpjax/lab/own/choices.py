"""Rules by which a preset `own` chooses settings from a project, each with its reason; a typed flag overrides it."""
import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from kpjax.lab.formats.project import Frame, Project
from kpjax.lab.formats.project_source import box_of, reference_lengths
from kpjax.systems.configs import changed, flat

SIZES = (64, 128, 192, 256)  # px, of the square images
USUAL_SIZE = 128
# px of a body's diagonal in them, also with finer heatmaps: with twenty labelled frames of a mouse, whose ears lie four
# pixels apart at 128 px, MobileNetV2's PCK is 82.6 there with heatmaps of 64 cells and 94.6 at 192 px with 48.
LEAST_DIAGONAL = 32
CROPS = "several animals on a frame: training reads a crop of each, and a small network learns to find them"
UPRIGHT = 0.8  # mean resultant length of directions from which on images are turned by 30 degrees only
FRAMES_WITHOUT_LABELS = 2000  # of videos, at most


class Facts(NamedTuple):
    """Statistics of the labelled animals that train."""

    keypoints: int
    several: bool  # on one frame
    longer_side: float  # px, of a frame; median
    diagonal: float  # px, of an animal's labelled extent or box; median
    box_side: float  # px, the longer one; median
    direction: float  # mean resultant length of the direction of its longest pair of keypoints, 0 to 1; nan if unknown
    axis: float  # the same of the axis: left and right are one
    names: tuple[str, ...] = ()  # of the keypoints


class Choice(NamedTuple):
    """A setting and why."""

    field: str
    value: Any
    reason: str


def facts_of(project: Project, instances: Sequence[int] | None = None) -> Facts:
    """Computes the statistics of a project's labelled animals, or of some by number."""
    numbers = list(range(len(project.instances)) if instances is None else instances)
    chosen = [project.instances[number] for number in numbers]
    on_frame = [one.frame for one in project.instances if (one.visible > 0).any()]
    sides = [max(project.frames[one.frame].size) for one in chosen]
    boxes = [max(box[2:]) for box in map(box_of, chosen) if box is not None]
    return Facts(len(project.skeleton.names), len(set(on_frame)) < len(on_frame), float(np.median(sides)),
                 float(np.median(reference_lengths(project)[numbers])), float(np.median(boxes)) if boxes else math.nan,
                 *_directions(np.stack([np.where(one.visible[:, None] > 0, one.keypoints, np.nan) for one in chosen])),
                 project.skeleton.names)


def _directions(points: np.ndarray) -> tuple[float, float]:
    """Computes the mean resultant lengths of directions and of axes, of the longest pair of keypoints among those that
    are labelled on half of the animals; nan where there is none."""
    between = points[:, None] - points[:, :, None]  # (I, K, K, 2): [i, a, b] from a to b
    lengths = np.linalg.norm(between, axis=-1)
    seen = np.isfinite(lengths)
    mean = np.where(seen.mean(0) >= 0.5, np.where(seen, lengths, 0).sum(0) / np.maximum(seen.sum(0), 1), 0)
    if not mean.max() > 0:
        return math.nan, math.nan
    a, b = np.unravel_index(np.argmax(mean), mean.shape)
    along = between[seen[:, a, b], a, b]
    angles = np.arctan2(along[:, 1], along[:, 0])
    return float(abs(np.exp(1j * angles).mean())), float(abs(np.exp(2j * angles).mean()))


# Rules


def image_choices(facts: Facts, size: int | None, fine_side: int = 0) -> list[Choice]:
    """Chooses the transform of frames to square images, and the sizes of images and heatmaps.

    size: of images, as typed. fine_side: px of images up to which heatmaps have half of their side, not a quarter.
    """
    def stride(side: int) -> int:
        return 2 if side <= fine_side else 4

    transform = ("around_box", "several animals on a frame: each is cropped by its box") if facts.several else (
        "letterbox", "one animal on a frame: the whole frame is seen")
    whole = facts.box_side * 1.25 if facts.several and math.isfinite(facts.box_side) else facts.longer_side
    at = {side: facts.diagonal * side / whole for side in SIZES}
    found = next((side for side in SIZES[1:] if at[side] >= LEAST_DIAGONAL), SIZES[-1])
    why = f"the animal's diagonal is {at[found]:.0f} px there"
    if whole <= SIZES[0]:
        found, why = SIZES[0], f"the crop is {whole:.0f} px long"
    elif found > USUAL_SIZE:
        why += f", at {USUAL_SIZE} px it would be {at[USUAL_SIZE]:.0f}"
    else:
        why += "; larger is finer, and slower with the square"
    used = size or found
    share = "half" if stride(used) == 2 else "a quarter"
    return [Choice("transform", *transform), Choice("image_size", found, why),
            Choice("heatmap_size", used // stride(used), f"{share} of {used} px, with keypoints between its cells")]


def rotation_choice(facts: Facts) -> Choice:
    """Chooses how far images are turned: as far as the animals are."""
    if not math.isfinite(facts.direction):
        return Choice("rotation", 30.0, "no pair of keypoints shows how the animals lie")
    alike = facts.direction >= UPRIGHT or facts.axis >= UPRIGHT
    return Choice("rotation", 30.0 if alike else 180.0, "the labelled animals lie "
                  f"{'much the same way' if alike else 'in all directions'}, degrees either way")


def steps_by_labels(name: str, labelled: int, batch: int, *, passes: int, least: int, most: int) -> Choice:
    """Chooses a number of steps: passes over the labelled animals, within limits."""
    wanted = math.ceil(passes * labelled / batch)
    steps = min(max(wanted, least), most)
    bound = f", but at least {least}" if wanted < least else f", but at most {most}" if wanted > most else ""
    return Choice(name, steps, f"{passes} passes over {labelled} labelled animals in batches of {batch} are "
                  f"{wanted}{bound}")


def rate_choices(config: Any, reason: str, most: float = math.inf) -> list[Choice]:
    """Chooses learning rates: the preset's, but at most `most`."""
    rates = {name: rate for name, rate in flat(config).items() if name.endswith("learning_rate")}
    return [Choice(name, min(rate, most), reason) for name, rate in rates.items()
            if name == "learning_rate" or rate > most]


def every_choice(frames: Sequence[Frame]) -> Choice:
    """Chooses which frames of videos without labels are used. frames: of videos, and images."""
    of_videos = sum(frame.number is not None for frame in frames)
    if not of_videos:
        return Choice("every", 1, "there are no videos without labels")
    every = math.ceil(of_videos / FRAMES_WITHOUT_LABELS)
    why = "all of them" if every == 1 else f"about {of_videos // every}, since neighbours are nearly identical"
    return Choice("every", every, f"{of_videos} frames of videos without labels: {why}")


def chosen(config: Any, choices: Sequence[Choice], typed: Collection[str]) -> Any:
    """Returns the config with all choices but those of typed fields, and prints each with its reason.

    `steps` are chosen even if they are typed, since typed steps are scaled from them.
    """
    given, width = flat(config), max(len(choice.field) for choice in choices)
    for field, value, reason in choices:
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else getattr(value, "name", value)
        said = f"{shown}  ({reason})"
        if field in typed:
            said = (f"as typed, and other counts of steps with it  (else {shown})" if field == "steps" else
                    f"{given[field]}  (as typed)")
        print(f"  --{field.replace('_', '-'):{width}}  {said}")
    return changed(config, **{field: value for field, value, _ in choices if field not in typed - {"steps"}})
