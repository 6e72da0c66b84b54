"""The rows of the tables: each is an ordinary function that builds a Method from a config."""
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.command_line import Variant
from experiments.pyramids.bound import FinestHeatmaps, point_codec, point_mse
from experiments.pyramids.config import Config
from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.objective import Objective, views
from kpjax.methods.discovery.discovery import POINTS
from kpjax.methods.discovery.keynet import keynet, keynet_objective
from kpjax.methods.discovery.objectives import (
    all_reconstruction,
    all_transport,
    no_reconstruction,
    no_spring,
    no_transport,
    pyramids_objective,
)
from kpjax.methods.discovery.pyramids import painting_pass, pyramids
from kpjax.methods.discovery.transporter import transporter, transporter_objective
from kpjax.methods.forward import imagenet_normalise
from kpjax.methods.supervised_learning import supervised
from kpjax.models.pyramid import KeypointPyramid, keypoint_pyramid, small_keypoint_pyramid
from kpjax.models.pyramid_baselines import as_keynet, as_transporter, published_keynet, published_transporter
from kpjax.models.vgg import IMM_TAPS, VGG
from kpjax.models.weights.imagenet import load_vgg
from kpjax.structures import Method, Skeleton


class Recipe(NamedTuple):
    """How a row of Keypoint Pyramids differs from the full method."""

    change: Callable[[Objective, Config], Objective] = lambda objective, config: objective
    conditioned: bool = True


RECIPES: dict[str, Recipe] = {
    "pyramids": Recipe(),
    "untrained": Recipe(),
    "no_reconstruction": Recipe(lambda objective, config: no_reconstruction(objective)),
    "no_transport": Recipe(lambda objective, config: no_transport(objective)),
    "no_spring": Recipe(lambda objective, config: no_spring(objective)),
    "all_transport": Recipe(lambda objective, config: all_transport(objective, reduction=config.reduction)),
    "all_reconstruction": Recipe(lambda objective, config: all_reconstruction(objective, reduction=config.reduction)),
    "unconditioned": Recipe(conditioned=False),
}
RIVALS = ("keynet", "transporter")
WITHOUT_NETWORK = ("mean_pose", "image_moments")

VARIANTS: dict[str, Variant] = {
    "pyramids": Variant("method", "two levels by reconstruction, transport and a spring", "Keypoint Pyramids"),
    "keynet": Variant("baseline", "keypoints of one level, by reconstruction", "KeyNet"),
    "transporter": Variant("baseline", "keypoints of one level, by transport", "Transporter"),
    "untrained": Variant("control", "the network that Keypoint Pyramids starts from"),
    "mean_pose": Variant("control", "the mean place of every joint"),
    "image_moments": Variant("control", "nine moments of what differs from the background"),
    "no_reconstruction": Variant("ablation", "without the reconstruction from all keypoints", "No-Reconstruction"),
    "no_transport": Variant("ablation", "without transport", "No-Transport"),
    "no_spring": Variant("ablation", "without the spring", "No-Spring"),
    "all_transport": Variant("ablation", "transport by all keypoints in place of the reconstruction", "All-Transport"),
    "all_reconstruction": Variant("ablation", "a reconstruction for each level in place of its transport",
                                  "All-Reconstruction"),
    "unconditioned": Variant("ablation", "the second level does not read the first", "Unconditioned"),
    "supervised_bound": Variant("oracle", "the keypoint encoder trained on the joints", "supervised"),
}


def objective_of(config: Config, variant: str) -> Objective:
    """The objective of a row of Keypoint Pyramids."""
    return RECIPES[variant].change(pyramids_objective(
        reconstruction=config.reconstruction, transport=config.transport, spring=config.spring,
        reduction=config.reduction, unit=config.spring_unit), config)


def network_of(config: Config, sizes: tuple[int, ...], *, conditioned: bool = True) -> KeypointPyramid:
    """The network with levels of these sizes."""
    shared = {"conditioned": conditioned, "conditioning_width": config.conditioning_width,
              "dtype": jnp.dtype(config.dtype)}
    if config.network == "small":
        return small_keypoint_pyramid(sizes, side=config.image_size, depth=config.depth, **shared)
    return keypoint_pyramid(sizes, **shared)


@functools.lru_cache(maxsize=32)
def build(config: Config, joints: Skeleton, variant: str, size: int = 0) -> Method:
    """The method of a row; built once, so that all seeds share what is compiled.

    joints: what is labelled, which the supervised bound learns. size: keypoints of a rival, 0 for those of all levels.
    """
    if variant == "supervised_bound":
        return _bound(config, joints)
    if variant in RIVALS:
        return (_keynet if variant == "keynet" else _transporter)(config, size or config.flat_size)
    return pyramids(
        objective=objective_of(config, variant),
        network=network_of(config, config.level_sizes, conditioned=RECIPES[variant].conditioned),
        **_paints(config), **_shared(config))


def _shared(config: Config) -> dict:
    optimizer = optax.chain(*([optax.clip_by_global_norm(config.clip)] if config.clip else []), optax.scale_by_adam())
    rate = (optax.cosine_decay_schedule(config.learning_rate, config.steps) if config.schedule == "cosine" else
            optax.constant_schedule(config.learning_rate))
    return {"optimizer": optimizer, "learning_rate": rate, "normalise": imagenet_normalise}


def _paints(config: Config) -> dict:
    return {name: getattr(config, name) for name in
            ("reconstruction_width", "transport_widths", "combine", "stop_reference", "reference_pass")}


def _keynet(config: Config, size: int) -> Method:
    network = (published_keynet(size, blob_width=config.keynet_width, dtype=jnp.dtype(config.dtype))
               if config.rivals == "published" else
               as_keynet(network_of(config, (size,)), blob_width=config.keynet_width))
    perceptual = {"perceptual": VGG(16, IMM_TAPS)} if config.perceptual else {}
    return keynet(objective=keynet_objective(perceptual=bool(config.perceptual), reduction=config.reduction),
                  network=network, **perceptual, **_shared(config))


def _transporter(config: Config, size: int) -> Method:
    network = (published_transporter(size, dtype=jnp.dtype(config.dtype)) if config.rivals == "published" else
               as_transporter(network_of(config, (size,))))
    return transporter(objective=transporter_objective(reduction=config.reduction), network=network,
                       blob_width=config.transporter_width, stop_reference=config.stop_reference,
                       reference_pass=config.reference_pass, **_shared(config))


def _bound(config: Config, joints: Skeleton) -> Method:
    model = FinestHeatmaps(network_of(config, (len(joints.names),)).keypoints)
    side = config.image_size
    heatmaps = jax.eval_shape(functools.partial(model.init_with_output, train=False), jax.random.key(0),
                              jnp.zeros((1, side, side, 3)))[0]
    return supervised(model, joints, codec=point_codec(side, heatmaps.shape[1]), loss=point_mse,
                      augment=no_augmentation(), **_shared(config))


def perceptual_start(config: Config, variant: str) -> dict:
    """What `keynet` starts from beside the network: VGG-16's weights, if the config names them. Prints a report."""
    if not config.perceptual or variant != "keynet":
        return {}
    fresh = jax.jit(VGG(16, IMM_TAPS).init)(jax.random.key(0), jnp.zeros((1, config.image_size, config.image_size, 3)))
    imported = load_vgg(fresh, config.perceptual)
    print(f"VGG-16 weights: {imported.report}")
    return {"perceptual": imported.variables}


@functools.lru_cache(maxsize=8)
def painter(config: Config, variant: str) -> tuple[tuple[str, ...], Callable]:
    """(names of the pictures that a row of Keypoint Pyramids paints, (variables, frame, reference) -> them by name).

    frame, reference: (B, H, W, 3) uint8.
    """
    paintings = tuple(sorted(views(objective_of(config, variant)) - {POINTS}))
    network = network_of(config, config.level_sizes, conditioned=RECIPES[variant].conditioned)
    forward = painting_pass(paintings, len(config.level_sizes), **_paints(config))

    @jax.jit
    def paint(variables, frame, reference):
        frame, reference = (imagenet_normalise(images.astype(jnp.float32) / 255) for images in (frame, reference))
        outputs = network.apply(variables, frame, reference, train=False, method=forward)
        return {painting: outputs[painting] for painting in paintings}

    return paintings, paint
