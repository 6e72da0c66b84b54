"""Forward passes shared by methods: preparing batches, and threading BatchNorm statistics through
passes.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.errors import InputError
from kpjax.losses.objective import Objective, views
from kpjax.models.layers import MOMENTUM
from kpjax.structures import Example, Streams, named_key

Normalise = Callable[[jax.Array], jax.Array]  # images in [0, 1] -> the network's input


def imagenet_normalise(images: jax.Array) -> jax.Array:
    """Subtracts ImageNet's mean from RGB in [0, 1] and divides by its standard deviation, per
    channel.
    """
    _check_floating(images)
    mean = jnp.array([0.485, 0.456, 0.406], images.dtype)
    deviation = jnp.array([0.229, 0.224, 0.225], images.dtype)
    centred = images - mean.reshape(1, 1, 1, 3)
    return centred / deviation.reshape(1, 1, 1, 3)


def symmetric_normalise(images: jax.Array) -> jax.Array:
    """Maps RGB in [0, 1] to [-1, 1], as TensorFlow's networks and many vision transformers were
    trained.
    """
    _check_floating(images)
    return 2 * images - 1


NORMALISATIONS: dict[str, Normalise] = {
    "imagenet": imagenet_normalise,
    "symmetric": symmetric_normalise,
    "none": lambda images: images,
}


def _check_floating(images: jax.Array) -> None:
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise InputError(
            f"images are {images.dtype}; a network reads floating point in [0, 1]: divide by 255 first"
        )


def unit_range(example: Example) -> Example:
    """Returns the example with its image, uint8 as loaded, as float32 in [0, 1]."""
    return example._replace(image=example.image.astype(jnp.float32) / 255)


def named_streams(streams: Streams, names: Collection[str]) -> dict[str, Example]:
    """Returns the batches of some streams, by name. Raises InputError for one that is missing."""
    missing = [name for name in names if name not in streams]
    if missing:
        raise InputError(
            "streams",
            f"{missing[0]!r} is missing; this method reads {', '.join(names)}, and got "
            f"{', '.join(streams) or 'none'}",
        )
    return {name: streams[name] for name in names}


def prepare_streams(
    augment: Augment | Mapping[str, Augment], streams: Streams, key: jax.Array
) -> dict[str, Example]:
    """Prepares every stream: in [0, 1], and augmented under a key of its own.

    augment: one for all streams, or one for each by name.
    """
    views = {}
    for name, example in streams.items():
        change = augment.get(name) if isinstance(augment, Mapping) else augment
        if change is None:
            raise InputError(
                "augment", f"it has no function for {name!r}; give one, such as `no_augmentation`"
            )
        stream_key = named_key(key, name)
        views[name], _ = change(stream_key, unit_range(example))
    return views


def empty_images(
    augment: Augment | Mapping[str, Augment], streams: Streams, name: str
) -> jax.Array:
    """Returns zeros (1, H, W, 3), as large as a stream's images are once augmented; only shapes are
    computed.
    """

    def prepared(stream):
        prepared_streams = prepare_streams(augment, {name: stream}, jax.random.key(0))
        return prepared_streams[name]

    view = jax.eval_shape(prepared, named_streams(streams, (name,))[name])
    image_shape = view.image.shape[1:]
    return jnp.zeros((1, *image_shape), jnp.float32)


def checked_views(objective: Objective, known: Collection[str], method: str) -> frozenset[str]:
    """Returns the views that terms read.

    Raises ValueError for one that is not `known`; `method` is for the message.
    """
    read = views(objective)
    if unknown := sorted(read - set(known)):
        raise ValueError(f"{method}: a term reads {unknown[0]!r}; choose from {', '.join(known)}")
    return read


def check_equal_batches(streams: Streams) -> None:
    """Raises InputError, with all sizes, if streams that are interleaved, or whose images are
    paired, have batches of different sizes.
    """
    sizes = {name: example.image.shape[0] for name, example in streams.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(
            "streams that this method pairs image by image need equal batch sizes; got "
            + ", ".join(f"{size} of {name}" for name, size in sizes.items())
            + "; give all the same"
        )


def interleave(*arrays: jax.Array) -> jax.Array:
    """Joins n arrays (B, ...) into (n B, ...), taking examples in turn: sharded batches join
    without communication.
    """
    in_turn = jnp.stack(arrays, axis=1)
    return in_turn.reshape(-1, *arrays[0].shape[1:])


def deinterleave(array: jax.Array, count: int) -> tuple[jax.Array, ...]:
    """Undoes `interleave` of `count` arrays."""
    in_turn = array.reshape(-1, count, *array.shape[1:])
    return tuple(jnp.moveaxis(in_turn, 1, 0))


def train_pass(
    module: nn.Module, params, statistics, inputs, method: str | None = None
) -> tuple[Any, Any]:
    """Runs one pass in training mode, of `method` instead of `__call__` if given.

    Returns the output, and the BatchNorm statistics afterwards.
    """
    output, mutated = module.apply(
        {"params": params, "batch_stats": statistics},
        inputs,
        train=True,
        mutable=["batch_stats"],
        method=method,
    )
    return output, mutated.get("batch_stats", statistics)


def joint_pass(
    model: nn.Module, params, statistics, images: Mapping[str, jax.Array]
) -> tuple[dict[str, jax.Array], Any]:
    """Runs one pass in training mode over several batches of prepared images, interleaved.

    Returns the heatmaps of each by name, and the BatchNorm statistics afterwards.
    """
    joined = interleave(*images.values())
    heatmaps, after = train_pass(model, params, statistics, joined)
    parts = deinterleave(heatmaps, len(images))
    return dict(zip(images, parts, strict=True)), after


def statistics_after_second_pass(before, after):
    """Computes the running statistics after a batch has passed twice, from those before and after
    its first pass.

    A pass makes m * old + (1 - m) * batch of them, with m the momentum of every BatchNorm; the
    second adds m * (after - before). This saves the second pass wherever two sub-steps see the same
    batch with equal weights.
    """

    def moved_again(old, new):
        return new + jnp.float32(MOMENTUM) * (new - old)

    return jax.tree.map(moved_again, before, after)
