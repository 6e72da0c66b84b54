"""Uses of the public face that a type checker must accept, with the types that it must find: `mypy`
reads this file.

It is no test of what the functions do; nothing here runs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import assert_type

import jax
import numpy as np
import optax

import kpjax
from kpjax import augment, methods, models
from kpjax.input.source import ArraySource
from kpjax.training.fit import Fitted


def sources(
    images: np.ndarray, keypoints: np.ndarray, visible: np.ndarray
) -> Mapping[str, ArraySource]:
    """Builds two sources of arrays."""
    skeleton = kpjax.Skeleton(("head", "left", "right"), edges=((0, 1), (0, 2)), flip=(0, 2, 1))
    source = kpjax.arrays(images, keypoints, visible, skeleton, "source")
    assert_type(source, ArraySource)
    return {
        "source": source,
        "target": kpjax.arrays(images, keypoints, visible, skeleton, "target"),
    }


def composed(skeleton: kpjax.Skeleton) -> kpjax.Method:
    """Builds RegDA without one of its terms."""
    network = kpjax.small_unet(3, widths=(8, 8, 16), head_layers=2)
    assert_type(network, models.KeypointNetwork)
    objective = kpjax.without(methods.regda_objective(margin=4.0), "target_false")
    assert_type(kpjax.codec(image_size=32, heatmap_size=8, sigma=1.5), kpjax.Codec)
    setup = kpjax.Setup(
        network,
        skeleton,
        kpjax.codec(image_size=32, heatmap_size=8, sigma=1.5),
        optax.scale_by_adam(),
        learning_rate=dict.fromkeys(
            ("features", "head", "adversary"), optax.constant_schedule(1e-3)
        ),
        augment=augment.regda_augmentation(30.0),
        normalise=kpjax.imagenet_normalise,
    )
    return kpjax.regda(setup, objective=objective)


def trained(method: kpjax.Method, of: Mapping[str, ArraySource], folder: Path) -> Fitted:
    """Trains a method and predicts with it."""
    streams = {name: kpjax.stream(source, batch_size=4, seed=0) for name, source in of.items()}
    fitted = kpjax.fit(
        method, streams, steps=10, key=jax.random.key(0), stage="demo", folder=folder, config={}
    )
    assert_type(fitted.trained, kpjax.Trained)
    found = kpjax.predict_source(method, fitted.trained, of["source"], batch_size=4)
    assert_type(found.keypoints, np.ndarray)
    return fitted


def by_hand(method: kpjax.Method, batches: kpjax.Streams) -> kpjax.Prediction:
    """Takes one step."""
    state = jax.jit(method.init)(jax.random.key(0), batches, {})
    state, metrics = method.update(state, batches, jax.random.key(1))
    assert_type(metrics, kpjax.Metrics)
    return method.predict(state, batches["target"])
