"""Parts of configs that systems share, and a flat view of nested ones: a flag is a field's name,
wherever it stands.
"""

import ast
import functools
import inspect
import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, dataclass, field as part_of_config, fields, is_dataclass, replace
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    get_args,
    get_origin,
    get_type_hints,
)

import jax
import jax.numpy as jnp
import optax
import tyro

from kpjax import InputError, Skeleton, augment, heatmaps
from kpjax.augment import Augment, Loaded, Reach
from kpjax.errors import suggest_name
from kpjax.files import strict
from kpjax.images.transforms import (
    AroundBox,
    Letterbox,
    PersonCrop,
    ScaledByBox,
    Stretch,
    Transform,
    enlarge,
)
from kpjax.input.source import Source, in_memory
from kpjax.methods.forward import NORMALISATIONS, Normalise
from kpjax.models import KeypointNetwork, person
from kpjax.models.movenet import MoveNetPyramid
from kpjax.models.networks import NETWORKS
from kpjax.optimization import scale_backbone
from kpjax.platforms import run_once


def network_of(config: Any, keypoints: int) -> KeypointNetwork:
    """Builds the network of a config for heatmaps of its size."""
    network = config.network.build(
        keypoints, stride=config.data.image_size // config.heatmaps.heatmap_size
    )
    return config.backbone.applied_to(network)


def optimizer_of(
    config: Any, optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Returns an optimizer with the backbone's share of every step, and none for layers that the
    config freezes.
    """
    if config.backbone.relative_steps:
        optimizer = optax.chain(optimizer, optax.scale_by_param_block_rms())
    rate, frozen = config.backbone.backbone_rate, getattr(config.network, "frozen_layers", ())
    return scale_backbone(optimizer, rate, frozen) if frozen or rate != 1 else optimizer


# Nested and flat


def flat(config: Any) -> dict[str, Any]:
    """Returns every leaf field of a nested config by its name, the network's name as `network`."""
    found: dict[str, Any] = {}
    for one in settings_of(config):
        value = getattr(config, one.name)
        if is_dataclass(value):
            if type(value) in NETWORKS.values():
                found["network"] = value.name
            found |= flat(value)
        else:
            found[one.name] = value
    return found


def settings_of(config: Any) -> list[Field]:
    """Returns the fields on which a run depends."""
    return [one for one in fields(config) if one.compare]


def replace_fields(config: Any, **values: Any) -> Any:
    """Returns a nested config with some fields replaced, named as on the command line.

    A part itself (`network=PoseResNet(101)`) is replaced whole, before its fields. Raises TypeError
    for a name that no part has.
    """
    # A leaf may have the name of the part that it lies in, as `optimizer` has.
    own = {field.name: is_dataclass(getattr(config, field.name)) for field in fields(config)}
    replaced = {
        name: value
        for name, value in values.items()
        if name in own and is_dataclass(value) >= own[name]
    }
    rest, known = (
        {name: value for name, value in values.items() if name not in replaced},
        set(replaced),
    )
    for field in fields(config):
        part = replaced.get(field.name, getattr(config, field.name))
        if is_dataclass(part) and (
            inside := {name: value for name, value in rest.items() if name in flat(part)}
        ):
            replaced[field.name] = replace_fields(part, **inside)
            known |= set(inside)
    if unknown := sorted(set(values) - known):
        raise TypeError(f"{type(config).__name__} has no field {', '.join(unknown)}")
    return replace(config, **replaced)


def with_network(config: Any, name: str) -> Any:
    """Returns a config with another network, which keeps those fields of the head and the dtype
    that it has.

    Raises InputError for a name that is not in `NETWORKS`.
    """
    if name not in NETWORKS:
        raise InputError(
            "network",
            f"{name!r} is unknown; there are {', '.join(NETWORKS)}{suggest_name(name, NETWORKS)}",
        )
    if config.network.name == name:
        return config
    # Widths and depths mean something else in another architecture.
    kept = (
        {"head_layers", "head_width", "dtype"}
        & set(vars(config.network))
        & {field.name for field in fields(NETWORKS[name])}
    )
    return replace(
        config, network=NETWORKS[name](**{field: getattr(config.network, field) for field in kept})
    )


def settings_text(settings: Mapping[str, Any]) -> str:
    """Returns settings as `results.csv` writes them: "labelled=10 sigma=2", by name."""
    return " ".join(f"{name}={value_text(value)}" for name, value in sorted(settings.items()))


def read_settings(text: str) -> dict[str, Any]:
    """Returns settings by name from what `settings_text` wrote, as values."""

    def read_value(text: str) -> Any:
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            return text

    settings = (one.partition("=") for one in text.split())
    return {name: read_value(value) for name, _, value in settings}


def value_text(value: Any) -> str:
    """Returns a setting in a word; a file of weights by its name, without folders and suffix."""
    if isinstance(value, tuple | list):
        return ",".join(map(value_text, value))
    if isinstance(value, float):
        return format(value, "g")
    text = str(value).replace(" ", "_")
    return Path(text).stem if text.endswith((".safetensors", ".pth")) else text


# Fields


class Rule(NamedTuple):
    """What a field accepts; stands in its type, as in `steps: Count`."""

    accepts: Callable[[Any], bool]
    asks: str


NOT_NEGATIVE = Rule(lambda value: value >= 0, "must be at least 0")
Count = Annotated[int, Rule(lambda value: value >= 1, "must be at least 1")]
CountOrZero = Annotated[int, NOT_NEGATIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]
Positive = Annotated[float, Rule(lambda value: 0 < value < math.inf, "must be finite and above 0")]
LARGEST_SIDE = 4096  # px: a batch of 16 such images has a gigabyte
Side = Annotated[
    int, Rule(lambda value: 8 <= value <= LARGEST_SIDE, f"give 8 to {LARGEST_SIDE} px")
]
# A narrower Gaussian falls between the cells of a heatmap, and trains nothing.
Sigma = Annotated[float, Rule(lambda value: 0.1 <= value <= 100, "give 0.1 to 100 heatmap px")]
Share = Annotated[
    float, Rule(lambda value: 0 < value <= 1, "must be a share above 0 and at most 1")
]


@dataclass(frozen=True)
class Checked:
    """A part of a config. Raises InputError for a field that breaks the rule in its type."""

    def __post_init__(self):
        # A subclass that gives a field another type or default keeps the rule.
        types = [
            item for part in type(self).__mro__ for item in inspect.get_annotations(part).items()
        ]
        for name, field_type in types:
            for rule in getattr(field_type, "__metadata__", ()):
                if isinstance(rule, Rule) and not rule.accepts(value := getattr(self, name)):
                    shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
                    raise InputError(name, f"{shown}; {rule.asks}")


# Labelled image sets by name, which who runs a system opens. A prepared set has three parts: images
# that train, others on which settings are chosen, and those that test. A run with a tuning seed is
# evaluated on the second part and never reads the third. Rendered images are other ones for every
# seed.

KEPT_IN_MEMORY = 2**30
# seeds on which settings are chosen, which never enter a mean with others
TUNING_SEEDS = range(100, 2**31)
RENDERED = ("figures:", "bodies:")

# Sets of crops that the official RegDA code turns and crops before it resizes them.
MOVED_AT_FULL_SIZE = ("rhd", "freihand", "h3d", "surreal", "human36m")


class Splits(NamedTuple):
    """Training, validation and test images of one seed."""

    train: Source
    validation: Source
    test: Source
    #: training images as evaluation sees them, if they are loaded larger
    plain_train: Source | None = None
    labelled: Source | None = None  # those of `train` with labels, if others have none

    @property
    def as_evaluated(self) -> Source:
        """Training images as evaluation sees them."""
        return self.plain_train or self.train


@dataclass(frozen=True)
class RunConfig(Checked):
    """What the engine asks of the config of any paper, which has `summary`, `steps` of the last
    stage and `batch_size`."""

    #: fields that were chosen, each with the reason; words about the others, of which no run depends
    why: tyro.conf.Suppress[tuple[tuple[str, str], ...]] = part_of_config(
        default=(), compare=False, kw_only=True
    )
    #: fields with steps of other stages, which `--steps` scales alike
    SCALED: ClassVar[tuple[str, ...]] = ()
    #: streams that share a batch equally
    STREAMS_OF_A_BATCH: ClassVar[int] = 1

    @property
    def prediction_batch(self) -> int:
        """Images that are predicted together."""
        return 2 * self.batch_size

    def shortened(self, steps: int) -> Self:
        """Returns the config with so many steps in the last stage, those of other stages scaled
        alike.
        """
        others = {
            name: value and max(1, round(value * steps / self.steps))
            for name, value in flat(self).items()
            if name in self.SCALED
        }
        return replace_fields(self, steps=steps, **others)


@dataclass(frozen=True)
class ImageSet(Checked):
    """Labelled images of a run: which there are, and how they become square ones."""

    train: str = ""  # "<dataset>/<split>" of `python -m data`, or "figures:<domain>"
    scale_is: str = ""  # what distances are compared with, in words
    test: str = ""  # "<dataset>/<split>"; "" for rendered people
    # "<dataset>/<split>", on which tuning seeds are tested, too; "" holds out a share of the
    # training images
    validation: str = ""
    validation_share: Share = 0.05  # share of the training images, where no split validates
    unused_keypoints: tuple[str, ...] = ()  # keypoints that the dataset never labels
    #: groups of keypoints that sample a contour, whose distance is measured, too
    contours: tuple[str, ...] = ()
    #: to a square image
    transform: Literal["person_crop", "letterbox", "around_box"] = "person_crop"
    crop_margin: Positive = 1.25  # side of the crop over the longer side of the box; not stated
    crop_smallest: float = 0.0  # px of the original image, the least side of the crop
    image_size: Side = 256  # px
    #: the longer side of the annotated box, or the dataset's own length
    pck_over: Literal["box", "scale"] = "box"
    training_examples: Count = 2000  # number of rendered people
    test_examples: Count = 500
    difficulty: float = 0.5  # difficulty of the domain figures:target

    @property
    def rendered(self) -> bool:
        """Whether the images are rendered by the seed."""
        return self.train.startswith(RENDERED)

    def square(self) -> Transform:
        """Returns the transform of an image of the set to a square one."""
        square = self.square_of_new()
        if self.transform == "person_crop":
            square = PersonCrop(self.image_size, self.crop_margin, smallest=self.crop_smallest)
        return ScaledByBox(square) if self.pck_over == "box" else square

    def square_of_new(self) -> Transform:
        """Returns the transform of a new image: letterboxed, or cropped by boxes if the set's
        are."""
        by_box = self.transform == "around_box"
        return (
            AroundBox(self.image_size, self.crop_margin) if by_box else Letterbox(self.image_size)
        )

    def loaded(self, reach: Reach | None) -> Loaded | None:
        """Returns how training images are loaded larger, for an augmentation that moves the
        original; None if not.
        """
        larger = self.larger(reach)
        return larger and larger[1]

    def larger(self, reach: Reach | None) -> tuple[Transform, Loaded] | None:
        """Returns the transform of training images that are loaded larger, and how they are
        loaded."""
        cropped = self.transform == "person_crop" and not self.rendered
        return loaded_larger(self.square(), self.image_size, reach if cropped else None)


def decoded_once(source: Source) -> Source:
    """Returns a source in memory if its images fit into KEPT_IN_MEMORY bytes, otherwise the source
    itself.
    """
    return in_memory(source) if len(source) * source[0].image.nbytes <= KEPT_IN_MEMORY else source


def loaded_larger(
    square: Transform, side: int, reach: Reach | None
) -> tuple[Transform, Loaded] | None:
    """Returns the transform to images that show what an augmentation of this reach moves into one
    of `side` px, and how they are loaded; None without a reach.

    At 256 px the official HRNet augmentation takes 604 px, 1.1 MB an image. The strongest zoom then
    reads one loaded pixel for each of its own; fewer would blur it, more would not show.
    """
    if reach is None:
        return None
    larger, larger_side, to_plain = enlarge(square, **reach._asdict())
    return larger, Loaded(larger_side, to_plain, side)


def larger_domain(name: str, side: int, reach: Reach | None) -> tuple[Transform, Loaded] | None:
    """Returns the transform of a domain's training images that are loaded larger, and how they are
    loaded.
    """
    return loaded_larger(Stretch(side), side, reach if name in MOVED_AT_FULL_SIZE else None)


# Heatmaps


@dataclass(frozen=True)
class Heatmaps(Checked):
    """Heatmaps that a network learns and is read by."""

    heatmap_size: CountOrZero = 64  # px; 0: chosen from the data
    sigma: Sigma = 2.0  # sigma of a keypoint's Gaussian, heatmap px
    grid: Literal["index", "half_pixel"] = "index"  # how heatmaps lie in the image
    #: Gaussians at whole cells and cut off, or at the keypoints
    targets: Literal["official", "sub_pixel"] = "official"
    decoder: heatmaps.DecoderName = "argmax"
    #: whether the two keypoints of a left-right pair are read at two peaks, where there are two
    apart: bool = False

    def codec(
        self, image_size: int, *, logits: bool = False, flip: tuple[int, ...] = ()
    ) -> heatmaps.Codec:
        """Builds the codec. logits: whether the network's maps go through a softmax first. flip: of the
        skeleton, whose pairs are read `apart`.
        """
        official = self.targets == "official"
        cut = (
            {"rounded": True, "window": 3.0, "keep": "window"}
            if official
            else {"rounded": False, "window": None}
        )
        pairs = [(k, other) for k, other in enumerate(flip) if k < other]
        decoder = functools.partial(
            heatmaps.named_decoder,
            self.decoder,
            sigma=self.sigma,
            logits=logits,
            official=official,
        )
        return heatmaps.codec(
            image_size=image_size,
            heatmap_size=self.heatmap_size,
            sigma=self.sigma,
            grid=self.grid,
            decoder=decoder(apart=pairs if self.apart else ()),
            decoder_of_each=decoder(),
            **cut,
        )


# Augmentation


@dataclass(frozen=True)
class Augmentation:
    """Random changes of every training image."""

    #: "official": HRNet's; not stated
    augmentation: Literal["official", "strong", "xray", "none"] = "official"
    flip: bool = True  # mirrored images, where the skeleton has a flip permutation
    rotation: float = 30.0  # degrees either way, of the augmentation "strong"

    @property
    def reach(self) -> Reach | None:
        """How much larger images are loaded where the published code moves the original ones; None
        elsewhere.
        """
        return augment.scale_rotation_reach() if self.augmentation == "official" else None

    def build(
        self, skeleton: Skeleton, *, flip: bool = True, loaded: Loaded | None = None
    ) -> Augment:
        """Builds the augmentation.

        flip: False where mirrored images are no valid examples. loaded: of images loaded larger for
            the official one.
        """
        mirrored = (augment.random_flip(skeleton),) if flip and self.flip and skeleton.flip else ()
        if self.augmentation == "official":
            return augment.compose_augmentations(
                augment.random_scale_rotation(loaded=loaded), *mirrored
            )
        if self.augmentation == "strong":
            moved = augment.random_warp(
                augment.draw_affine(degrees=self.rotation, scale=(0.75, 1.4), shift=0.15)
            )
            return augment.compose_augmentations(
                moved,
                *mirrored,
                augment.colour_jitter(0.4),
                augment.random_blur((0.0, 1.0)),
                augment.random_noise(0.05),
            )
        if self.augmentation == "xray":
            return augment.random_warp(
                augment.draw_affine(degrees=10.0, scale=(1.0, 1.0), shift=0.02)
            )
        return augment.no_augmentation()


# Optimization


@dataclass(frozen=True)
class Optimizer(Checked):
    """Adam and its learning rate."""

    learning_rate: Positive = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"  # "cosine" falls to zero
    weight_decay: NotNegative = 0.0  # beside Adam's step
    clip: NotNegative = 0.0  # largest norm of the gradient; 0 for no clipping

    def adam(self) -> optax.GradientTransformation:
        """Builds Adam on clipped gradients, with weight decay, without its learning rate."""
        return optax.chain(
            *([optax.clip_by_global_norm(self.clip)] if self.clip else []),
            optax.scale_by_adam(),
            *([optax.add_decayed_weights(self.weight_decay)] if self.weight_decay else []),
        )

    def rate(self, steps: int) -> optax.Schedule:
        """Builds the learning rate of so many steps."""
        return (
            optax.cosine_decay_schedule(self.learning_rate, steps)
            if self.schedule == "cosine"
            else optax.constant_schedule(self.learning_rate)
        )


# Published weights that a backbone starts from

# Adam's, of networks that start from published weights. On a tuning subset of the mouse, 10 labels,
# MobileNetV2 had a PCK of 91.0 % at it. At the preset's rates, 3e-3 in the warm start and then
# 2e-3, which suit random weights, it had 88.9, with 1, 0.3 or 0.1 of them for the backbone.
FINE_RATE = 1e-3


@dataclass(frozen=True)
class Backbone(Checked):
    """The weights that the backbone starts from, and how it is trained."""

    # A file, or a name of `kpjax.models.weights.pretrained` or of timm's collection; "" or "none" for
    # random weights.
    weights: Annotated[str, tyro.conf.arg(aliases=("--imagenet",))] = ""
    #: normalisation of images, as the weights were trained
    normalisation: Literal["imagenet", "symmetric", "none"] = "imagenet"
    backbone_rate: Positive = 1.0  # share of the learning rate, for the backbone
    #: statistics by which its BatchNorm normalises training images
    backbone_statistics: Literal["batch", "frozen"] = "batch"
    # whether each array's step is a share of its root mean square: Adam's is as large for all
    # arrays, and a norm that was folded into a kernel may have left that one small
    relative_steps: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.weights == "none":
            object.__setattr__(self, "weights", "")

    @property
    def normalise(self) -> Normalise:
        """The function that prepares images in [0, 1]."""
        return NORMALISATIONS[self.normalisation]

    def applied_to(self, network: KeypointNetwork) -> KeypointNetwork:
        """Returns the network with its backbone's statistics frozen, if so asked."""
        return (
            network.clone(frozen_statistics=True)
            if self.backbone_statistics == "frozen"
            else network
        )

    def variables(
        self, network: KeypointNetwork, *, image_size: int, seed: int, names: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Returns fresh variables with the backbone's weights, as the `start` of a method; {} for
        random weights.

        image_size: px. seed: of all other variables. names: of the keypoints; a `MoveNet` with
        `sigmoid` has the published heatmaps of those that it knows. Raises InputError for weights
        that cannot be found or do not belong to the network.
        """
        if not self.weights:
            return {}
        from kpjax.models.weights.pretrained import KNOWN_WEIGHTS, load_backbone, plain_name
        from kpjax.models.weights.torch_names import describe
        from kpjax.models.weights.whole_movenet import load_movenet_heatmaps

        images = jnp.zeros((1, image_size, image_size, 3))
        fresh = run_once(functools.partial(network.init, train=False))(jax.random.key(seed), images)
        if isinstance(network.upsampling, MoveNetPyramid):
            known = person.channels(names) if getattr(network.head, "sigmoid", False) else ()
            imported = load_movenet_heatmaps(fresh, self.weights, channels=known)
        else:
            imported = load_backbone(fresh, self.weights)
        known = KNOWN_WEIGHTS.get(plain_name(self.weights))
        digest = f", sha256 {known.sha256[:12]}" if known else ""
        print(f"{self.weights}{digest}: {describe(imported.report)}")
        return {"variables": imported.variables}


def with_weights(config: Any, typed: Collection[str] = ()) -> Any:
    """Returns the config as its weights want it, but for `typed` fields; one without weights as it
    is.

    Known weights bring their normalisation and their network's options: depth, width,
    padding. A typed network, in place of the preset's own, is trained at Adam's
    learning rates of at most `FINE_RATE`: those of the preset suit its network.
    Raises InputError for weights that cannot be found, or are of another network.
    """
    if not hasattr(config, "backbone") or not config.backbone.weights:
        return config
    from kpjax.models.weights.pretrained import known_weights

    leaves = flat(config)
    if "network" in typed and leaves.get("optimizer") != "sgd":
        config = replace_fields(
            config,
            **{
                name: min(rate, FINE_RATE)
                for name, rate in leaves.items()
                if name.endswith("learning_rate") and name not in typed
            },
        )
    if not (known := known_weights(config.backbone.weights)):
        return config
    if config.network.name not in (known.network, known.whole):
        raise InputError(
            "network",
            f"{config.network.name}, but {known.name} are weights of {known.network}; choose "
            f"{known.network}, or other weights",
        )
    options = known.options if config.network.name == known.network else {}
    wanted = {"normalisation": known.normalisation, **options}
    return replace_fields(
        config, **{name: value for name, value in wanted.items() if name not in typed}
    )


def with_settings(config: Any, settings: Mapping[str, Any]) -> Any:
    """Returns the config with some fields replaced: the network by its name, and with other weights
    what these bring.

    Fields have the values that they are given: `steps` scales no others. Raises what `with_network`,
    `replace_fields` and `with_weights` do.
    """
    if "network" in settings:
        config = with_network(config, settings["network"])
    fields_alone = {name: value for name, value in settings.items() if name != "network"}
    config = replace_fields(config, **fields_alone)
    return with_weights(config, settings) if "weights" in settings else config


def backbone_lines(config: Any) -> list[str]:
    """Returns a line that says what the backbone of a config starts from; none for random
    weights."""
    backbone = getattr(config, "backbone", Backbone())
    if not backbone.weights:
        return []
    from kpjax.models.weights.pretrained import known_weights

    known = known_weights(backbone.weights)
    named = f"{known.name}, {known.licence}" if known else "not in the table of known weights"
    options = "".join(
        f"{name} {getattr(config.network, name)}, "
        for name in (known.options if known else ())
        if hasattr(config.network, name)
    )
    return [
        f"backbone: {config.network.name} from {backbone.weights} ({named}); {options}"
        f"normalisation {backbone.normalisation}, statistics {backbone.backbone_statistics}"
        + (
            f"; layers up to stride {stride} keep their weights"
            if (stride := getattr(config.network, "frozen_stride", 0))
            else ""
        )
    ]


def config_as_json(config: Any) -> dict[str, Any]:
    """Returns a nested config as JSON can hold it; a network has its `name` beside its fields."""
    named = {"name": config.name} if type(config) in NETWORKS.values() else {}
    return named | {
        one.name: config_as_json(value) if is_dataclass(value) else strict(value)
        for one in settings_of(config)
        for value in [getattr(config, one.name)]
    }


def stored_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all parts and leaves of a config that a config.json stores, by name; outer ones
    win. Tuples, which are lists there, are tuples again."""
    inner = [stored_fields(value) for value in stored.values() if isinstance(value, Mapping)]
    outer = {name: tuple(one) if isinstance(one, list) else one for name, one in stored.items()}
    return functools.reduce(operator.or_, inner, {}) | outer


def stored_leaves(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the leaves of a config that a config.json stores, by name."""
    found: dict[str, Any] = {}
    for name, value in stored.items():
        found |= stored_leaves(value) if isinstance(value, Mapping) else {name: value}
    return found


def config_from_json(template: Any, stored: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Returns a config of the class of `template` with the fields that a config.json stores, lists
    as tuples, and the names of those that it does not have.

    A field that is not stored, which the version that wrote it did not have, is as in `template`.
    The network is of the class that the stored fields name. Raises InputError for a value that its
    type or rule does not accept.
    """
    values, hints = {}, get_type_hints(type(template), include_extras=True)
    unknown = sorted(set(stored) - {one.name for one in settings_of(template)} - {"name"})
    for one in settings_of(template):
        if one.name not in stored:
            continue
        part, value = getattr(template, one.name), stored[one.name]
        if is_dataclass(part):
            if not isinstance(value, Mapping):
                raise InputError(f"config.json: {one.name} must be an object, found {value!r:.60}")
            if "name" in value and (name := value["name"]) != getattr(part, "name", None):
                if not isinstance(name, str) or name not in NETWORKS:
                    raise InputError(
                        f"config.json: {one.name}: {name!r:.60} is not a network; there are "
                        f"{', '.join(NETWORKS)}"
                    )
                part = NETWORKS[name]()
            values[one.name], more = config_from_json(part, value)
            unknown += more
            continue
        value = tuple(value) if isinstance(value, list) else value
        if not _is_of(value, hints[one.name]):
            raise InputError(
                f"config.json: {one.name}: {value!r:.60} is not a value of this field; copy the file "
                "again"
            )
        values[one.name] = value
    try:
        return replace(template, **values), unknown
    except InputError as error:
        raise InputError(f"config.json: {error}") from None


def _is_of(value: Any, hint: Any) -> bool:
    """Returns whether a stored value is of a leaf's type: a number, text, one of some words, or a
    tuple of these.
    """
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _is_of(value, inside[0])
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in inside)
    if origin:
        inside = (
            inside[:1] * len(value)
            if inside[-1] is Ellipsis and isinstance(value, tuple)
            else inside
        )
        return (
            isinstance(value, tuple)
            and len(value) == len(inside)
            and all(map(_is_of, value, inside))
        )
    if type(value) is int and hint in (int, float):
        return abs(value) < 2**63
    return type(value) is hint and hint is not int and (hint is not float or math.isfinite(value))
