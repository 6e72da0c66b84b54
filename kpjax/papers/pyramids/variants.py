"""Variants: what is compared, and how each is built."""

import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from kpjax import Codec, Example, Method, Skeleton, geometry, methods, models, spatial_softmax
from kpjax.augment import no_augmentation
from kpjax.evaluation.probes.image_moments import image_moments
from kpjax.input.video_source import VideoSource, frames_of
from kpjax.losses import Objective
from kpjax.methods.perceptual import perceptual_options
from kpjax.methods.pyramids_family.discovery import STILL, StillCamera, still_videos
from kpjax.models import KeypointLevels, KeypointPyramid, points_of_maps
from kpjax.models.vgg import IMM_TAPS, VGG
from kpjax.papers.engine import Variant
from kpjax.papers.pyramids.config import Config

PERCEPTUAL = VGG(16, IMM_TAPS)  # of KeyNet's loss
BLOB_WIDTH = 0.1  # of the baselines, an image's side being 2
BACKGROUND_FRAMES = 200  # of a video, about, are enough for its background
BASELINES = ("keynet", "transporter")  # of the paper
# The same with as many keypoints as level 1 has, on its map: whether a difference is one of methods
# and not of map sizes.
KEYNETS = ("keynet", "keynet_coarse")
TRANSPORTERS = ("transporter", "transporter_coarse")
PERMAKEY = "permakey"  # the baseline of the paper's supplement
COARSE = ("keynet_coarse", "transporter_coarse")
ORACLE = "supervised_bound"

# Variants


def network_of(
    config: Config,
    sizes: tuple[int, ...] = (),
    *,
    conditioned: bool = True,
    skipped: int = 0,
) -> KeypointPyramid:
    """Builds the network with levels of these sizes, else the config's.

    conditioned: whether level 2 reads level 1. skipped: how many of the finest maps no level reads.
    """
    chosen, sizes = config.pyramid, sizes or config.pyramid.level_sizes
    shared = {
        "conditioned": conditioned,
        "conditioning_width": chosen.conditioning_width,
        "sharpness": chosen.sharpness,
        "skipped": skipped,
        "dtype": jnp.dtype(chosen.dtype),
    }
    if chosen.network == "small":
        return models.small_keypoint_pyramid(sizes, side=config.data.image_size, **shared)
    return models.keypoint_pyramid(sizes, **shared)


def steps_of(config: Config, variant: str) -> int:
    """Returns the number of steps of a variant."""
    factors = dict.fromkeys(KEYNETS, config.baselines.keynet_steps)
    factors |= dict.fromkeys(TRANSPORTERS, config.baselines.transporter_steps)
    factors[ORACLE] = config.baselines.oracle_steps
    return max(round(config.steps * factors.get(variant, 1.0)), 1)


def _shared(config: Config, variant: str = "pyramids") -> dict[str, Any]:
    return {
        "optimizer": config.optimizer.adam(),
        "learning_rate": config.optimizer.rate(steps_of(config, variant)),
        "normalise": methods.imagenet_normalise,
    }


def still_of(config: Config) -> dict[str, StillCamera]:
    """Returns the method's argument for a still camera, or none."""
    residual, share = config.still.residual, config.still.motion_weight
    return {"still": StillCamera(residual, share > 0)} if residual or share else {}


def still_start(config: Config, source: VideoSource) -> dict[str, Any]:
    """Returns the part of the start that a still camera needs, of the training videos; {} without
    one.
    """
    if not still_of(config):
        return {}
    return {
        STILL: still_videos(
            (images[:: -(-len(images) // BACKGROUND_FRAMES)] for images in frames_of(source)),
            source.video,
            share=config.still.motion_weight,
        )
    }


def build_keynet(config: Config, joints: Skeleton, size: int, *, skipped: int = 0) -> Method:
    """KeyNet (Jakab et al. 2018) with `size` keypoints on the finest map, or on one coarser where
    one is skipped.
    """
    perceptual = config.baselines.perceptual
    return methods.keynet(
        objective=methods.keynet_objective(perceptual=bool(perceptual)),
        network=models.as_keynet(
            network_of(config, (size,), skipped=skipped), blob_width=BLOB_WIDTH
        ),
        **perceptual_options(perceptual, PERCEPTUAL),
        **still_of(config),
        **_shared(config, "keynet"),
    )


def build_transporter(config: Config, joints: Skeleton, size: int, *, skipped: int = 0) -> Method:
    """Transporter (Kulkarni et al. 2019) with `size` keypoints on the finest map, or on one coarser
    where one is skipped. The transported features are the same.
    """
    return methods.transporter(
        objective=methods.transporter_objective(),
        network=models.as_transporter(network_of(config, (size,), skipped=skipped)),
        blob_width=BLOB_WIDTH,
        reference_pass=config.rendering.reference_pass,
        **still_of(config),
        **_shared(config, "transporter"),
    )


def build_permakey(config: Config, joints: Skeleton, size: int) -> Method:
    """PermaKey (Gopalakrishnan et al. 2021) with `size` keypoints, on features of its own."""
    chosen = config.pyramid
    return methods.permakey(
        objective=methods.permakey_objective(),
        network=models.permakey_network(
            size, small=chosen.network == "small", sharpness=chosen.sharpness
        ),
        blob_width=BLOB_WIDTH,
        **_shared(config, PERMAKEY),
    )


class FinestHeatmaps(nn.Module):
    """Normalised images (B, H, W, 3) to the logits (B, h, w, K) float32 of the finest level."""

    keypoints: KeypointLevels

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return self.keypoints(images, train).heatmaps[-1]


def build_oracle(config: Config, joints: Skeleton, size: int) -> Method:
    """The pyramid's finest keypoint encoder, trained on the joints by the mean squared error of
    their coordinates.

    Coordinates lie between -1 and 1, the image's edges; scores are the highest probabilities.
    """
    model = FinestHeatmaps(network_of(config, (len(joints.names),)).keypoints)
    side = config.data.image_size
    maps = jax.eval_shape(
        functools.partial(model.init_with_output, train=False),
        jax.random.key(0),
        jnp.zeros((1, side, side, 3)),
    )[0]

    def encode(example: Example) -> tuple[jax.Array, jax.Array]:
        # A mean over the map cannot lie beyond it.
        shown = geometry.in_frame(example.keypoints, example.image.shape[1:3])
        return (example.keypoints + 0.5) * (2 / side) - 1, jnp.where(shown, example.visible, 0.0)

    def decode(heatmaps: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (points_of_maps(heatmaps) + 1) * (side / 2) - 0.5, spatial_softmax(heatmaps).max(
            (1, 2)
        )

    def point_mse(heatmaps: jax.Array, points: jax.Array, visible: jax.Array) -> jax.Array:
        squared = jnp.square(points_of_maps(heatmaps) - points).sum(-1)
        return (squared * visible).sum() / (2 * jnp.maximum(visible.sum(), 1))

    codec = Codec(encode, decode, geometry.half_pixel_grid(side / maps.shape[1]))
    return methods.supervised(
        methods.Setup(model, joints, codec, augment=no_augmentation(), **_shared(config, ORACLE)),
        loss=point_mse,
    )


class Recipe(NamedTuple):
    """Construction of a variant: Keypoint Pyramids unless `build` or `features` is given."""

    change: Callable[..., Objective] = lambda terms: terms  # the ablated objective
    repaints: bool = False  # whether `change` compares images of its own, by the config's reduction
    conditioned: bool = True  # whether the second level reads the first
    #: (config, joints, number of keypoints) -> method
    build: Callable[[Config, Skeleton, int], Method] | None = None
    #: probed in place of keypoints: there is no network
    features: Callable[[VideoSource], np.ndarray] | None = None


VARIANTS: dict[str, Variant] = {
    "pyramids": Variant(
        "method",
        "two levels by reconstruction, transport and a spring",
        "Keypoint Pyramids",
        Recipe(),
    ),
    "keynet": Variant(
        "baseline",
        "keypoints of one level, by reconstruction",
        "KeyNet",
        Recipe(build=build_keynet),
    ),
    "transporter": Variant(
        "baseline",
        "keypoints of one level, by transport",
        "Transporter",
        Recipe(build=build_transporter),
    ),
    PERMAKEY: Variant(
        "baseline",
        "keypoints where features cannot be predicted from those around them",
        "PermaKey",
        Recipe(build=build_permakey),
    ),
    "keynet_coarse": Variant(
        "control",
        "KeyNet with the keypoints of the first level alone, on the map of the first level",
        recipe=Recipe(build=functools.partial(build_keynet, skipped=1)),
    ),
    "transporter_coarse": Variant(
        "control",
        "Transporter with the keypoints of the first level alone, on the map of the first level",
        recipe=Recipe(build=functools.partial(build_transporter, skipped=1)),
    ),
    "untrained": Variant(
        "control", "the network that Keypoint Pyramids starts from", recipe=Recipe()
    ),
    # a linear function of no feature
    "mean_pose": Variant(
        "control",
        "the mean position of every joint",
        recipe=Recipe(features=lambda source: np.zeros((len(source), 0))),
    ),
    "image_moments": Variant(
        "control",
        "nine moments of what differs from the background",
        recipe=Recipe(features=lambda source: image_moments(frames_of(source))),
    ),
    "no_reconstruction": Variant(
        "ablation",
        "without the reconstruction from all keypoints",
        "No-Reconstruction",
        Recipe(methods.no_reconstruction),
    ),
    "no_transport": Variant(
        "ablation", "without transport", "No-Transport", Recipe(methods.no_transport)
    ),
    "no_spring": Variant("ablation", "without the spring", "No-Spring", Recipe(methods.no_spring)),
    "all_transport": Variant(
        "ablation",
        "transport by all keypoints in place of the reconstruction",
        "All-Transport",
        Recipe(methods.all_transport, repaints=True),
    ),
    "all_reconstruction": Variant(
        "ablation",
        "a reconstruction for each level in place of its transport",
        "All-Reconstruction",
        Recipe(methods.all_reconstruction, repaints=True),
    ),
    "unconditioned": Variant(
        "ablation",
        "the second level does not read the first",
        "Unconditioned",
        Recipe(conditioned=False),
    ),
    "supervised_bound": Variant(
        "oracle",
        "the keypoint encoder trained on the joints",
        "supervised",
        Recipe(build=build_oracle),
    ),
}
WITHOUT_NETWORK = tuple(name for name, variant in VARIANTS.items() if variant.recipe.features)


def build(config: Config, joints: Skeleton, variant: str, size: int = 0) -> Method:
    """Builds the method of a variant with a network once, so that all seeds share what is compiled.

    joints: labelled keypoints, which the oracle learns. size: number of keypoints of a baseline; 0
    for all levels', or those of level 1 on the coarse map.
    """
    coarse, fine = config.pyramid.level_sizes
    size = size or (coarse if variant in COARSE else coarse + fine)
    return _built(config, joints, VARIANTS[variant].recipe, size)


@functools.lru_cache(maxsize=32)
def _built(config: Config, joints: Skeleton, recipe: Recipe, size: int) -> Method:
    if recipe.build:
        return recipe.build(config, joints, size)
    reduction = {"reduction": config.weights.reduction} if recipe.repaints else {}
    objective = recipe.change(methods.pyramids_objective(**asdict(config.weights)), **reduction)
    return methods.pyramids(
        objective=objective,
        network=network_of(config, conditioned=recipe.conditioned),
        **asdict(config.rendering),
        **still_of(config),
        **_shared(config),
    )
