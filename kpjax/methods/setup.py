"""Parts that methods are built from, given once for all methods of a comparison."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.traverse_util import flatten_dict

from kpjax.augment.augmentations import Augment, regda_augmentation
from kpjax.errors import InputError
from kpjax.heatmaps import Codec, codec, decode_quarter_offset
from kpjax.methods.forward import Normalise, imagenet_normalise, unit_range
from kpjax.models.unet import small_unet
from kpjax.optimization import LearningRate
from kpjax.structures import Example, Prediction, Skeleton, Start, Trained, Variables


class Setup(NamedTuple):
    """Network, keypoints and training: the first argument of every method that is given its
    keypoints.

    A comparison builds one, and changes a part by `_replace`. What only one method has is an
    argument of its own.
    """

    # `apply(variables, images (B, H, W, 3), train=...)` -> heatmaps (B, h, w, K); its BatchNorm is
    # that of `kpjax.models.layers`, on whose momentum methods count.
    model: nn.Module
    skeleton: Skeleton  # the K keypoints
    codec: Codec  # encodes labels, and decodes predictions
    optimizer: optax.GradientTransformation  # without its learning rate
    #: function of the step: one for all parameters, or one for each group that a method names
    learning_rate: LearningRate
    # On the device: one function for all streams, or one for each stream by name; names that are
    # not read may be there.
    augment: Augment | Mapping[str, Augment]
    normalise: Normalise  # images in [0, 1] -> the model's input


def default_setup(skeleton: Skeleton, *, image_size: int, learning_rate: float = 1e-3) -> Setup:
    """Builds a small setup to begin with, for square images: a U-net without pretrained weights,
    heatmaps of a quarter of the side, Adam, and RegDA's augmentation.

    Exchange a part by `_replace`, for example `setup._replace(model=kpjax.pose_resnet(...))`.

    Args:
        skeleton: of the keypoints to find.
        image_size: side of the images, px; a multiple of 16.
        learning_rate: the same at every step, for all parameters.

    Raises:
        InputError: the side is no positive multiple of 16.
    """
    if image_size < 16 or image_size % 16:
        raise InputError("image_size", f"{image_size}; give a multiple of 16 pixels")
    return Setup(
        model=small_unet(len(skeleton.names)),
        skeleton=skeleton,
        codec=codec(
            image_size=image_size,
            heatmap_size=image_size // 4,
            sigma=1.5,
            decoder=decode_quarter_offset,
        ),
        optimizer=optax.scale_by_adam(),
        learning_rate=optax.constant_schedule(learning_rate),
        augment=regda_augmentation(30.0),
        normalise=imagenet_normalise,
    )


def heatmap_predict(setup: Setup) -> Callable[[Trained, Example], Prediction]:
    """Builds the `predict` of every method that results in one heatmap network, which runs in
    evaluation mode.
    """

    def predict(state: Trained, example: Example) -> Prediction:
        heatmaps = setup.model.apply(
            state.variables, setup.normalise(unit_range(example).image), train=False
        )
        keypoints, scores = setup.codec.decode(heatmaps)
        return Prediction(keypoints, scores, (heatmaps,))

    return predict


def initial_variables(
    setup: Setup,
    key: jax.Array,
    images: jax.Array,
    start: Start,
    carried: tuple[str, ...] | None = None,
) -> Variables:
    """Initialises the network and takes over the parts that `start['variables']`, if given,
    provides.

    Args:
        key: of the fresh variables.
        images: only their shape counts.
        start: with `variables`, or without.
        carried: the top-level names to take over, for example ('backbone', 'upsampling'); None
            takes all.

    Raises:
        InputError: the network has not one heatmap for each keypoint, the codec another stride than
            they, or `variables` a part that is missing or of another shape.
    """
    heatmaps, fresh = setup.model.init_with_output(key, images, train=False)
    if heatmaps.shape[-1] != len(setup.skeleton.names):
        raise InputError(
            "skeleton",
            f"it has {len(setup.skeleton.names)} keypoints, and the network "
            f"{heatmaps.shape[-1]} heatmaps; give both the same number",
        )
    scale = np.asarray(setup.codec.to_heatmap)[0, 0]
    stride = round(1 / scale)
    if images.shape[1:3] != tuple(stride * cells for cells in heatmaps.shape[1:3]):
        raise InputError(
            "codec",
            f"its stride is {stride}, and the network has heatmaps of {heatmaps.shape[1:3]} for "
            f"images of {images.shape[1:3]}; give it these sizes",
        )
    fresh = {"params": fresh["params"], "batch_stats": fresh.get("batch_stats", {})}
    given = start.get("variables", fresh)
    for collection, parts in fresh.items():
        wanted = {name: part for name, part in parts.items() if carried is None or name in carried}
        given_parts = given.get(collection, {})
        found = {name: part for name, part in given_parts.items() if name in wanted}
        fresh[collection] = parts | of_same_shapes(
            wanted, found, "start", f"'variables' of {collection}"
        )
    return fresh


def require_parts(model: nn.Module, method: str) -> None:
    """Raises InputError for a network without the parts of a `KeypointNetwork`, which some methods
    use one by one.

    method: for the message.
    """
    if not hasattr(model, "head") or not hasattr(model, "features"):
        raise InputError(
            "model",
            f"{type(model).__name__} has no `features` and `head`, which {method} reads; give a "
            "kpjax.models.KeypointNetwork(backbone, upsampling, head)",
        )


def require(start: Start, name: str) -> Any:
    """Returns a tree of a start. Raises InputError that names a missing one."""
    if name not in start:
        raise InputError(
            "start", f"{name!r} is missing; this method begins with it, and got {sorted(start)}"
        )
    return start[name]


def of_same_shapes(wanted: Variables, given: Variables, argument: str, name: str) -> Variables:
    """Returns given variables.

    Raises InputError with their first leaf of another place or shape than is wanted.
    """

    def shapes(tree):
        leaves = flatten_dict(tree, sep="/")
        return {path: f"{jnp.shape(leaf)}" for path, leaf in leaves.items()}

    here = shapes(wanted)
    there = shapes(given)
    for path in sorted(here | there):
        if here.get(path) != there.get(path):
            raise InputError(
                argument,
                f"{path} is {there.get(path, 'absent')} in {name} and "
                f"{here.get(path, 'absent')} in the model; give those of its architecture",
            )
    return given
