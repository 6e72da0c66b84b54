"""The networks that experiments choose by name, and where they start."""
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp

from kpjax.models.high_resolution import Taps, hrnet
from kpjax.models.network import KeypointNetwork
from kpjax.models.residual_steps import rsn
from kpjax.models.resnet import pose_resnet
from kpjax.models.unet import small_unet
from kpjax.models.weights.imagenet import load_imagenet
from kpjax.models.weights.torch_names import describe

NetworkName = Literal["small_unet", "pose_resnet", "hrnet", "rsn"]
SIZES: dict[str, tuple[str, ...]] = {  # the options of `heatmap_network` that decide which weights a network has
    "small_unet": ("widths", "head_layers", "head_width"),
    "pose_resnet": ("depth", "head_layers"),
    "hrnet": ("width", "modules", "blocks", "stem_width", "taps", "head_layers", "head_width"),
    "rsn": ("depth", "stages", "stem_width", "unit_width"),
}


def heatmap_network(
    name: NetworkName, keypoints: int, *, stride: int, widths: tuple[int, ...] = (), depth: int = 50,
    head_layers: int = 1, head_width: int = 64, dtype: str = "float32", width: int = 32,
    modules: tuple[int, ...] = (1, 4, 3), blocks: int = 4, stem_width: int = 64, taps: Taps = "stage_outputs",
    rematerialise: bool = False, stages: int = 1, unit_width: int = 256,
) -> KeypointNetwork:
    """A network whose heatmaps are `stride` times smaller than its images.

    widths, stride: of the small U-net; the stride of the others is 4. head_width: of the small U-net and of HRNet with
    two head layers. depth: of the residual network and of RSN (18 or 50). width, modules, blocks, taps: of HRNet.
    stem_width: of HRNet and of RSN, whose levels are as wide and 2, 4 and 8 times. rematerialise: of both. stages,
    unit_width: of RSN, which has a head of its own kind.
    """
    if name == "hrnet":
        return hrnet(
            keypoints, width=width, modules=modules, blocks=blocks, stem_width=stem_width, taps=taps,
            rematerialise=rematerialise, head_layers=head_layers, head_width=head_width, dtype=jnp.dtype(dtype))
    if name == "rsn":
        return rsn(keypoints, depth=depth, stages=stages, width=stem_width, unit_width=unit_width,
                   rematerialise=rematerialise, dtype=jnp.dtype(dtype))
    if name == "pose_resnet":
        return pose_resnet(depth, keypoints, head_layers=head_layers, dtype=jnp.dtype(dtype))
    return small_unet(keypoints, widths=widths, heatmap_stride=stride, head_layers=head_layers, head_width=head_width,
                      dtype=jnp.dtype(dtype))


def imagenet_start(network: KeypointNetwork, weights: str, *, image_size: int, seed: int) -> dict[str, Any]:
    """Fresh variables with a backbone of ImageNet, as the `start` of a method; {} if `weights` is empty.

    weights: a file or the name of a model on the hub, see `load_imagenet`. Prints what was taken over.
    Raises InputError if they cannot be found or do not belong to the network.
    """
    if not weights:
        return {}
    images = jnp.zeros((1, image_size, image_size, 3))
    fresh = jax.jit(functools.partial(network.init, train=False))(jax.random.key(seed), images)
    imported = load_imagenet(fresh, weights)
    print(f"{weights}: {describe(imported.report)}")
    return {"variables": imported.variables}
