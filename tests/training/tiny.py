"""A whole method and a set of images that are as small as they can be, for everything that
trains."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.structures import Example, Method, Prediction, Skeleton, named_key
from kpjax.training.evaluation import predict_source
from kpjax.training.trees import on_host

SIDE, KEYPOINTS, COUNT = 4, 2, 24
SKELETON = Skeleton(("left", "right"))


class Images:
    """Random images; a keypoint is a fixed linear function of the pixels, so that there is
    something to learn.
    """

    skeleton, name = SKELETON, "tiny"

    def __init__(self, count=COUNT, digest="tiny-1", seed=0):
        random = np.random.default_rng(seed)
        self.digest = digest
        self.image = random.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
        weights = np.random.default_rng(9).normal(size=(SIDE * SIDE * 3, KEYPOINTS * 2)) / 7
        points = self.image.reshape(count, SIDE * SIDE * 3) / 255 @ weights
        self.keypoints = points.reshape(count, KEYPOINTS, 2).astype(np.float32)

    def __len__(self):
        return len(self.image)

    def __getitem__(self, number):
        return Example(
            self.image[number],
            self.keypoints[number],
            np.ones(KEYPOINTS, np.float32),
            np.float32(SIDE),
            np.eye(3, dtype=np.float32),
            np.int32(number),
        )


class Batches:
    """Batches by step: this process' rows of a random choice that depends on the step only."""

    def __init__(self, source=None, batch_size=8):
        self.source, self.batch_size = source or Images(), batch_size

    def __getitem__(self, step):
        numbers = np.random.default_rng(step).integers(0, len(self.source), self.batch_size)
        local = self.batch_size // jax.process_count()
        mine = numbers[jax.process_index() * local :][:local]
        return Example(
            *(np.stack(field) for field in zip(*(self.source[n] for n in mine), strict=True))
        )


class State(NamedTuple):
    step: jax.Array
    variables: Any
    velocity: Any
    teacher: Any  # live, of another dtype
    counts: tuple  # containers that a checkpoint must keep
    key: jax.Array  # a typed key
    frozen: Any


def tiny(*, width=3, rate=0.01, spoil=lambda step, loss, gradient: (loss, gradient)):
    """A linear regression with a noisy input, momentum, an average in bfloat16, a frozen scale, and
    a metric of nan.

    spoil: (step, loss, gradient) -> (loss, gradient), where a test makes a step go wrong.
    """

    def points(params, frozen, images):
        flat = images.reshape(images.shape[0], -1).astype(jnp.float32) / 255
        hidden = flat @ params["first"] * frozen["core"]["scale"][None]
        return (hidden @ params["second"]).reshape(-1, KEYPOINTS, 2)

    def init(key, streams, start):
        if "variables" in start:
            variables = start["variables"]
        else:
            first = jax.random.normal(named_key(key, "first"), (SIDE * SIDE * 3, width)) / 7
            second = jax.random.normal(named_key(key, "second"), (width, KEYPOINTS * 2))
            variables = {
                "params": {"first": first, "second": second},
                "batch_stats": {"mean": jnp.zeros(())},
            }
        core = {"scale": jnp.full((width,), 2.0), "half": jnp.ones((2, 2), jnp.bfloat16)}
        teacher = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), variables["params"])
        return State(
            jnp.int32(0),
            variables,
            jax.tree.map(jnp.zeros_like, variables["params"]),
            teacher,
            (jnp.int32(0), {}, None),
            key,
            {"core": core, "empty": {}},
        )

    def update(state, streams, key):
        batch = streams["labelled"]
        noise = jax.random.uniform(named_key(key, "labelled"), batch.image.shape) * 8

        def loss(params):
            error = (
                points(params, state.frozen, batch.image.astype(jnp.float32) + noise)
                - batch.keypoints
            )
            return jnp.square(error).mean()

        value, gradient = jax.value_and_grad(loss)(state.variables["params"])
        value, gradient = spoil(state.step, value, gradient)
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, state.velocity, gradient)
        params = jax.tree.map(lambda p, v: p - rate * v, state.variables["params"], velocity)
        mean = 0.9 * state.variables["batch_stats"]["mean"] + 0.1 * noise.mean()
        teacher = jax.tree.map(
            lambda t, p: jnp.bfloat16(0.9) * t + (0.1 * p).astype(jnp.bfloat16),
            state.teacher,
            params,
        )
        state = state._replace(
            step=state.step + 1,
            variables={"params": params, "batch_stats": {"mean": mean}},
            velocity=velocity,
            teacher=teacher,
            counts=(state.counts[0] + 2, {}, None),
        )
        return state, {
            "loss/total": value,
            "loss/fit": value,
            "share/of_none": jnp.float32(jnp.nan),
        }

    def predict(state, example):
        found = points(state.variables["params"], state.frozen, example.image)
        return Prediction(found + example.keypoints, jnp.ones(found.shape[:2]), ())

    return Method(init, update, predict, ("labelled",), SKELETON)


def bits(leaves):
    """All arrays of a tree, as bytes: equal if and only if two trees are, bit for bit."""
    return [on_host(leaf).tobytes() for leaf in jax.tree.leaves(leaves)]


METHOD, VALIDATION = tiny(), Images(10, seed=3)


def error_of(state):
    """What runs are selected by."""
    found = predict_source(METHOD, state, VALIDATION, batch_size=8)
    return {"val/error": np.abs(found.keypoints - found.true_keypoints).mean()}
