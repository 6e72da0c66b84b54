"""Rivals of Keypoint Pyramids, controls, and the bound that sees the joints."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax import Codec, Example, Method, Skeleton, geometry, methods, models, spatial_softmax
from kpjax.augment import no_augmentation
from kpjax.methods.perceptual import perceptual_options
from kpjax.models import KeypointLevels, points_of_maps
from kpjax.papers.engine import Variant
from kpjax.papers.pyramids.config import Config
from kpjax.papers.pyramids.stages import (
    PERCEPTUAL,
    discovered,
    learnt_from_joints,
    network_of,
    shared_options,
    still_of,
    usual_steps,
    without_network,
)

BLOB_WIDTH = 0.1  # blob width of the baselines, an image's side being 2
BASELINES = ("keynet", "transporter")  # baselines of the paper
PERMAKEY = "permakey"  # the baseline of the paper's supplement
WITHOUT_NETWORK = ("mean_pose", "image_moments")

# Steps: in the small presets baselines have so many more that each variant costs the same


def keynet_steps(config: Config) -> int:
    """Returns the number of steps of KeyNet."""
    return max(round(config.steps * config.baselines.keynet_steps), 1)


def transporter_steps(config: Config) -> int:
    """Returns the number of steps of Transporter."""
    return max(round(config.steps * config.baselines.transporter_steps), 1)


def oracle_steps(config: Config) -> int:
    """Returns the number of steps of the bound."""
    return max(round(config.steps * config.baselines.oracle_steps), 1)


def every_keypoint(config: Config, skipped: int = 0) -> int:
    """Returns as many keypoints as both levels have, or the first alone where a map is skipped."""
    coarse, fine = config.pyramid.level_sizes
    return coarse if skipped else coarse + fine


# Methods; a size of 0 is `every_keypoint`


def build_keynet(config: Config, joints: Skeleton, size: int = 0, *, skipped: int = 0) -> Method:
    """KeyNet (Jakab et al. 2018) with `size` keypoints on the finest map, or on one coarser where
    one is skipped.
    """
    perceptual = config.baselines.perceptual
    return methods.keynet(
        objective=methods.keynet_objective(perceptual=bool(perceptual)),
        network=models.as_keynet(
            network_of(config, (size or every_keypoint(config, skipped),), skipped=skipped),
            blob_width=BLOB_WIDTH,
        ),
        **perceptual_options(perceptual, PERCEPTUAL),
        **still_of(config),
        **shared_options(config, keynet_steps),
    )


def build_transporter(
    config: Config, joints: Skeleton, size: int = 0, *, skipped: int = 0
) -> Method:
    """Transporter (Kulkarni et al. 2019) with `size` keypoints on the finest map, or on one coarser
    where one is skipped. The transported features are the same.
    """
    return methods.transporter(
        objective=methods.transporter_objective(),
        network=models.as_transporter(
            network_of(config, (size or every_keypoint(config, skipped),), skipped=skipped)
        ),
        blob_width=BLOB_WIDTH,
        reference_pass=config.rendering.reference_pass,
        **still_of(config),
        **shared_options(config, transporter_steps),
    )


def build_permakey(config: Config, joints: Skeleton, size: int = 0) -> Method:
    """PermaKey (Gopalakrishnan et al. 2021) with `size` keypoints, on features of its own."""
    chosen = config.pyramid
    return methods.permakey(
        objective=methods.permakey_objective(),
        network=models.permakey_network(
            size or every_keypoint(config),
            small=chosen.network == "small",
            sharpness=chosen.sharpness,
            dtype=jnp.dtype(chosen.dtype),
        ),
        blob_width=BLOB_WIDTH,
        **shared_options(config, usual_steps),
    )


class FinestHeatmaps(nn.Module):
    """Normalised images (B, H, W, 3) to the logits (B, h, w, K) float32 of the finest level."""

    keypoints: KeypointLevels

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return self.keypoints(images, train).heatmaps[-1]


def build_oracle(config: Config, joints: Skeleton, size: int = 0) -> Method:
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

    to_heatmap = geometry.half_pixel_grid(side / maps.shape[1])
    codec = Codec(encode, decode, to_heatmap, decode)
    return methods.supervised(
        methods.Setup(
            model, joints, codec, augment=no_augmentation(), **shared_options(config, oracle_steps)
        ),
        loss=point_mse,
    )


build_keynet_coarse = functools.partial(build_keynet, skipped=1)
build_transporter_coarse = functools.partial(build_transporter, skipped=1)

# The table

RIVALS: dict[str, Variant] = {
    "keynet": Variant(
        "baseline",
        "keypoints of one level, by reconstruction",
        build_keynet,
        discovered(keynet_steps, compares=True, by_level=True),
        label="KeyNet",
    ),
    "transporter": Variant(
        "baseline",
        "keypoints of one level, by transport",
        build_transporter,
        discovered(transporter_steps, by_level=True),
        label="Transporter",
    ),
    PERMAKEY: Variant(
        "baseline",
        "keypoints where features cannot be predicted from those around them",
        build_permakey,
        discovered(usual_steps, still=False, by_level=True),
        label="PermaKey",
    ),
    "keynet_coarse": Variant(
        "control",
        "KeyNet with the keypoints of the first level alone, on the map of the first level",
        build_keynet_coarse,
        discovered(keynet_steps, compares=True),
    ),
    "transporter_coarse": Variant(
        "control",
        "Transporter with the keypoints of the first level alone, on the map of the first level",
        build_transporter_coarse,
        discovered(transporter_steps),
    ),
    "mean_pose": Variant("control", "the mean position of every joint", None, without_network),
    "image_moments": Variant(
        "control",
        "nine moments of what differs from the background",
        None,
        without_network,
    ),
}
BOUND = Variant(
    "oracle",
    "the keypoint encoder trained on the joints",
    build_oracle,
    learnt_from_joints(oracle_steps),
    label="supervised",
)
