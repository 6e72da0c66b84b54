"""Published networks that find keypoints without training, in the place of a finished run: MoveNet
Lightning.
"""

import functools
from pathlib import Path
from typing import NoReturn

import jax
import jax.numpy as jnp

from kpjax import Example, Method, Prediction, Skeleton, Trained
from kpjax.methods import symmetric_normalise
from kpjax.methods.forward import unit_range
from kpjax.methods.semi_supervised_family.data_distillation import agreed_predict
from kpjax.models import decode_movenet, load_movenet, movenet_lightning
from kpjax.models.movenet import KEYPOINTS, SIDE
from kpjax.models.person import HEAD, PERSON, WITH_HEAD, names_of_person
from kpjax.models.weights.pretrained import MOVENET, SHORT_NAMES

SCORE_KIND = "sigmoid_peak"
# on photographs of a bird, a cat, a dragonfly and a hot dog few points reach it, all of a whole
# person do
CUTOFF = 0.3
# where turned views agree on a point with this score, it is right about as often (LSP Extended)
CUTOFF_TURNED = 0.15
FILES = (".safetensors",)


def is_published(run: str | Path) -> bool:
    """Returns whether what stands in the place of a run is a published network: its name, or a file
    of weights.

    A run's folder of that name is given as ./movenet.
    """
    return str(run) in (MOVENET, *SHORT_NAMES) or Path(run).suffix in FILES


def load(weights: str | Path) -> Trained:
    """Reads all layers of MoveNet. Raises InputError as `load_movenet` does."""
    network = movenet_lightning()
    fresh = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)), False)
    )
    return Trained(load_movenet(fresh, weights).variables, {})


@functools.lru_cache(maxsize=4)
def people(skeleton: Skeleton = PERSON, *, turned: bool = False) -> Method:
    """Builds MoveNet's predictions of the keypoints of a skeleton, by their names, as a method that
    does not train.

    Neck and top of the head are worked out from others, see `WORKED_OUT`; their scores are the
    least of those. Other keypoints that MoveNet does not find lie at (0, 0) with the score 0.
    Images are squares around a person.

    turned: whether each image is also seen turned, mirrored and at other sizes, in 36 views that
    agree on each keypoint (`agreed_predict`): for people who are not upright, as MoveNet's are, at
    so many times the cost.
    """

    def all_points(trained: Trained, batch: Example) -> Prediction:
        maps = movenet_lightning().apply(
            trained.variables, symmetric_normalise(unit_range(batch).image), False
        )
        return Prediction(
            *with_neck_and_head(*decode_movenet(maps)), (jax.nn.sigmoid(maps.heatmaps),)
        )

    answered = agreed_predict(all_points, WITH_HEAD) if turned else all_points

    def predict(trained: Trained, batch: Example) -> Prediction:
        keypoints, scores, (heatmaps,) = answered(trained, batch)
        found = {
            name: (keypoints[:, k], scores[:, k], heatmaps[..., k] if k < len(KEYPOINTS) else None)
            for k, name in enumerate(WITH_HEAD.names)
        }
        nothing = (jnp.zeros_like(keypoints[:, 0]), jnp.zeros_like(scores[:, 0]), None)
        chosen = [found.get(name, nothing) for name in names_of_person(skeleton.names)]
        empty = jnp.zeros_like(heatmaps[..., 0])
        return Prediction(
            jnp.stack([points for points, _, _ in chosen], 1),
            jnp.stack([score for _, score, _ in chosen], 1),
            (jnp.stack([empty if peaks is None else peaks for _, _, peaks in chosen], -1),),
        )

    return Method(_refuse_training, _refuse_training, predict, (), skeleton)


def _refuse_training(*of) -> NoReturn:
    raise NotImplementedError("a published network is not trained")


def with_neck_and_head(keypoints: jax.Array, scores: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Appends neck and top of the head to MoveNet's keypoints (B, 17, 2) and scores (B, 17): (B,
    19, 2), (B, 19).
    """
    shoulders = [KEYPOINTS.index("left_shoulder"), KEYPOINTS.index("right_shoulder")]
    ears = [KEYPOINTS.index("left_ear"), KEYPOINTS.index("right_ear")]
    neck = keypoints[:, shoulders].mean(1, keepdims=True)
    between_ears = keypoints[:, ears].mean(1, keepdims=True)
    head = neck + HEAD * (between_ears - neck)
    neck_score = scores[:, shoulders].min(1, keepdims=True)
    ear_score = scores[:, ears].min(1, keepdims=True)
    head_score = jnp.minimum(neck_score, ear_score)
    all_keypoints = jnp.concatenate([keypoints, neck, head], 1)
    all_scores = jnp.concatenate([scores, neck_score, head_score], 1)
    return all_keypoints, all_scores
