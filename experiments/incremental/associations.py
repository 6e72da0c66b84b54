"""The first stage of a later step: its triples, KA-Net's training, and whether KA-Net knows more than its teacher."""
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.incremental.material import pictures_of
from experiments.incremental.measures import Rows, accuracies
from experiments.incremental.methods import build_association, doubt_of, network_of
from experiments.incremental.parts import Setting
from experiments.incremental.steps import Known, Run, increment_at, stage_of, train
from experiments.incremental.variants import RECIPES, steps_of
from kpjax import geometry
from kpjax.errors import InputError
from kpjax.heatmaps import decode_argmax
from kpjax.input.protocols import automatic_triples, mean_distances, old_keypoints, random_triples, step_triples
from kpjax.input.source import Source
from kpjax.methods.forward import imagenet_normalise, unit_range
from kpjax.methods.incremental_learning.association import association_predict, copies_of_teacher, ka_reach
from kpjax.methods.incremental_learning.association_forward import (
    answered,
    association_pass,
    channels,
    labelled_triples,
)
from kpjax.methods.incremental_learning.pseudo_label_confidence import TRANSFORMS, kept_thresholds
from kpjax.methods.incremental_learning.step_spec import Increment, increment_of
from kpjax.models.association import Variant as AssociationName
from kpjax.models.association import reach
from kpjax.structures import Example, Prediction, Trained
from kpjax.training.evaluation import predict_source, reduce
from kpjax.training.fit import Fitted

ENOUGH_REACH = 0.8  # share of pictures; below it a KA-Net that sees further is called for
COPIES = 0.95  # share of pictures; above it KA-Net has learnt its teacher by heart


class Associated(NamedTuple):
    """What the second stage starts from, and what was found on the way."""

    planned: Increment
    network: AssociationName
    inputs: int  # new keypoints that KA-Net reads
    start: Mapping[str, Any]
    parents: Mapping[str, str]
    metrics: Mapping[str, float]
    wall_seconds: float


def associate(run: Run, known: Known, step: int, before: Rows) -> Associated:
    """Chooses the triples of a step and trains their KA-Nets. before: what the old model knows of the judging pictures.

    Prints what a reader must know, and warns of a KA-Net whose reach is too short or that copies its teacher.
    """
    setting, config, recipe = run.setting, run.config, RECIPES[run.job.variant]
    pictures = pictures_of(run.material, step, config.held_out)
    triples = triples_of(run, known, step, pictures.training)
    planned = increment_at(run, step, triples)
    if not recipe.association:
        return Associated(planned, "paper", 2, {}, {}, {}, 0.0)
    inputs = max(len(triple) - 1 for triple in triples)
    teacher = Trained({}, {"teacher": known.trained.variables, "increment": planned})
    network, within = network_for(setting, recipe.association, teacher, pictures.training)
    if recipe.association == "filtered" and config.filter_kept < 1:
        planned = planned._replace(threshold=thresholds_of(setting, teacher, pictures.training))
        teacher = teacher._replace(frozen=teacher.frozen | {"increment": planned})
    method = build_association(setting, recipe.association, network, inputs)

    def train_in(place: Path) -> Fitted:
        return train(run, method, pictures.training, steps_of(config, run.job.variant).association, place,
                     f"association {step}", teacher.frozen)

    # Of step 1 the teacher is the base, so rows that begin alike share it.
    shared = step == 1 and recipe.triples == "protocol" and recipe.association == "plain"
    name = f"association_step_{step}" if shared else f"{run.job.variant}_association_{step}"
    found = stage_of(run, name, train_in, {"before": known.digest})
    trained = Trained(found.trained.variables, teacher.frozen)
    if config.skip_useless_triples:
        useful = useful_triples(setting, network, inputs, trained, pictures.held_out)
        planned = planned._replace(triple_weights=planned.triple_weights * useful)
        trained = trained._replace(frozen=trained.frozen | {"increment": planned})
    metrics = diagnoses(run, network, inputs, trained, step, triples, within, before)
    return Associated(planned, network, inputs, {"association": found.trained.variables}, {"association": found.digest},
                      metrics, found.wall_seconds)


# Which triples, and which KA-Net


def triples_of(run: Run, known: Known, step: int, source: Source) -> list[tuple[int, ...]]:
    """(old, new, new) numbers of keypoints, or (old, new); [] for rows without an auxiliary task."""
    config, points, protocol = run.config, run.material.skeleton, run.material.protocol
    kind = RECIPES[run.job.variant].triples
    if not kind:
        return []
    old, new = old_keypoints(protocol, step), protocol.steps[step].keypoints
    if kind == "random":
        found = random_triples(points, old, new, seed=[run.job.seed, step], count=config.triples)
    else:
        by_distance = protocol.distance == "euclid" and (config.triple == "automatic" or protocol.triple == "automatic")
        apart = _apart(run, known, new, source) if by_distance else None
        if config.triple == "automatic":
            found = automatic_triples(points, old, new, count=config.triples, distance=protocol.distance, apart=apart)
        else:
            found = step_triples(protocol, step, points, count=config.triples, apart=apart)
    if not found:
        raise InputError(f"protocol {protocol.name} step {step}: no triple is stated; state one, or give --triple "
                         "automatic")
    return [tuple(points.index(name) for name in (triple.old, *triple.new)) for triple in found]


def _apart(run: Run, known: Known, new, source: Source) -> np.ndarray:
    predicted = predict_source(run.judge, known.trained, source, batch_size=2 * run.config.batch_size)
    return mean_distances(run.material.skeleton, new, predicted.keypoints, predicted.true_keypoints, predicted.visible,
                          predicted.scale)


def network_for(
    setting: Setting, kind: str, teacher: Trained, source: Source
) -> tuple[AssociationName, np.ndarray]:
    """(variant of KA-Net, share of a step's pictures (T,) on which each triple's old keypoint is within its reach).

    The paper's network where that share is large enough for every triple, else the one that sees further.
    """
    config = setting.config
    names: tuple[AssociationName, ...] = {
        "distant": ("distant",)}.get(kind, ("paper", "wide") if config.ka_variant == "auto" else (config.ka_variant,))
    for name in names:
        within = _share(reduce(_reach(setting, name), teacher, source, batch_size=2 * config.batch_size), "within")
        if (within[np.isfinite(within)] >= ENOUGH_REACH).all():
            break
    return name, within


@functools.lru_cache(maxsize=16)
def _reach(setting: Setting, name: AssociationName):
    parts, config = setting.parts, setting.config
    return ka_reach(parts.network, parts.codec, imagenet_normalise,
                    reach(name, config.heatmap_size, support=3 * config.sigma))


def _share(sums: Mapping[str, Any], name: str) -> np.ndarray:
    """(T,) of triples, NaN where no picture has both new keypoints, and of slots without a triple the same as of 0."""
    counted = np.asarray(sums["count"])
    return np.where(counted > 0, np.asarray(sums[name]) / np.maximum(counted, 1), np.nan)


# Which pseudo-labels to believe


def thresholds_of(setting: Setting, teacher: Trained, source: Source) -> np.ndarray:
    """(K,) the doubts below which the wanted share of the old model's answers on a step's pictures lies."""
    found = predict_source(_doubting(setting), teacher, source, batch_size=2 * setting.config.batch_size)
    return kept_thresholds(found.scores, setting.config.filter_kept)


@functools.lru_cache(maxsize=8)
def _doubting(setting: Setting):
    """A method whose scores are the doubts of the old model."""
    parts = setting.parts
    method = build_association(setting, "plain", "paper", 2)

    def predict(state: Trained, example: Example) -> Prediction:
        def answer(images):
            return answered(parts.network, state.frozen["teacher"], imagenet_normalise(images))[1]

        images = unit_range(example).image
        heatmaps = answer(images)
        return Prediction(example.keypoints, doubt_of(setting)(answer, images, heatmaps), (heatmaps,))

    return method._replace(predict=predict)


# Whether it helps


def useful_triples(
    setting: Setting, network: AssociationName, inputs: int, trained: Trained, held_out: Source
) -> np.ndarray:
    """(T,) float32, 1 where KA-Net lies nearer than the old model to where the old model finds the keypoint in turned
    and scaled copies of pictures that were held out from the step. No label of the old keypoint is read."""
    sums = reduce(_distances(setting, network, inputs), trained, held_out, batch_size=2 * setting.config.batch_size)
    of_ka_net, of_teacher = (np.asarray(sums[name]) for name in ("ka_net", "teacher"))
    useful = of_ka_net < of_teacher
    for slot, good in enumerate(useful):
        if trained.frozen["increment"].triple_weights[slot] > 0 and not good:
            print(f"triple {slot} is left out: on held-out pictures KA-Net is no nearer to the old model's consensus "
                  f"than one answer of the old model ({of_ka_net[slot]:.1f} against {of_teacher[slot]:.1f} px in all)")
    return useful.astype(np.float32)


@functools.lru_cache(maxsize=8)
def _distances(setting: Setting, network: AssociationName, inputs: int):
    parts = setting.parts
    ka_net = network_of(setting.config, network, inputs)

    def measure(state: Trained, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        view, step = unit_range(batch), increment_of(state.frozen, batch.keypoints.shape[1])
        _, height, width, _ = view.image.shape
        teacher, old = state.frozen["teacher"], step.triples[:, 0]

        def answer(images):
            features, heatmaps = answered(parts.network, teacher, imagenet_normalise(images))
            return features, decode_argmax(channels(heatmaps, old))[0]

        features, own = answer(view.image)
        elsewhere = []
        for degrees, scale in TRANSFORMS:
            there = geometry.similarity(angle=np.deg2rad(degrees).item(), scale=scale,
                                        centre=((width - 1) / 2, (height - 1) / 2))
            _, cells = answer(geometry.warp(view.image, there))
            elsewhere.append(geometry.move_points(
                geometry.conjugate(geometry.invert(there), parts.codec.to_heatmap), cells))
        consensus = jnp.stack(elsewhere).mean(0)
        maps, _ = association_pass(ka_net, state.variables, parts.codec, features, view, step.triples)
        valid = labelled_triples(parts.codec, view, step.triples) * weights[:, None]
        return {name: (jnp.linalg.norm(places - consensus, axis=-1) * valid).sum(0)
                for name, places in (("ka_net", decode_argmax(maps)[0]), ("teacher", own))}

    return measure


def diagnoses(
    run: Run, network: AssociationName, inputs: int, trained: Trained, step: int, triples, within: np.ndarray,
    before: Rows,
) -> dict[str, float]:
    """How well KA-Net and the old model find the old keypoint of each triple in the judging pictures, and more.

    Under association/step_<t>/<old keypoint>/: ka_net and teacher, PCK at the first threshold; reach, the share of the
    step's pictures within KA-Net's reach; copies, the share on which its arg-max is the old model's; used, 0 or 1.
    """
    config, setting, names = run.config, run.setting, run.material.skeleton.names
    found = predict_source(_knowing(setting, network, inputs), trained, run.material.judge,
                           batch_size=2 * config.batch_size, labelled=True)
    accuracy = accuracies(found, config.pck_thresholds)
    copied = _share(reduce(_copies(setting, network, inputs), trained, run.material.judge,
                           batch_size=2 * config.batch_size), "copied")
    metrics = {}
    for slot, triple in enumerate(triples):
        old = triple[0]
        values = {"ka_net": accuracy[0, old], "teacher": before.accuracy[0, old],
                  "second/ka_net": accuracy[1, old], "second/teacher": before.accuracy[1, old],
                  "reach": within[slot], "copies": copied[slot],
                  "used": trained.frozen["increment"].triple_weights[slot]}
        metrics |= {f"association/step_{step}/{names[old]}/{name}": float(value) for name, value in values.items()
                    if np.isfinite(value)}
        told = " and ".join(names[k] for k in triple[1:])
        print(f"step {step}, {names[old]} from {told}: KA-Net {values['ka_net']:.3f}, the old model "
              f"{values['teacher']:.3f}; {within[slot]:.0%} within the reach of {network!r}, {copied[slot]:.0%} copies")
        if within[slot] < ENOUGH_REACH:
            print(f"warning: {names[old]}: KA-Net's reach covers {within[slot]:.0%} of the pictures; choose a nearer "
                  "triple or --ka-variant wide")
        if copied[slot] > COPIES:
            print(f"warning: {names[old]}: KA-Net answers as its teacher on {copied[slot]:.0%} of the pictures; it has "
                  "associated nothing")
    return metrics


@functools.lru_cache(maxsize=8)
def _knowing(setting: Setting, network: AssociationName, inputs: int):
    """KA-Net's method with the `predict` that reads the labels of the new keypoints."""
    parts, ka_net = setting.parts, network_of(setting.config, network, inputs)
    return build_association(setting, "plain", network, inputs)._replace(
        predict=association_predict(parts.network, parts.codec, imagenet_normalise, ka_net))


@functools.lru_cache(maxsize=8)
def _copies(setting: Setting, network: AssociationName, inputs: int):
    parts, ka_net = setting.parts, network_of(setting.config, network, inputs)
    return copies_of_teacher(parts.network, parts.codec, imagenet_normalise, ka_net)

