"""What is left to learn of labelled images: the error of their heatmaps, over that of empty maps."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import Example, Method, Trained
from kpjax.heatmaps import Codec
from kpjax.input.source import Source
from kpjax.papers.engine import Job
from kpjax.papers.source_free import spread_out
from kpjax.training.evaluation import reduce

# Up to which labelled images are called learnt. After 500 steps on a mouse seen from the side the mean was
# 0.19 and all keypoints below 0.25 but the four paws from the side, 0.23 to 0.50, two of which were one
# point on two thirds of a video.
FITTED = 0.25
SAMPLE = 500  # labelled images


class Left(NamedTuple):
    """Squared error of heatmaps over that of empty maps: 1 says that nothing was learnt."""

    whole: float  # for all keypoints together; nan where none is visible
    by_keypoint: np.ndarray  # (K,) float64, nan of a keypoint that is nowhere visible

    @property
    def worst(self) -> float:
        """What is left of the keypoint that is learnt least; nan where none is visible."""
        known = self.by_keypoint[np.isfinite(self.by_keypoint)]
        return float(known.max()) if known.size else math.nan

    @property
    def learnt(self) -> bool:
        """Whether no keypoint is left to learn."""
        return not self.worst > FITTED


def left_to_learn(
    method: Method, codec: Codec, state, labelled: Source, *, batch_size: int
) -> Left:
    """Measures what is left of labelled images, as evaluation sees them; of many, a sample that is
    spread evenly over all says it.
    """
    if len(labelled) > SAMPLE:
        labelled = spread_out(labelled, SAMPLE)
    sums = reduce(_left_sums(method.predict, codec.encode), state, labelled, batch_size=batch_size)
    error, empty = (np.asarray(sums[name], np.float64) for name in ("error", "empty"))
    whole = float(error.sum() / empty.sum()) if empty.any() else math.nan
    each = np.divide(error, empty, out=np.full(len(empty), np.nan), where=empty > 0)
    return Left(whole, each)


def has_learnt(job: Job, method: Method, codec: Codec, trained: Trained, labelled: Source) -> bool:
    """Says what a round has left to learn, and returns whether that is little enough. It depends on
    what was learnt alone, so a resumed run takes as many rounds.
    """
    batch_size = 2 * job.config.batch_size
    left = left_to_learn(method, codec, trained, labelled, batch_size=batch_size)
    goes_on = "" if left.learnt else "; goes on"
    print(
        f"{job.title}: on the labelled images {left.whole:.0%} of the error of empty maps is left to "
        f"learn, {left.worst:.0%} for the worst keypoint{goes_on}"
    )
    return left.learnt


@functools.lru_cache(maxsize=16)
def _left_sums(predict: Callable, encode: Callable):
    def measure(state, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        targets, counted = encode(batch)
        counted = (counted * weights[:, None])[:, None, None]
        maps = jnp.concatenate(predict(state, batch).heatmaps, -1).astype(jnp.float32)
        return {
            "error": (jnp.square(maps - targets) * counted).sum((0, 1, 2)),
            "empty": (jnp.square(targets) * counted).sum((0, 1, 2)),
        }

    return measure
