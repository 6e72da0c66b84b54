"""What all methods of a preset are built from."""
import functools
from typing import NamedTuple

from experiments.decoding import decoder
from experiments.incremental.config import Config
from experiments.networks import heatmap_network
from experiments.strong_augmentation import strong_augmentation
from kpjax.augment.augmentations import (
    Augment,
    compose_augmentations,
    no_augmentation,
    random_flip,
    random_scale_rotation,
    random_warp,
)
from kpjax.augment.random_maps import draw_affine
from kpjax.heatmaps import Codec, codec
from kpjax.models.network import KeypointNetwork
from kpjax.structures import Skeleton


class Parts(NamedTuple):
    """What all methods of a preset are built from."""

    config: Config
    skeleton: Skeleton
    network: KeypointNetwork
    codec: Codec
    augment: Augment


@functools.lru_cache(maxsize=8)
def parts_of(config: Config, skeleton: Skeleton, mirrored: bool) -> Parts:
    """Built once per config, so that all steps and seeds share what is compiled. mirrored: see `Protocol`."""
    network = heatmap_network(
        config.network, len(skeleton.names), stride=config.image_size // config.heatmap_size, widths=config.widths,
        depth=config.depth, head_layers=config.head_layers, head_width=config.head_width, dtype=config.dtype,
        width=config.width, modules=config.modules, blocks=config.blocks, stem_width=config.stem_width,
        taps=config.taps, rematerialise=config.rematerialise,
        stages=config.stages, unit_width=config.unit_width)
    how = ({"rounded": True, "window": 3.0, "keep": "window"} if config.targets == "official" else
           {"rounded": False, "window": None})
    coding = codec(image_size=config.image_size, heatmap_size=config.heatmap_size, sigma=config.sigma, grid=config.grid,
                   decoder=decoder(config.decoder, sigma=config.sigma), **how)
    return Parts(config, skeleton, network, coding, _augmentation(config, skeleton, mirrored))


def _augmentation(config: Config, skeleton: Skeleton, mirrored: bool) -> Augment:
    """What every method does to every picture. Mirrored only where no pair of keypoints comes apart."""
    flip = config.flip and bool(skeleton.flip) and mirrored
    if config.augmentation == "official":
        return compose_augmentations(random_scale_rotation(), *((random_flip(skeleton),) if flip else ()))
    if config.augmentation == "strong":
        return strong_augmentation(skeleton, rotation=config.rotation, zoom=config.zoom, shift=config.shift, flip=flip,
                                   jitter=config.jitter, blur=config.blur, noise=config.noise)
    if config.augmentation == "xray":
        return random_warp(draw_affine(degrees=10.0, scale=(1.0, 1.0), shift=0.02))
    return no_augmentation()


class Setting(NamedTuple):
    """What decides how a method is compiled. Methods are built once for each, so that steps and seeds share them."""

    config: Config
    skeleton: Skeleton
    mirrored: bool

    @property
    def parts(self) -> Parts:
        return parts_of(self.config, self.points, self.mirrored)
