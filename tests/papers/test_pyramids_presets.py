"""The paper's preset of Keypoint Pyramids, resolved and built, element by element beside the paper.

Where the paper is silent, kpjax/papers/pyramids/differences.csv says what stands in its place.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny_systems import lengths_of

from data.human36m_videos import ELEVEN_ACTIONS, SEVENTEEN, TEST, TRAIN
from experiments.pyramids import EXPERIMENT
from kpjax import Example, Skeleton, methods
from kpjax.evaluation.probes.actions import SequenceClassifier
from kpjax.evaluation.probes.decoded_images import image_decoder
from kpjax.input.pairs import frame_pairs
from kpjax.input.source import arrays
from kpjax.input.video_source import group_into_videos
from kpjax.papers.command_line import read_command
from kpjax.papers.engine import built_on
from kpjax.papers.pyramids import rivals
from kpjax.papers.pyramids.measures import split_of
from kpjax.papers.pyramids.stages import sizes_alone
from kpjax.papers.pyramids.variants import VARIANTS
from kpjax.structures import Trained

CONFIG = read_command(EXPERIMENT, ["h36m"]).config
SIDE = CONFIG.data.image_size
FACTORY = {"keynet": "keynet", "transporter": "transporter", "supervised_bound": "supervised"}


@functools.cache
def built(variant: str, size: int = 0) -> tuple[Any, dict[str, Any]]:
    """Returns the method of a variant and the arguments that it was built from."""
    name, given = FACTORY.get(variant, "pyramids"), {}
    factory = getattr(methods, name)

    def spy(*setup, **arguments):
        bound = inspect.signature(factory).bind(*setup, **arguments)
        bound.apply_defaults()
        given.update(bound.arguments)
        return factory(*setup, **arguments)

    built_on.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, name, spy)
        if not size:
            return VARIANTS[variant].method(CONFIG, SEVENTEEN), given
        of_one_level = {"keynet": rivals.build_keynet, "transporter": rivals.build_transporter}
        return of_one_level[variant](CONFIG, SEVENTEEN, size), given


@functools.cache
def maps_of(variant: str, size: int = 0) -> list[tuple[int, ...]]:
    """Returns the shapes (h, w, K) of the maps in which a variant finds keypoints, coarse to
    fine.
    """
    method, _ = built(variant, size)
    image = jax.ShapeDtypeStruct((2, SIDE, SIDE, 3), np.uint8)
    index = jax.ShapeDtypeStruct((2,), np.int32)
    joints = jax.ShapeDtypeStruct((2, 17, 2), np.float32)
    shown = jax.ShapeDtypeStruct((2, 17), np.float32)
    example = Example(image, joints, shown, None, None, index)
    streams = dict.fromkeys(method.streams, example)
    state = jax.eval_shape(method.init, jax.random.key(0), streams, {})
    trained = Trained(state.variables, state.frozen)
    heatmaps = jax.eval_shape(method.predict, trained, example).heatmaps
    levels = heatmaps if isinstance(heatmaps, tuple) else (heatmaps,)
    return [level.shape[1:] for level in levels]


def argument(variant: str, name: str) -> Any:
    return built(variant)[1][name]


def weights(variant: str = "pyramids") -> dict[str, float]:
    return {name: term.weight for name, term in argument(variant, "objective").items()}


def value(term: str, outputs: dict[str, Any], streams: dict[str, Any]) -> float:
    """Computes a term of the objective that the preset builds, without its weight."""
    return float(argument("pyramids", "objective")[term].function(outputs, streams))


# What terms compute


def reconstruction_sum() -> float:
    """Two images of 128 x 128, everywhere 0.1 beside the frames."""
    frame = jnp.full((2, SIDE, SIDE, 3), 0.5)
    return value("reconstruction", {"reconstruction": frame + 0.1}, {"target": frame})


def spring_sum() -> float:
    """Ten parents in the middle; all children 0.1 to the right, in normalised coordinates."""
    parents = jnp.zeros((2, 10, 2))
    children = jnp.tile(jnp.array([0.1, 0.0]), (2, 20, 1))
    frame = Example(jnp.zeros((2, SIDE, SIDE, 3)), None, None, None, None, None)
    return value("spring", {"points": (parents, children)}, {"frame": frame})


def children_of_parents() -> list[list[int]]:
    """The children of each parent, found by moving one child at a time."""
    frame = Example(jnp.zeros((1, SIDE, SIDE, 3)), None, None, None, None, None)
    parents = jnp.linspace(-0.9, 0.9, 10)[None, :, None] * jnp.ones((1, 1, 2))

    def pull(parents, child):
        children = jnp.zeros((1, 20, 2)).at[0, child].set(1.0)
        rest = jnp.zeros((1, 20, 2))
        term = argument("pyramids", "objective")["spring"].function
        moved, still = (
            term({"points": (parents, each)}, {"frame": frame}) for each in (children, rest)
        )
        return moved - still

    of_child = [
        int(jnp.abs(jax.grad(pull)(parents, child)[0]).sum(-1).argmax()) for child in range(20)
    ]
    return [[child for child in range(20) if of_child[child] == parent] for parent in range(10)]


class Map(nn.Module):
    """Feature maps of two levels in place of a network: of 3 x 3 and of 6 x 6 cells."""

    def __call__(self, images, train):
        coarse = jnp.zeros((1, 3, 3, 1)).at[0, 0, 2, 0].set(math.log(9.0))
        return coarse, jnp.full((1, 6, 6, 2), 7.0)


class First(nn.Module):
    """In place of a keypoint encoder: the first channel that it reads."""

    keypoints: int = 1

    def __call__(self, features, train):
        return features[..., :1]


@functools.cache
def levels_by_hand():
    """The keypoint levels of the preset on given maps."""
    levels = argument("pyramids", "network").keypoints.clone(
        features=Map(), encoders=(First(), First())
    )
    return levels.apply({}, jnp.zeros((1, 6, 6, 3)), False)


def softmax_mean() -> tuple[float, ...]:
    """One cell of nine weighs nine times as much as another."""
    return tuple(np.round(levels_by_hand().points[0][0, 0].tolist(), 5).tolist())


def conditioning() -> bool:
    """Whether what level 2 reads first is the Gaussian of level 1's keypoint, of width 0.1."""
    read = levels_by_hand().heatmaps[1][0, :, :, 0]
    x, y = levels_by_hand().points[0][0, 0].tolist()
    centres = (np.arange(6) + 0.5) / 3 - 1
    squared = np.square(centres[None, :] - x) + np.square(centres[:, None] - y)
    return bool(np.allclose(read, np.exp(-squared / 0.1**2), atol=1e-6))


def first_directions() -> list[float]:
    """The first step of Adam is the sign of a gradient, whatever its size: it is not clipped."""
    optimizer = argument("pyramids", "optimizer")
    gradients = jnp.array([3.0, -1e-3, 1e4])
    with jax.numpy_dtype_promotion("standard"):
        moved, _ = optimizer.update(gradients, optimizer.init(gradients))
    return np.round(moved.tolist(), 3).tolist()


def furthest_pair() -> tuple[int, int]:
    """The least and the largest distance of 2,000 pairs of a video of 900 frames."""
    count = 900
    source = group_into_videos(
        arrays(
            np.zeros((count, 1, 1, 3), np.uint8),
            np.zeros((count, 1, 2)),
            np.zeros((count, 1)),
            Skeleton(("a",)),
            "dark",
        ),
        [count],
        ["dark"],
        {},
    )
    pairs = frame_pairs(source, window=CONFIG.data.window, batch_size=100, seed=0, repeats=True)
    away = [abs(one - other) for step in range(20) for one, other in pairs["frame"].pairs(step)]
    return min(away), max(away)


def bound_loss() -> float:
    """The supervised loss of a flat map, which finds the middle: (0.09 + 0.16) / 2."""
    points, visible = jnp.tile(jnp.array([0.3, 0.4]), (2, 17, 1)), jnp.ones((2, 17))
    loss = argument("supervised_bound", "loss")
    return round(float(loss(jnp.zeros((2, 32, 32, 17)), points, visible)), 6)


def halves() -> tuple[int, int, int]:
    """The frames of each half of eight videos, and the videos that lie in both."""
    count, frames = 8, 5
    source = group_into_videos(
        arrays(
            np.zeros((count * frames, 1, 1, 3), np.uint8),
            np.zeros((count * frames, 17, 2)),
            np.ones((count * frames, 17)),
            SEVENTEEN,
            "dark",
        ),
        [frames] * count,
        [str(number) for number in range(count)],
        {"action": ("walking", "posing") * 4},
    )
    split, groups = split_of(source, np.arange(count * frames), 0, CONFIG.evaluation.stretch)
    return len(split.fit), len(split.test), len(set(groups[split.fit]) & set(groups[split.test]))


def recurrent_parameters() -> set[str]:
    network = SequenceClassifier(11)
    sequences = jnp.zeros((1, CONFIG.evaluation.action_window, 60))
    shapes = jax.eval_shape(network.init, jax.random.key(0), sequences)
    return set(shapes["params"]["recurrent"])


def decoded_shape() -> tuple[int, ...]:
    network = image_decoder(CONFIG.evaluation.image_decoder, SIDE)
    points = jnp.zeros((1, 30, 2))
    return jax.eval_shape(network.init_with_output, jax.random.key(0), points)[0].shape


class Element(NamedTuple):
    """An element of the paper, as it is found in the preset, and where the paper states it."""

    name: str
    found: Callable[[], Any]
    expected: Any
    where: str


TRANSPORT = {"transport_level1": 0.1, "transport_level2": 1.0}
FULL = {"reconstruction": 1.0, **TRANSPORT, "spring": 1.0}
GATES = {"hn", "hr", "hz", "in", "ir", "iz"}
ELEMENTS = [
    Element("maps", lambda: maps_of("pyramids"), [(16, 16, 10), (32, 32, 20)], "3.5"),
    # with the edges of a map at -1 and 1: (11 - 3) / 17 of 2 / 3
    Element("softmax, then the mean", softmax_mean, (0.31373, -0.31373), "3.1"),
    Element("level 2 reads Gaussians of level 1", conditioning, True, "3.1"),
    Element("terms and weights", weights, FULL, "eq. 1, 3, 4, 5; 3.5"),
    # 0.01 for each of 128 x 128 x 3 numbers, the mean over two images
    Element("sum of squares", lambda: round(reconstruction_sum(), 1), 491.5, "eq. 1"),
    Element("spring's sum", lambda: round(spring_sum(), 6), 0.2, "eq. 4"),
    Element(
        "disjoint children of each parent",
        children_of_parents,
        [[2 * parent, 2 * parent + 1] for parent in range(10)],
        "3.4, figures",
    ),
    Element(
        "more channels for the coarse level",
        lambda: [part.widths[-1] for part in argument("pyramids", "network").transports],
        [128, 64],
        "3.3; the numbers are not stated",
    ),
    Element(
        "gradient of the reference",
        lambda: argument("pyramids", "reference_gradient"),
        False,
        "not stated; Transporter's",
    ),
    Element("Adam", first_directions, [1.0, -1.0, 1.0], "3.5"),
    Element(
        "learning rate",
        lambda: [float(argument("pyramids", "learning_rate")(step)) for step in (0, 99_999)],
        [1e-4, 1e-4],
        "3.5",
    ),
    Element("pairs", furthest_pair, (1, 250), "3.5"),
    Element("no augmentation", lambda: argument("pyramids", "augment"), None, "not mentioned"),
    Element("no still camera", lambda: argument("pyramids", "still"), None, "not in it"),
    *(
        Element(
            f"{name} with {size} on the finest map",
            lambda name=name, size=size: maps_of(name, size),
            [(32, 32, size)],
            "4.2, 4.3",
        )
        for name in ("keynet", "transporter")
        for size in (10, 20, 30)
    ),
    *(
        Element(
            f"{name} is trained three times",
            lambda name=name: (*sizes_alone(CONFIG), len(built(name)[0].skeleton.names)),
            (10, 20, 30),
            "4.3",
        )
        for name in ("keynet", "transporter")
    ),
    *(
        Element(
            f"{name} has the method's steps",
            lambda name=name: lengths_of(EXPERIMENT, CONFIG, name)[name],
            CONFIG.steps,
            "not stated",
        )
        for name in ("keynet", "transporter", "supervised_bound")
    ),
    Element("KeyNet's loss", lambda: weights("keynet"), {"reconstruction": 1.0}, "eq. 1"),
    Element("Transporter's loss", lambda: weights("transporter"), {"transport": 1.0}, "4.2"),
    Element(
        "No-Reconstruction",
        lambda: weights("no_reconstruction"),
        {**TRANSPORT, "spring": 1.0},
        "4.2",
    ),
    Element(
        "No-Transport",
        lambda: weights("no_transport"),
        {"reconstruction": 1.0, "spring": 1.0},
        "4.2",
    ),
    Element("No-Spring", lambda: weights("no_spring"), {"reconstruction": 1.0, **TRANSPORT}, "4.2"),
    Element(
        "All-Reconstruction",
        lambda: weights("all_reconstruction"),
        {
            "reconstruction": 1.0,
            "spring": 1.0,
            "reconstruction_level1": 0.1,
            "reconstruction_level2": 1.0,
        },
        "4.2; the weights are not stated",
    ),
    Element(
        "All-Transport",
        lambda: weights("all_transport"),
        {**TRANSPORT, "spring": 1.0, "transport_flat": 1.0},
        "4.2; the weight is not stated",
    ),
    Element("Unconditioned has all terms", lambda: weights("unconditioned"), FULL, "4.2"),
    Element(
        "Unconditioned does not read level 1",
        lambda: [
            argument(name, "network").keypoints.conditioned
            for name in ("pyramids", "unconditioned")
        ],
        [True, False],
        "4.2",
    ),
    Element(
        "bound: 17 on the finest map", lambda: maps_of("supervised_bound"), [(32, 32, 17)], "4.3"
    ),
    Element("bound: mean squared error", bound_loss, 0.125, "4.3"),
    Element("training subjects", lambda: TRAIN, (1, 5, 6, 7, 8), "4.1"),
    Element("test subjects", lambda: TEST, (9, 11), "4.1"),
    Element("actions", lambda: len(ELEVEN_ACTIONS), 11, "4.1"),
    Element("joints", lambda: len(EXPERIMENT.keypoints(CONFIG.data.data).names), 17, "4.1"),
    Element("halves of the test set, by video", halves, (20, 20, 0), "4.3"),
    Element("the recurrent network is a GRU", recurrent_parameters, GATES, "4.3"),
    Element("decoders of images", lambda: CONFIG.evaluation.image_steps > 0, True, "4.3, A.4"),
    Element("decoded images", decoded_shape, (1, SIDE, SIDE, 3), "4.3"),
]


@pytest.mark.parametrize("element", ELEMENTS, ids=[element.name for element in ELEMENTS])
def test_the_preset_has_the_papers_element(element):
    assert element.found() == element.expected, element.where
