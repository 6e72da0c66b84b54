"""Recognition of actions from the motion of keypoints: a recurrent network on sequences of
coordinates.

Keypoint Pyramids (Qian et al. 2022, section 4.3) trains a GRU and leaves its shape to the
supplement. One layer of 128 units over windows of 50 frames, the last state to a linear layer,
cross-entropy and Adam at 1e-3 are our choice.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from numpy.typing import ArrayLike

from kpjax.errors import InputError, summarise
from kpjax.evaluation.probes.splits import Split, mean_and_deviation, minibatches
from kpjax.optimization import descend
from kpjax.structures import Variables

PREDICTED_AT_ONCE = 256


class Windows(NamedTuple):
    """Sequences of successive examples of one video."""

    rows: np.ndarray  # (W, T) int32, the numbers of the examples
    video: np.ndarray  # (W,), the video of each


def windows(
    video: ArrayLike, *, frame: ArrayLike | None = None, length: int = 50, every: int = 25
) -> Windows:
    """Returns all windows of `length` examples, a new one beginning every `every` examples of a
    run.

    Args:
        video: (N,), the video of each example; examples of a video follow one another in time.
        frame: (N,), their numbers in the video. A run also ends where the step to the next number
            is unusual, as where frames were left out. Runs that are shorter than a window give
            none.

    Raises:
        InputError: where no run is long enough.
    """
    if length < 1 or every < 1:
        raise InputError(
            f"windows: {length} frames, a new one every {every}; give at least 1 of both"
        )
    video = np.asarray(video)
    breaks = video[1:] != video[:-1]
    if frame is not None:
        steps = np.diff(np.asarray(frame, np.int64))
        inside = steps[~breaks]
        breaks |= steps != (np.median(inside) if inside.size else 1)
    ends = np.append(np.flatnonzero(breaks) + 1, len(video)).astype(np.int64)
    begins = np.append(0, ends[:-1])
    starts = [
        np.arange(begin, end - length + 1, every) for begin, end in zip(begins, ends, strict=True)
    ]
    first = np.concatenate(starts).astype(np.int32)
    if not len(first):
        longest = int((ends - begins).max())
        raise InputError(
            f"windows of {length} frames: the longest run of frames has {longest}; choose a length of at "
            f"most {longest}"
        )
    return Windows(first[:, None] + np.arange(length, dtype=np.int32), video[first])


class Recognition(NamedTuple):
    """Accuracy of a probe on the tested windows."""

    accuracy: float  # the fraction of windows whose action is right
    majority: float  # the accuracy of always choosing the action with the most fitted windows
    #: (A,) float64, the accuracy on the windows of each action, NaN where it has none
    per_action: np.ndarray
    #: (A, A) int64, windows by their action (row) and the recognised one (column)
    confusion: np.ndarray
    actions: tuple[str, ...]  # in the order of the numbers


class SequenceClassifier(nn.Module):
    """One layer of gated recurrent units (Cho et al.

    2014): (B, T, F) to one score per class (B, classes), float32.
    """

    classes: int
    width: int = 128

    @nn.compact
    def __call__(self, sequences: jax.Array) -> jax.Array:
        last, _ = nn.RNN(nn.GRUCell(self.width, name="recurrent"), return_carry=True)(sequences)
        return nn.Dense(self.classes, name="scores")(last)


def action_probe(
    features: ArrayLike,
    rows: np.ndarray,
    actions: Sequence[str] | np.ndarray,
    split: Split,
    *,
    seed: int = 0,
    width: int = 128,
    steps: int = 1000,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
) -> Recognition:
    """Trains a recurrent network to classify the action of windows, and tests it on the other side
    of a split.

    Args:
        features: (N, F), or points (N, K, 2), in any unit: each is scaled to mean 0 and deviation 1
            by the fitted windows.
        rows, actions: (W, T), see `windows`, and (W,) names.
        split: of the windows; those of one video or subject belong to one side,
            `halves_by(windows.video, seed, kinds=actions)`.

    Raises:
        InputError: for features that are not finite, and for an action that has no fitted window.
    """
    features = np.asarray(features, np.float64)
    features = features.reshape(len(features), -1)
    if not np.isfinite(features[rows]).all():
        read = np.unique(rows)
        wrong = [f"example {n}" for n in read if not np.isfinite(features[n]).all()]
        raise InputError(
            f"action probe: the features of {len(wrong)} examples are not finite ({summarise(wrong)}); "
            "leave their windows out"
        )
    names, labels = np.unique(np.asarray(actions), return_inverse=True)
    fitted = np.bincount(labels[split.fit], minlength=len(names))
    unseen = [str(name) for name in names[fitted == 0]]
    if unseen:
        raise InputError(
            f"action probe: no fitted window shows {summarise(unseen)}; choose a split with every action "
            "on either side"
        )
    centre, spread = mean_and_deviation(features[np.unique(rows[split.fit])])
    scaled = jnp.asarray((features - centre) / spread, jnp.float32)
    network = SequenceClassifier(len(names), width)
    order = minibatches(len(split.fit), batch_size, steps, seed)
    variables = _train_steps(
        network,
        learning_rate,
        jax.random.key(seed),
        scaled,
        jnp.asarray(rows[split.fit][order]),
        jnp.asarray(labels[split.fit][order], jnp.int32),
    )
    tested = jnp.asarray(rows[split.test])
    predicted = np.asarray(_recognise(network, variables, scaled, tested))
    return recognition(
        predicted, labels[split.test], tuple(str(name) for name in names), int(fitted.argmax())
    )


def recognition(
    predicted: np.ndarray, true: np.ndarray, actions: tuple[str, ...], majority: int
) -> Recognition:
    """Computes measures of predicted numbers (M,) of actions against the true ones.

    majority: the commonest fitted.
    """
    chex.assert_rank(true, 1)
    chex.assert_equal_shape([predicted, true])
    confusion = np.zeros((len(actions), len(actions)), np.int64)
    np.add.at(confusion, (true, predicted), 1)
    count = confusion.sum(1)
    right = confusion.diagonal()
    total = int(count.sum())
    divisor = np.maximum(count, 1)
    per_action = np.where(count > 0, right / divisor, np.nan)
    return Recognition(
        float(right.sum() / total) if total else float("nan"),
        float(count[majority] / total) if total else float("nan"),
        per_action,
        confusion,
        actions,
    )


@partial(jax.jit, static_argnums=(0, 1))
def _train_steps(
    network: SequenceClassifier,
    learning_rate: float,
    key: jax.Array,
    features: jax.Array,
    rows: jax.Array,
    labels: jax.Array,
) -> Variables:
    """Returns the network after one step on each batch of rows (steps, B, T) and labels (steps,
    B)."""
    variables = network.init(key, features[rows[0]])
    optimizer = optax.scale_by_adam()

    def update(carried, batch):
        params, optimizer_state, step = carried
        chosen, labels = batch

        def loss(params):
            logits = network.apply({"params": params}, features[chosen])
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        params, optimizer_state = descend(
            optimizer,
            jax.grad(loss)(params),
            optimizer_state,
            params,
            lambda _: learning_rate,
            step,
        )
        return (params, optimizer_state, step + 1), None

    params = variables["params"]
    (params, _, _), _ = jax.lax.scan(
        update, (params, optimizer.init(params), jnp.int32(0)), (rows, labels)
    )
    return {"params": params}


@partial(jax.jit, static_argnums=0)
def _recognise(
    network: SequenceClassifier, variables: Variables, features: jax.Array, rows: jax.Array
) -> jax.Array:
    """Returns the number of the likeliest action of each window of rows (M, T): (M,) int32."""
    scores = jax.lax.map(
        lambda window: network.apply(variables, features[window][None])[0],
        rows,
        batch_size=PREDICTED_AT_ONCE,
    )
    return scores.argmax(-1).astype(jnp.int32)
