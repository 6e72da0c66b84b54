"""Rules by which a preset `own` chooses settings from a project, each with its reason; a typed flag
overrides it. The network is a real backbone where its weights can be had, else the small U-net."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from kpjax import InputError
from kpjax.errors import count_text
from kpjax.evaluation.mirror_images import mirrored_distance, side_contrast
from kpjax.formats.project import Frame, Project
from kpjax.formats.project_source import box_of, crowd_of, reference_lengths
from kpjax.images.reading import spread
from kpjax.lab.own.places import place_of_labels
from kpjax.lab.own.project import Held, Own, never_labelled, open_animals
from kpjax.lab.reports.pixel_errors import wrap_lines
from kpjax.models import MobileNetV2, MoveNet, SmallUNet, person
from kpjax.models.networks import NETWORKS
from kpjax.models.weights.pretrained import (
    MOVENET,
    WITH_WEIGHTS,
    known_weights,
)
from kpjax.papers.configs import FINE_RATE, flat, replace_fields
from kpjax.papers.semi_supervised.left_to_learn import FITTED

SIZES = (64, 128, 192, 256)  # px, of the square images
USUAL_SIZE = 128
# px of a body's diagonal in them, also with finer heatmaps: with twenty labelled frames of a mouse,
# whose ears lie four pixels apart at 128 px, MobileNetV2's PCK is 82.6 there with heatmaps of 64
# cells and 94.6 at 192 px with 48.
LEAST_DIAGONAL = 32
# px of a body's diagonal at the largest size, below which one animal is found and cropped, too
SMALL = 16
# mean resultant length of directions from which on images are turned by 30 degrees only
UPRIGHT = 0.8
# times as far from labelled animals as these from each other, up to which mirror images teach: 1.0 for a
# mouse in an open field, 1.1 for lips, 1.4 for people, 109 for two flies that lie still, 6.3 for a mouse
# that faces right on all frames. Of that mouse, mirror images made left and right paws one point, and the
# mean error 14 px in place of 5.5.
ALIKE_MIRRORED = 2.0
# contrast of left and right, from which on mirror images contradict what is seen: at most 1.0 for mice,
# flies and lips, 89 for an animal whose ears had two colours. Mirror images swapped these ears.
MARKED = 3.0
COMPARED = 60  # animals whose colours are compared
FRAMES_WITHOUT_LABELS = 2000  # largest number of frames of videos without labels
# Rounds of training, at most. At 128 px a round of the small U-net took 0.7 to 2.2 minutes of two cores. Of
# five seeds on a mouse four had learnt after three rounds; after four the fifth had two paws as one point on
# 12 % of a video, after six, when it had learnt, on 2 %. One of MobileNetV2 took three minutes: with two of
# them keypoints that labels show apart were one point on at most 1.3 % of the video by all five seeds, though
# its worst keypoint was not learnt, and the command took ten.
ROUNDS, ROUNDS_OF_LARGE, ROUNDS_OF_FINE = 8, 4, 2
# cells, of the Gaussians of heatmaps with half of an image's side. Of a mouse, with 1 their peaks stayed low,
# and labelled frames counted as not learnt; with 2 its points were less exact.
FINE_SIGMA = 1.5
UNSAID = ("warm_start_steps",)  # what the first lines of a training have in their sum
NAMED = ("image_size", "network", "weights", "flip")  # what a training prints of its choices


class Facts(NamedTuple):
    """Statistics of the labelled animals in training."""

    keypoints: int
    several: bool  # on one frame
    small: bool  # on its frame: a crop shows it better
    longer_side: float  # px, of a frame; median
    diagonal: float  # px, of an animal's labelled extent or box; median
    box_side: float  # px, the longer one; median
    #: mean resultant length of the direction of its longest pair of keypoints, 0 to 1; nan if
    #: unknown
    direction: float
    axis: float  # the same of the axis: left and right are one
    names: tuple[str, ...] = ()  # names of the keypoints
    flip: tuple[int, ...] = ()  # flip of the skeleton
    points: np.ndarray | None = None  # (N, K, 2) px, nan where nothing is labelled
    sides: float = math.nan  # contrast of the colours of left and right; nan if unknown
    place: tuple[float, ...] = ()  # the part of each frame that is looked at, as of `SamePlace`

    @property
    def cropped(self) -> bool:
        """Whether animals are found on frames and cropped."""
        return self.several or self.small

    @property
    def seen_side(self) -> float:
        """Length of the longer side of what is seen of a frame, or of its animals' boxes, px."""
        if self.cropped and math.isfinite(self.box_side):
            return self.box_side * 1.25
        if not self.place:
            return self.longer_side
        return max(*self.place[4::6], *self.place[5::6])


class Choice(NamedTuple):
    """A setting and why."""

    field: str
    value: Any
    reason: str


def facts_of(project: Project, instances: Sequence[int] | None = None) -> Facts:
    """Computes the statistics of a project's labelled animals, or of some by number."""
    numbers = list(range(len(project.instances)) if instances is None else instances)
    numbers = [
        number for number in numbers if project.instances[number].frame not in project.nobody
    ]
    chosen = [project.instances[number] for number in numbers]
    sides = [max(project.frames[one.frame].size) for one in chosen]
    boxes = [max(box[2:]) for box in map(box_of, chosen) if box is not None]
    side, diagonal = float(np.median(sides)), float(np.median(reference_lengths(project)[numbers]))
    points = np.stack([np.where(one.visible[:, None] > 0, one.keypoints, np.nan) for one in chosen])
    return Facts(
        len(project.skeleton.names),
        crowd_of(project).most > 1,
        bool(boxes) and diagonal * SIZES[-1] < SMALL * side,
        side,
        diagonal,
        float(np.median(boxes)) if boxes else math.nan,
        *_directions(points),
        project.skeleton.names,
        project.skeleton.flip,
        points,
    )


def facts_of_training(
    project: Project,
    held: Held,
    data: Any,
    typed: Collection[str],
    *,
    crop_small: bool = True,
    mirrors: bool = True,
    finds: bool = True,
) -> Facts:
    """Computes the statistics of what trains, and says what a run on crops of animals does with
    them, and whether labels seem to lack some of them or keypoints have none.

    data: the images of a config, of which a typed `transform` decides whether animals are cropped.
    crop_small: whether one animal is, if it is small. mirrors: whether the system may learn from
    mirrored images. finds: whether it learns to find animals.
    """
    for line in never_labelled(project):
        print(line)
    facts = facts_of(project, held.train)
    facts = facts._replace(small=facts.small and crop_small)
    if "transform" in typed:
        cropped = data.transform == "around_box"
        facts = facts._replace(several=cropped and facts.several, small=cropped)
    if mirrors and facts.flip and "flip" not in typed:
        facts = facts._replace(sides=_contrast(project, held, data, facts))
    if facts.cropped:
        crowd = crowd_of(project)
        some = (
            f"up to {count_text(crowd.most, 'animal')} on a"
            if crowd.fewer or project.nobody
            else f"{count_text(crowd.most, 'animal')} on every"
        )
        finding = ", and a small network learns to find them on new frames" if finds else ""
        print(f"{some} labelled frame: each is cropped{finding}")
        if crowd.fewer:
            print(
                f"{crowd.fewer} of {crowd.frames} labelled frames have fewer than {crowd.most}: an animal without "
                "labels there is taught as\nbackground; label it, or take the frame out of the project"
            )
    return facts


def with_place(
    facts: Facts, project: Project, held: Held, config: Any, typed: Collection[str]
) -> Facts:
    """Returns facts with the part of each frame that is looked at, and says so: as typed, or about
    the labels that train, where these lie in a part of all frames as those of a still camera do."""
    if "place" in typed:
        return facts._replace(place=config.data.place)
    if facts.cropped or "transform" in typed or config.backbone.start:
        return facts
    frames = [project.instances[number].frame for number in held.train]
    sizes = [project.frames[one].size for one in frames if one not in project.nobody]
    facts = facts._replace(place=place_of_labels(facts.points, np.array(sizes)))
    if facts.place:
        print(
            f"all labels lie in one part of the frames, {facts.seen_side:.0f} of {facts.longer_side:.0f} px, as "
            "before a still camera: each is\ncropped to it; --transform letterbox takes whole frames"
        )
    return facts


def _contrast(project: Project, held: Held, data: Any, facts: Facts) -> float:
    """Computes the contrast of left and right of some animals in training, as a network sees them."""
    shown = [
        number
        for number in held.train
        if project.instances[number].frame not in project.nobody
        and box_of(project.instances[number]) is not None
    ]
    if not shown:
        return math.nan
    square = replace(data, transform="around_box" if facts.cropped else "letterbox").square()
    seen = open_animals(data.own, square, project, spread(shown, COMPARED), "colours")
    return side_contrast(
        *(
            np.stack([np.asarray(getattr(seen[n], field)) for n in range(len(seen))])
            for field in ("image", "keypoints", "visible")
        ),
        facts.flip,
    )


def _directions(points: np.ndarray) -> tuple[float, float]:
    """Computes the mean resultant lengths of directions and of axes, of the longest pair of
    keypoints among those that are labelled on half of the animals; nan where there is none."""
    between = points[:, None] - points[:, :, None]  # (I, K, K, 2): [i, a, b] from a to b
    lengths = np.linalg.norm(between, axis=-1)
    seen = np.isfinite(lengths)
    mean = np.where(
        seen.mean(0) >= 0.5, np.where(seen, lengths, 0).sum(0) / np.maximum(seen.sum(0), 1), 0
    )
    if not mean.max() > 0:
        return math.nan, math.nan
    a, b = np.unravel_index(np.argmax(mean), mean.shape)
    along = between[seen[:, a, b], a, b]
    angles = np.arctan2(along[:, 1], along[:, 0])
    return float(abs(np.exp(1j * angles).mean())), float(abs(np.exp(2j * angles).mean()))


class OfMobileNet(NamedTuple):
    """How a system trains MobileNetV2 from published weights."""

    #: px of images, up to which heatmaps have half of their side, not a quarter
    fine_side: int = 0
    head_layers: int = 0  # 0: as many as the network has; likewise the next one
    decoder_width: int = 0  # channels of its pyramid and head, for at most `MANY_KEYPOINTS`
    frozen_stride: int = 0  # of the map up to which layers keep their weights; 0: none do


AS_IT_IS = OfMobileNet()
# The first layers keep their weights: on tuning subsets the mean error of 19 labelled faces was 8.7 % in
# place of 8.8, the PCK of ten labelled frames of a mouse 95.1 in place of 96.5 (two keypoints), in 0.6 to
# 0.7 of the time. Other systems adapt to images that differ in what the first layers see. Of a mouse in
# front of a mirror, finer heatmaps found points nearer to their labels, and a pyramid of 32 channels found
# them as well as one of 64, with a third more steps in as much time: rows of `causes_mouse`, one tuning seed.
FEW_LABELS = OfMobileNet(fine_side=128, head_layers=2, decoder_width=32, frozen_stride=4)


def image_choices(
    facts: Facts, size: int | None, *, cells: int | None = None, fine_side: int = 0
) -> list[Choice]:
    """Chooses the transform of frames to square images, the sizes of images and heatmaps, and sigma
    where heatmaps have half of the images' side.

    size: of images, as typed, px. cells: of the side of heatmaps, as typed. fine_side: of images up to
    which heatmaps have half of it, px.
    """
    transform = (
        ("around_box", "several animals on a frame: each is cropped by its box")
        if facts.several
        else (
            "around_box",
            f"on whole frames of {SIZES[-1]} px the animal would span "
            f"{facts.diagonal * SIZES[-1] / facts.longer_side:.0f} px: it is cropped",
        )
        if facts.small
        else ("letterbox", "one animal on a frame, which is not looked for")
    )
    whole = facts.seen_side
    at = {side: facts.diagonal * side / whole for side in SIZES}
    found = next((side for side in SIZES[1:] if at[side] >= LEAST_DIAGONAL), SIZES[-1])
    why = f"the animal's diagonal is {at[found]:.0f} px at this size"
    if whole <= SIZES[0]:
        found, why = SIZES[0], f"the crop is {whole:.0f} px long"
    elif found > USUAL_SIZE:
        why += f", at {USUAL_SIZE} px it would be {at[USUAL_SIZE]:.0f}"
    used = size or found
    stride = 2 if used <= fine_side else 4
    cell = stride * whole / used
    return [
        Choice("transform", *transform),
        *(
            [Choice("place", facts.place, "all labels lie in it, on frames of each size")]
            if facts.place
            else []
        ),
        Choice("image_size", found, why),
        Choice(
            "heatmap_size",
            used // stride,
            f"a cell is {cell:.1f} px of a frame or a crop; targets are finer",
        ),
        *(
            [Choice("sigma", FINE_SIGMA, "cells of 2 px, which are small")]
            if stride == 2 and cells in (None, used // stride)
            else []
        ),
    ]


def rotation_choice(facts: Facts) -> Choice:
    """Chooses how far images are turned: as far as the animals are."""
    if not math.isfinite(facts.direction):
        return Choice("rotation", 30.0, "no pair of keypoints shows how the animals lie")
    alike = facts.direction >= UPRIGHT or facts.axis >= UPRIGHT
    return Choice(
        "rotation",
        30.0 if alike else 180.0,
        "the labelled animals lie "
        f"{'much the same way' if alike else 'in all directions'}, degrees either way",
    )


def flip_choices(facts: Facts, rotation: float) -> list[Choice]:
    """Chooses whether mirrored images are learnt from: only if mirrored animals look like labelled
    ones, by their poses and by the colours of their sides.

    No choice without pairs that swap places. rotation: as far as images are turned, degrees.
    """
    if not facts.flip or facts.points is None:
        return []
    if facts.sides >= MARKED:
        return [
            Choice(
                "flip", False, "left and right have different colours, which mirrored images swap"
            )
        ]
    known = np.isfinite(facts.points).all(-1)
    ratio = mirrored_distance(facts.points, known, facts.flip, rotation)
    if math.isnan(ratio):
        return [Choice("flip", False, "too few labelled animals show whether they face both ways")]
    times = f"mirrored, they are {ratio:.1f} times as far from others as those are from each other"
    both = ratio <= ALIKE_MIRRORED
    faces = "face both ways" if both else "all face one way"
    return [Choice("flip", both, f"the labelled animals {faces}: {times}")]


def steps_choice(
    name: str,
    count: int,
    batch: int,
    *,
    of: str = "labelled animals",
    passes: int,
    least: int,
    most: int,
) -> Choice:
    """Chooses a number of steps: passes over what is learnt from, within limits."""
    wanted = math.ceil(passes * count / batch)
    steps = min(max(wanted, least), most)
    bound = (
        f", but at least {least}"
        if wanted < least
        else f", but at most {most}"
        if wanted > most
        else ""
    )
    return Choice(
        name, steps, f"{passes} passes over {count} {of} in batches of {batch} are {wanted}{bound}"
    )


def rounds_choice(network: Any, typed: Collection[str], *, fine: bool = False) -> Choice:
    """Chooses in how many rounds the last stage is trained at most, while labelled images are not learnt.

    fine: whether heatmaps have half of the images' side, and the warm start more steps.
    """
    if "steps" in typed:
        return Choice("rounds", 1, "the steps are typed")
    most = ROUNDS if isinstance(network, SmallUNet) else ROUNDS_OF_FINE if fine else ROUNDS_OF_LARGE
    return Choice(
        "rounds",
        most,
        f"at most, of that many steps each: until no keypoint has more than {FITTED:.0%} of the error of empty "
        "heatmaps left on the labelled images",
    )


def rate_choices(config: Any, reason: str, most: float = math.inf) -> list[Choice]:
    """Chooses learning rates: the preset's, but at most `most`."""
    rates = {name: rate for name, rate in flat(config).items() if name.endswith("learning_rate")}
    return [
        Choice(name, min(rate, most), reason)
        for name, rate in rates.items()
        if name == "learning_rate" or rate > most
    ]


def every_choice(frames: Sequence[Frame], own: Own, typed: Collection[str]) -> tuple[Choice, int]:
    """Chooses which frames of videos without labels are used, and returns what counts: this, or
    what was typed.
    """
    of_videos = sum(frame.number is not None for frame in frames)
    every = math.ceil(of_videos / FRAMES_WITHOUT_LABELS)
    why = (
        "all of them"
        if every == 1
        else f"about {of_videos // max(every, 1)}, since neighbours are nearly identical"
    )
    choice = (
        Choice("every", every, f"{of_videos} frames of videos without labels: {why}")
        if of_videos
        else Choice("every", 1, "there are no videos without labels")
    )
    return choice, own.every if "every" in typed else choice.value


def apply_choices(
    config: Any, choices: Sequence[Choice], typed: Collection[str], labelled: int = 0, **unsaid: Any
) -> Any:
    """Returns the config with all choices but those of typed fields, and the reason of each as
    `why`; prints those of `NAMED` in a line.

    `steps` are chosen even if they are typed, since typed steps are scaled from them. labelled:
    animals that a batch is drawn from, where it is. unsaid: other fields, which are not printed.
    """
    if "transform" in typed:  # which says what is seen of a frame
        typed = {*typed, "place"}
    said = [choice for choice in choices if choice.field not in typed | {*UNSAID}]
    flags = [_flag(field, value) for field, value, _ in said if field in NAMED]
    line = f"chosen from your data: {count_text(len(said), 'setting')}, reasons in the report: {' '.join(flags)}"
    print(wrap_lines(line.rstrip(": ")))
    batch = config.batch_size
    if 0 < 2 * labelled < batch and "batch_size" in typed:
        print(
            f"--batch-size {batch} is more than the {labelled} labelled animals: a step sees each about "
            f"{batch / labelled:.0f} times, and takes that much longer; {max(labelled // 2 * 2, 2)} would do"
        )
    return replace_fields(
        config,
        **{field: value for field, value, _ in choices if field not in typed - {"steps"}},
        **unsaid,
        why=tuple((choice.field, f"{_shown(choice.value)}: {choice.reason}") for choice in said),
    )


def _flag(field: str, value: Any) -> str:
    name = field.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {_shown(value)}".rstrip()


def _shown(value: Any) -> str:
    return (
        " ".join(map(str, value))
        if isinstance(value, tuple)
        else str(getattr(value, "name", value))
    )


WEIGHTS = "mobilenet_v2.google_in1k"  # of MobileNetV2, inside kpjax
INSIDE = "published weights that are part of kpjax, the same on every machine"
# Heatmaps survived 300 steps at 3e-4 and at 1e-3, and vanished within 200 at 4e-3; runs here have 500
# steps or more.
RELATIVE_RATE = 3e-4
MANY_KEYPOINTS = 20  # above which the small U-net is wider


def usual_choices(
    facts: Facts,
    config: Any,
    typed: Collection[str],
    *,
    mobilenet: OfMobileNet = AS_IT_IS,
) -> list[Choice]:
    """Chooses images, as `image_choices` does, their rotation, the network, its heatmaps and its
    learning rates.

    The network is MobileNetV2 from weights inside kpjax, if no other network or weights are typed, no
    option of the small U-net, and no run to start from. mobilenet: what a system chooses for it
    with weights, whether it is typed or not. Of a project whose keypoints are a person's by their
    names, its weights are those of a network of human pose.
    """
    network, weights, small = config.network, "", isinstance(config.network, SmallUNet)
    start = getattr(config.backbone, "start", "")
    if small and not start and not typed & {"network", *vars(network)}:
        weights = config.backbone.weights if "weights" in typed else _inside(facts)
        known = known_weights(weights) if weights else None
        if weights and not known:
            raise InputError(
                "weights",
                f"{weights} is not among the known weights; name its network, too: --network "
                f"and one of {', '.join(name for name in NETWORKS if name != SmallUNet.name)}",
            )
        network = NETWORKS[known.network](**known.options) if known else network
    size, given = config.data.image_size if "image_size" in typed else None, flat(config)
    cells = given["heatmap_size"] if "heatmap_size" in typed else None
    published = bool(weights or config.backbone.weights)
    if "network" in typed and "weights" not in typed and network.name in WITH_WEIGHTS:
        print(
            f"--network {network.name} without --weights: it learns from random weights; kpjax weights lists "
            "published ones"
        )
    fine_side = mobilenet.fine_side if published and isinstance(network, MobileNetV2) else 0
    images = [
        *image_choices(facts, size, cells=cells, fine_side=fine_side),
        rotation := rotation_choice(facts),
        *(
            flip_choices(facts, given["rotation"] if "rotation" in typed else rotation.value)
            if "flip" in given  # which RegDA's augmentation has not
            else []
        ),
    ]
    if published and not isinstance(network, MoveNet):
        why = (
            f"{_people(facts)}: a network that has learnt poses of people; compare --weights {WEIGHTS}"
            if weights == MOVENET
            else "--network small_unet trains without pretrained weights"
        )
        of_network = [Choice("network", network, INSIDE), Choice("weights", weights, why)]
        return [
            *images,
            *(of_network if weights else []),
            *(_mobilenet_choices(facts, mobilenet) if isinstance(network, MobileNetV2) else []),
            *rate_choices(
                config,
                "published weights are changed slowly, falling to zero along a cosine",
                most=FINE_RATE,
            ),
        ]
    if isinstance(network, MoveNet):
        # Steps of Adam's own size are up to a quarter of such a kernel each: the published heatmaps
        # fade.
        return [
            *images,
            Choice(
                "relative_steps",
                True,
                "norms are folded into its kernels, some of which are a "
                "thousandth: steps are shares of each",
            ),
            *rate_choices(
                config, "larger relative steps over as many let its heatmaps fade", RELATIVE_RATE
            ),
        ]
    if not small:
        return [*images, *rate_choices(config, "the preset's")]
    many = facts.keypoints > MANY_KEYPOINTS
    why = f"{facts.keypoints} keypoints, " + (
        f"more than {MANY_KEYPOINTS}" if many else f"{MANY_KEYPOINTS} or fewer"
    )
    return [
        *images,
        Choice("widths", (16, 32, 64, 64, 128) if many else (16, 32, 32, 64, 64), why),
        Choice("head_width", 64 if many else 32, why),
        *rate_choices(config, "the small U-net's, falling to zero along a cosine"),
    ]


def _mobilenet_choices(facts: Facts, mobilenet: OfMobileNet) -> list[Choice]:
    width = mobilenet.decoder_width if facts.keypoints <= MANY_KEYPOINTS else 0
    made = [
        Choice("head_layers", mobilenet.head_layers, "as in the small U-net"),
        Choice(
            "decoder_width",
            width,
            f"{facts.keypoints} keypoints, {MANY_KEYPOINTS} or fewer: a narrow pyramid saves time",
        ),
        Choice(
            "frozen_stride",
            mobilenet.frozen_stride,
            "the first layers keep their weights, which saves time",
        ),
    ]
    return [one for one in made if one.value]


def _inside(facts: Facts) -> str:
    """Returns the weights inside kpjax that suit the keypoints: those of human pose for a person's."""
    if not person.is_person(facts.names):
        return WEIGHTS
    print(
        "kpjax evaluate movenet PROJECT measures the published network as it is: with 50 labelled athletes no "
        "network\ntrained here found more points"
    )
    return MOVENET


def _people(facts: Facts) -> str:
    found = sum(person.of_person(name) is not None for name in facts.names)
    return f"{found} of {facts.keypoints} keypoints are a person's by their names"
