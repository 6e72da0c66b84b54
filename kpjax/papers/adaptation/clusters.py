"""A control that trains nothing: landmarks are clusters of features of the core's trunk."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import Example, Prediction, Trained
from kpjax.input.source import stack_examples
from kpjax.methods.adaptation_family.trunk_clusters import cluster_trunk, trunk_clusters_predict
from kpjax.models.hourglass_network import STRIDE
from kpjax.papers.adaptation.config import Config
from kpjax.papers.adaptation.core import Core, core_of, network
from kpjax.papers.adaptation.stages import Data, predict_all
from kpjax.papers.engine import NOTHING_TRAINED, Job, Outcome, Stages, Work, method_of
from kpjax.platforms import run_once

CLUSTERED = 100  # images whose features are clustered


@functools.lru_cache(maxsize=4)
def clusters_predict(config: Config) -> Callable[[Trained, Example], Prediction]:
    """Builds the prediction: where features are nearest to those of a cluster."""
    return trunk_clusters_predict(
        network(config, config.landmarks),
        config.backbone.normalise,
        size=config.data.image_size // STRIDE,
    )


def clusters_of_core(job: Job, data: Data) -> Stages:
    """Clusters features of the core's trunk on at most CLUSTERED target images at equal steps, and
    predicts.
    """
    core = yield from core_of(job, data)
    return (yield Work(functools.partial(_clustered, job, data, core), NOTHING_TRAINED))


def _clustered(job: Job, data: Data, core: Core) -> Outcome:
    config, side = job.config, job.config.data.image_size
    count = min(CLUSTERED, len(data.target))
    numbers = np.linspace(0, len(data.target) - 1, count).round().astype(int)
    images = stack_examples([data.target[int(number)] for number in numbers]).image
    variables = run_once(
        lambda variables, images: cluster_trunk(
            network(config, config.landmarks),
            config.backbone.normalise,
            variables,
            unturned_view(images, config.shown, side),
            landmarks=config.landmarks,
            size=side // STRIDE,
        )
    )(core.variables, images)
    method, trained = method_of(job, data), Trained(variables, {})
    predictions = predict_all(config, data, method, trained)
    return Outcome(method, trained, 0, metrics=core.metrics, predictions=predictions, images=count)


def unturned_view(images: jax.Array, shown: float, side: int) -> jax.Array:
    """Returns the middle of images (N, H, W, 3) uint8, of `shown` of their sides, as (N, side,
    side, 3) float32 in [0, 1].
    """
    height, width = images.shape[1:3]
    rows, columns = round(shown * height), round(shown * width)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = images[:, top : top + rows, left : left + columns].astype(jnp.float32) / 255
    return jax.image.resize(middle, (len(images), side, side, images.shape[-1]), "linear")
