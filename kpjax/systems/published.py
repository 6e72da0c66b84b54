"""Published networks that find keypoints without training, in the place of a finished run: MoveNet Lightning."""
import functools
import re
from collections.abc import Sequence
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
from kpjax.models.weights.pretrained import MOVENET, SHORT_NAMES

SCORE_KIND = "sigmoid_peak"
CUTOFF = 0.3  # on photographs of a bird, a cat, a dragonfly and a hot dog few points reach it, all of a whole person do
CUTOFF_TURNED = 0.15  # where turned views agree on a point with this score, it is right about as often (LSP Extended)
FILES = (".tflite", ".safetensors")
JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
SIDED = re.compile(rf"(left|l|right|r)?(eye|ear|{'|'.join(JOINTS)})(left|l|right|r)?")
EDGES = (("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"),
         ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), *(
             (f"{side}_{one}", f"{side}_{other}") for side in ("left", "right") for one, other in (
                 ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"))))
# What sets of people label beside these, and how it is worked out.
NECK, HEAD_TOP = "neck", "head_top"
HEAD = 1.9  # from the neck to the top of the head, in distances from the neck to between the ears
WORKED_OUT = {NECK: "between the shoulders", HEAD_TOP: f"{HEAD} times from the neck to between the ears"}


def _mirrored(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)


PERSON = Skeleton(KEYPOINTS, tuple((KEYPOINTS.index(one), KEYPOINTS.index(other)) for one, other in EDGES),
                  tuple(KEYPOINTS.index(_mirrored(name)) for name in KEYPOINTS))
WITH_HEAD = Skeleton((*KEYPOINTS, *WORKED_OUT), (*PERSON.edges, (len(KEYPOINTS), len(KEYPOINTS) + 1)),
                     (*PERSON.flip, len(KEYPOINTS), len(KEYPOINTS) + 1))


def is_published(run: str | Path) -> bool:
    """Returns whether what stands in the place of a run is a published network: its name, or a file of weights.

    A run's folder of that name is given as ./movenet.
    """
    return str(run) in (MOVENET, *SHORT_NAMES) or Path(run).suffix in FILES


def load(weights: str | Path) -> Trained:
    """Reads all layers of MoveNet. Raises InputError as `load_movenet` does."""
    network = movenet_lightning()
    fresh = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)), False))
    return Trained(load_movenet(fresh, weights).variables, {})


@functools.lru_cache(maxsize=4)
def people(skeleton: Skeleton = PERSON, *, turned: bool = False) -> Method:
    """Builds MoveNet's predictions of the keypoints of a skeleton, by their names, as a method that does not train.

    Neck and top of the head are worked out from others, see `WORKED_OUT`; their scores are the least of those. Other
    keypoints that MoveNet does not find lie at (0, 0) with the score 0. Images are squares around a person.

    turned: whether each image is also seen turned, mirrored and at other sizes, in 36 views that agree on each keypoint
    (`agreed_predict`): for people who are not upright, as MoveNet's are, at so many times the cost.
    """
    def all_points(trained: Trained, batch: Example) -> Prediction:
        maps = movenet_lightning().apply(trained.variables, symmetric_normalise(unit_range(batch).image), False)
        return Prediction(*with_neck_and_head(*decode_movenet(maps)), (jax.nn.sigmoid(maps.heatmaps),))

    answered = agreed_predict(all_points, WITH_HEAD) if turned else all_points

    def predict(trained: Trained, batch: Example) -> Prediction:
        keypoints, scores, (heatmaps,) = answered(trained, batch)
        found = {name: (keypoints[:, k], scores[:, k], heatmaps[..., k] if k < len(KEYPOINTS) else None)
                 for k, name in enumerate(WITH_HEAD.names)}
        nothing = (jnp.zeros_like(keypoints[:, 0]), jnp.zeros_like(scores[:, 0]), None)
        chosen = [found.get(name, nothing) for name in names_of_person(skeleton.names)]
        empty = jnp.zeros_like(heatmaps[..., 0])
        return Prediction(
            jnp.stack([points for points, _, _ in chosen], 1), jnp.stack([score for _, score, _ in chosen], 1),
            (jnp.stack([empty if peaks is None else peaks for _, _, peaks in chosen], -1),))

    return Method(_untrained, _untrained, predict, (), skeleton)


def _untrained(*of) -> NoReturn:
    raise NotImplementedError("a published network is not trained")


def with_neck_and_head(keypoints: jax.Array, scores: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Appends neck and top of the head to MoveNet's keypoints (B, 17, 2) and scores (B, 17): (B, 19, 2), (B, 19)."""
    shoulders, ears = ([KEYPOINTS.index(f"{side}_{part}") for side in ("left", "right")]
                       for part in ("shoulder", "ear"))
    neck = keypoints[:, shoulders].mean(1, keepdims=True)
    head = neck + HEAD * (keypoints[:, ears].mean(1, keepdims=True) - neck)
    of_neck = scores[:, shoulders].min(1, keepdims=True)
    of_head = jnp.minimum(of_neck, scores[:, ears].min(1, keepdims=True))
    return jnp.concatenate([keypoints, neck, head], 1), jnp.concatenate([scores, of_neck, of_head], 1)


# Names

def of_person(name: str) -> str | None:
    """Returns MoveNet's name of a keypoint, or neck or head_top, by a name such as LeftShoulder, l_shoulder, Neck."""
    plain = "".join(re.findall("[a-z]", name.lower()))
    if plain in ("nose", "neck"):
        return plain
    if plain in ("headtop", "topofhead", "tophead"):
        return HEAD_TOP
    found = SIDED.fullmatch(plain)
    sides = [side for side in (found.group(1), found.group(3)) if side] if found else []
    return f"{'left' if sides[0].startswith('l') else 'right'}_{found.group(2)}" if len(sides) == 1 else None


def names_of_person(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names as MoveNet has them where it finds the keypoint; of two alike, that which is spelt its way."""
    order = sorted(range(len(names)), key=lambda k: names[k] not in WITH_HEAD.names)
    taken: dict[str, int] = {}
    for k in order:
        if known := of_person(names[k]):
            taken.setdefault(known, k)
    known_at = {k: known for known, k in taken.items()}
    return tuple(known_at.get(k, name) for k, name in enumerate(names))


def channels(names: Sequence[str]) -> tuple[int, ...]:
    """Returns of each keypoint, by its name, the number of MoveNet's own, -1 for others."""
    return tuple(KEYPOINTS.index(name) if name in KEYPOINTS else -1 for name in names_of_person(names))


def is_person(names: Sequence[str]) -> bool:
    """Returns whether most keypoints are a person's, by their names, and at least four of them of arms and legs.

    Nose, eyes and ears are named so on animals, too.
    """
    found = [known for known in map(of_person, names) if known]
    limbs = [known for known in found if known.partition("_")[2] in JOINTS]
    return len(limbs) >= 4 and 2 * len(found) > len(names)
