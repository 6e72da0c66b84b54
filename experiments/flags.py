"""Checks of configs, in the words of the command line."""
import math
from collections.abc import Sequence

from kpjax.errors import InputError


def flag(name: str) -> str:
    """The flag of a field."""
    return f"--{name.replace('_', '-')}"


def check_at_least(least: int, config, names: Sequence[str]) -> None:
    """Raises InputError for a field that is below `least`."""
    for name in names:
        if getattr(config, name) < least:
            raise InputError(f"{flag(name)}: {getattr(config, name)}; give {least} or more")


def check_positive(config, names: Sequence[str]) -> None:
    """Raises InputError for a field that is not a finite number above zero."""
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise InputError(f"{flag(name)}: {getattr(config, name)}; give a finite number above 0")


def check_network_sizes(config) -> None:
    """Raises InputError where a network cannot turn images of `image_size` into heatmaps of `heatmap_size`."""
    strides = (2, 4) if config.network == "small_unet" else (4,)
    if config.image_size not in [stride * config.heatmap_size for stride in strides]:
        raise InputError(f"--heatmap-size: {config.heatmap_size} for images of {config.image_size} px; the heatmaps of "
                         f"{config.network} are {' or '.join(map(str, strides))} times smaller than its images")
    if config.network == "small_unet":
        if len(config.widths) < 3:
            raise InputError(f"--widths: {len(config.widths)} given; small_unet needs two and one for each block")
        if config.image_size % 2 ** (len(config.widths) - 1):
            raise InputError(f"--image-size: {config.image_size}; {len(config.widths)} widths need a multiple of "
                             f"{2 ** (len(config.widths) - 1)}")
    if config.network in ("hrnet", "rsn") and config.image_size % 32:
        raise InputError(f"--image-size: {config.image_size}; {config.network} halves its pictures five times, so give "
                         "a multiple of 32")
    if config.network == "rsn" and config.depth not in (18, 50):
        raise InputError(f"--depth: {config.depth}; rsn has depth 18 or 50")
