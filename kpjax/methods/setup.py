"""Parts that methods are built from, given once for all methods of a comparison."""
from collections.abc import Callable, Mapping
from typing import NamedTuple

import optax
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.heatmaps import Codec
from kpjax.methods.forward import Normalise, unit_range
from kpjax.optimization import LearningRate
from kpjax.structures import Example, Prediction, Skeleton, Trained


class Setup(NamedTuple):
    """Network, keypoints and training: the first argument of every method that is given its keypoints.

    A comparison builds one, and changes a part by `_replace`. What only one method has is an argument of its own.
    """

    # `apply(variables, images (B, H, W, 3), train=...)` -> heatmaps (B, h, w, K); its BatchNorm is that of
    # `kpjax.models.layers`, on whose momentum methods count.
    model: nn.Module
    skeleton: Skeleton  # the K keypoints
    codec: Codec  # encodes labels, and decodes predictions
    optimizer: optax.GradientTransformation  # without its learning rate
    learning_rate: LearningRate  # of the step: one for all parameters, or one for each group that a method names
    # On the device: one function for all streams, or one for each stream by name; names that are not read may be there.
    augment: Augment | Mapping[str, Augment]
    normalise: Normalise  # images in [0, 1] -> the model's input


def heatmap_predict(setup: Setup) -> Callable[[Trained, Example], Prediction]:
    """Builds the `predict` of every method that results in one heatmap network, which runs in evaluation mode."""

    def predict(state: Trained, example: Example) -> Prediction:
        heatmaps = setup.model.apply(state.variables, setup.normalise(unit_range(example).image), train=False)
        keypoints, scores = setup.codec.decode(heatmaps)
        return Prediction(keypoints, scores, (heatmaps,))

    return predict
