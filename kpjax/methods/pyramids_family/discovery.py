"""Common parts of methods that discover keypoints by rendering a frame of a video from another
frame of it.

Streams are `frame` and `reference`: example i of both is of one video. Neither has labels.
Coordinates are normalised (x, y), with the edges of images and maps at -1 and 1, except those of
`predict`, in pixels of the image.

Before a still camera nearly all of a frame is background, and so is a loss over its pixels. Then
`StillCamera` weights pixels by what moves (after BKinD, Sun et al. 2022, which reconstructs the
difference of two frames in place of a frame) and renders the difference from the background in
units of each pixel's deviation over time, so that nothing is rendered where nothing moves. All of
these come from the training videos, once, by `still_videos`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.errors import InputError
from kpjax.evaluation.degeneracy import (
    add_to_counts,
    baseline_errors,
    first_counts,
    live_keypoints,
    spread_of,
)
from kpjax.evaluation.motion import median_background, motion_weight, temporal_variance
from kpjax.heatmaps import spatial_softmax
from kpjax.losses.objective import Objective, Term, total
from kpjax.losses.pyramids import parent_of_child
from kpjax.losses.reconstruction import pixel_mse
from kpjax.methods.forward import (
    Normalise,
    check_equal_batches,
    deinterleave,
    interleave,
    named_streams,
    unit_range,
)
from kpjax.methods.gradient_step import gradient_step
from kpjax.methods.setup import require
from kpjax.models.pyramid import KeypointLevels
from kpjax.optimization import LearningRate, group_rates
from kpjax.structures import (
    Example,
    Method,
    Metrics,
    Prediction,
    Skeleton,
    Start,
    Streams,
    Trained,
    Variables,
    named_key,
)

FRAME, REFERENCE = STREAMS = ("frame", "reference")
POINTS = "points"  # read by terms that need the keypoints only
HEATMAPS = "heatmaps"  # logits of the points, one (B, h, w, K) for each level
NOISE_STREAM = "noise"  # stream of random numbers, for a forward pass that draws some
STILL = "still"  # the part of start and state that a still camera needs
# among the streams of a term: the images (B, H, W, 3) in [0, 1] that are to be rendered
TARGET = "target"
# for a still camera, also among them: weights of pixels; what moves
MOTION = "motion"
MOVING = "moving"
# share of the full range, up to which a difference is noise; share of the deviation where nothing differs
NOISE = 0.06
REST = 0.05

# `points`, one (B, K, 2) for each level, `heatmaps`, and rendered images (B, H, W, 3) float32 by
# name
Outputs = dict[str, Any]
Forward = Callable[..., Outputs]  # (network, frame, reference, train), both images normalised
ReferencePass = Literal["joint", "separate"]


class State(NamedTuple):
    """The state of a method of discovery.

    `predict` reads only `variables["params"]["keypoints"]`.
    """

    step: jax.Array
    variables: Variables
    averages: jax.Array | tuple[()]  # (layers,) float32, of the distances of a perceptual loss
    optimizer_state: optax.OptState
    #: () int32: steps in a row, for each sign of `kpjax.evaluation.degeneracy`
    stuck: Mapping[str, jax.Array]
    frozen: Mapping[str, Any]  # perceptual, still


class StillCamera(NamedTuple):
    """How the background of videos from a still camera is used; either needs `start["still"]` of
    `still_videos`.
    """

    residual: bool = True  # rendered images are `background + deviation * output` of their video
    weighted: bool = True  # terms weight pixels by what moves


class Comparison(NamedTuple):
    """A comparison of images with a state: a network that never changes, and running averages."""

    #: (images, start) -> averages, frozen
    init: Callable[[jax.Array, Start], tuple[jax.Array, Mapping[str, Any]]]
    #: -> extended outputs, averages
    run: Callable[[State, Outputs, Streams], tuple[Outputs, jax.Array]]


def painting_term(painting: str, weight: float, reduction: Literal["mean", "sum"] = "mean") -> Term:
    """Builds the squared difference (`pixel_mse`) between the rendered image of that name and the
    target.

    Pixels are weighted by `motion` among the streams, (B, H, W, 1), where it is there.
    """

    def error(outputs, streams):
        return pixel_mse(
            outputs[painting], streams[TARGET], weight=streams.get(MOTION), reduction=reduction
        )

    return Term(weight, error, reads=(painting,))


def still_videos(
    videos: Iterable[np.ndarray], video: np.ndarray, *, share: float = 1.0
) -> dict[str, np.ndarray]:
    """Returns `start["still"]`: `background` (V, H, W, 3), `deviation`, `weight` (V, H, W, 1) and
    `video` (N,).

    The first three are of each video: the median, and the standard deviation and the weight of its
    pixels. The last is of each example.

    Args:
        videos: the frames (T, H, W, 3) uint8 of one video after the other.
        video: (N,) the video of each example of the source, by `Example.index`.
        share: of the weight that follows the temporal variance, see
            `kpjax.evaluation.motion.motion_weight`.
    """
    backgrounds = []
    variances = []
    for images in videos:
        backgrounds.append(median_background(images))
        variances.append(temporal_variance(images)[..., None])
    background = np.stack(backgrounds)
    variance = np.stack(variances)
    return {
        "background": background,
        "deviation": np.sqrt(variance),
        "weight": motion_weight(variance[..., 0], share)[..., None],
        "video": np.asarray(video, np.int32),
    }


def moving_places(images: jax.Array, background: jax.Array, deviation: jax.Array) -> jax.Array:
    """Computes where things move in images (B, H, W, 3), (B, H, W, 1) from 0 to 1.

    It is the difference from the background above noise, the mean of the channels, and at least a
    twentieth of the deviation over time: an image in which all rests in its median place does not
    show what moves.
    """
    differs = jnp.abs(images - background).mean(-1, keepdims=True)
    return jnp.maximum(differs - NOISE, REST * deviation)


def rendered_still(still: Mapping[str, Any], video: Any, output: Any) -> Any:
    """Returns images (B, H, W, 3) from outputs of a network, of `still_videos` and the videos (B,)
    that they are of.
    """
    background = still["background"][video]
    deviation = still["deviation"][video]
    return background + deviation * output


def level_skeleton(sizes: Sequence[int]) -> Skeleton:
    """Builds the skeleton of levels of these sizes, coarse to fine.

    Each level is a group, and edges join parents and children; a single level has no groups. Raises
    InputError if the keypoints of a level cannot be divided evenly among those above.
    """
    if len(sizes) == 1:
        return Skeleton(tuple(f"point_{number}" for number in range(sizes[0])))
    starts = [sum(sizes[:level]) for level in range(len(sizes))]
    edges = tuple(
        (starts[level - 1] + int(parent), starts[level] + child)
        for level in range(1, len(sizes))
        for child, parent in enumerate(parent_of_child(sizes[level - 1], sizes[level]))
    )
    names = tuple(
        f"level{level}_{number}"
        for level, size in enumerate(sizes, start=1)
        for number in range(size)
    )
    groups = {
        f"level{level}": tuple(range(start, start + size))
        for level, (start, size) in enumerate(zip(starts, sizes, strict=True), start=1)
    }
    return Skeleton(names, edges, groups=groups)


def both_frames(
    part: Callable[..., Any],
    frame: jax.Array,
    reference: jax.Array,
    train: bool,
    order: ReferencePass,
):
    """Applies a part of a network to an array of the frame and one of the reference, and returns
    both results.

    order: "joint" is one interleaved pass, in which BatchNorm mixes both; "separate" is one pass
    after the other. Where nothing of the reference has a gradient, its separate pass needs no
    backward pass.
    """
    if order == "separate":
        return part(frame, train), part(reference, train)
    outcome = part(interleave(frame, reference), train)
    return tuple(
        jax.tree.map(lambda leaf, one=one: deinterleave(leaf, 2)[one], outcome) for one in range(2)
    )


def discovery_method(
    network_for: Callable[[int], nn.Module],
    forward: Forward,
    paintings: Sequence[str],
    sizes: Sequence[int],
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: LearningRate,
    augment: Augment | None,
    normalise: Normalise,
    comparison: Comparison | None = None,
    still: StillCamera | None = None,
    noise: bool = False,
) -> Method:
    """Builds a method that learns from pairs of frames.

    Only parts of the network that `forward` calls get parameters. The start may have `network`:
    trained variables, any part of the tree, that replace fresh ones of the same path. `init` raises
    InputError for batches of different sizes, images that the strides do not divide, and a still
    camera without `start["still"]`.

    Args:
        network_for: the network for images whose longer side is given; it has a part `keypoints`, a
            `KeypointLevels`.
        forward: computes the network's outputs.
        paintings: names of the images that `forward` renders, each as large as the frame.
        sizes: numbers of keypoints of the levels.
        augment: applied to both frames under one key.
        comparison: a comparison of images with a state, if a term needs one.
        still: for videos from a still camera. Raises ValueError if images are also augmented, since
            their background is not.
        noise: whether `forward` draws numbers in training, of `make_rng(NOISE_STREAM)`.
        The others are as in `pyramids`.
    """

    if still and augment is not None:
        raise ValueError(
            "still: the background is not augmented; give either a still camera or an augmentation"
        )

    def network_of(images: jax.Array) -> nn.Module:
        return network_for(max(images.shape[1:3]))

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        check_equal_batches(named_streams(streams, STREAMS))
        image_shape = streams[FRAME].image.shape[1:]
        images = jnp.zeros((1, *image_shape), jnp.float32)
        outputs, fresh = network_of(images).init_with_output(
            named_key(key, "network"), images, images, train=False, method=forward
        )
        for painting in paintings:
            if outputs[painting].shape != images.shape:
                raise InputError(
                    f"the network renders {painting!r} of {images.shape[1]} x {images.shape[2]} (height x width) as "
                    f"{outputs[painting].shape[1]} x {outputs[painting].shape[2]}; choose sides that its strides "
                    "divide, or give the decoder another number of scales"
                )
        fresh = {"params": fresh["params"], "batch_stats": fresh.get("batch_stats", {})}
        variables = _graft(fresh, start.get("network", {}), "start['network']")
        averages, frozen = ((), {}) if comparison is None else comparison.init(images, start)
        if still:
            frozen = {**frozen, STILL: require(start, STILL)}
        return State(
            jnp.int32(0),
            variables,
            averages,
            optimizer.init(variables["params"]),
            first_counts(paintings),
            frozen,
        )

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        examples = {name: unit_range(streams[name]) for name in STREAMS}
        if augment is not None:
            examples = {
                name: augment(named_key(key, "pair"), example)[0]
                for name, example in examples.items()
            }
        frame = examples[FRAME].image
        reference = examples[REFERENCE].image
        seen: dict[str, Any] = examples | {TARGET: frame}
        if still:
            of = state.frozen[STILL]
            video = of["video"][streams[FRAME].index]
            background = of["background"][video]
            seen[MOVING] = moving_places(frame, background, of["deviation"][video])
            if still.weighted:
                seen[MOTION] = of["weight"][video]

        def objective_of(params):
            outputs, mutated = network_of(frame).apply(
                {"params": params, "batch_stats": state.variables["batch_stats"]},
                normalise(frame),
                normalise(reference),
                train=True,
                mutable=["batch_stats"],
                method=forward,
                rngs={NOISE_STREAM: named_key(key, NOISE_STREAM)} if noise else None,
            )
            if still and still.residual:
                outputs = outputs | {
                    name: rendered_still(of, video, outputs[name]) for name in paintings
                }
            averages = ()
            if comparison is not None:
                outputs, averages = comparison.run(state, outputs, seen)
            value, parts = total(objective, outputs, seen)
            return value, (parts, (mutated.get("batch_stats", {}), averages, outputs))

        params, optimizer_state, (statistics, averages, outputs), metrics = gradient_step(
            objective_of, state.variables["params"], state, optimizer, learning_rate, norms=dict
        )
        points = jnp.concatenate(outputs[POINTS], axis=1)
        errors = {painting: pixel_mse(outputs[painting], frame) for painting in paintings}
        baselines = baseline_errors(frame, reference)
        live_points = live_keypoints(points).sum(dtype=jnp.float32)
        metrics |= {"live_points": live_points}
        metrics |= {f"error/{name}": error for name, error in errors.items()}
        metrics |= {f"baseline/{name}": error for name, error in baselines.items()}
        metrics |= {f"spread/{name}": spread for name, spread in spread_of(points).items()}
        stuck = add_to_counts(state.stuck, errors, baselines, live_points)
        variables = {"params": params, "batch_stats": statistics}
        return State(
            state.step + 1, variables, averages, optimizer_state, stuck, state.frozen
        ), metrics

    def predict(state: Trained, example: Example) -> Prediction:
        """Predicts the keypoints of all levels, without any decoder.

        Scores are the highest probability of each map; heatmaps are probabilities of each level,
        (B, h, w, k) float32.
        """
        images = unit_range(example).image
        keypoints: KeypointLevels = network_of(images).keypoints
        of_keypoints = {
            name: tree["keypoints"] for name, tree in state.variables.items() if "keypoints" in tree
        }
        levels = keypoints.apply(of_keypoints, normalise(images), train=False)
        height, width = images.shape[1:3]
        sides = jnp.array([width, height], jnp.float32).reshape(1, 1, 2)
        normalised = jnp.concatenate(levels.points, axis=1)
        points = (normalised + 1) / 2 * sides - 0.5
        probabilities = tuple(spatial_softmax(heatmaps) for heatmaps in levels.heatmaps)
        peaks = [heatmaps.max((1, 2)) for heatmaps in probabilities]
        scores = jnp.concatenate(peaks, axis=1)
        return Prediction(points, scores, probabilities)

    return Method(
        init, update, predict, STREAMS, level_skeleton(sizes), group_rates(optimizer, learning_rate)
    )


def _graft(fresh, given, path: str):
    """Returns the tree `fresh` with the leaves of `given` in their places.

    Raises ValueError for an unknown place.
    """
    if not isinstance(fresh, Mapping):
        if jnp.shape(given) != jnp.shape(fresh):
            raise ValueError(
                f"{path} has shape {jnp.shape(given)}, but the network's is {jnp.shape(fresh)}"
            )
        return given
    unknown = sorted(set(given) - set(fresh))
    if unknown:
        raise ValueError(
            f"{path} has {unknown[0]!r}, but this network has {', '.join(sorted(fresh))}"
        )
    return {
        name: _graft(part, given[name], f"{path}/{name}") if name in given else part
        for name, part in fresh.items()
    }
