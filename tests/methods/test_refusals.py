"""What methods and their parts refuse: the call, and a key word of the message."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_parts import CODEC, Features, batch, build, start, streams_of, tiny_pyramid, trained_model

from kpjax.augment.augmentations import random_affine
from kpjax.errors import InputError
from kpjax.heatmaps import codec
from kpjax.images.boxes import landmark_box
from kpjax.losses.objective import Term
from kpjax.losses.pyramids import parent_of_child
from kpjax.methods import (
    adaptation,
    imagenet_normalise,
    regda,
    supervised,
    symmetric_normalise,
)
from kpjax.methods.adaptation_family.adaptation import adaptation_objective
from kpjax.methods.adaptation_family.parameter_paths import convolutions, merge
from kpjax.methods.adaptation_family.parametrisation import identity_projections, project
from kpjax.methods.adaptation_family.view_pairs import draw_view
from kpjax.methods.incremental_family.association_forward import checked_association
from kpjax.methods.incremental_family.importance import sum_over_samples
from kpjax.methods.incremental_family.incremental import incremental
from kpjax.methods.incremental_family.objectives import incremental_objective, penalty_term
from kpjax.methods.incremental_family.step_spec import increment, increment_of
from kpjax.methods.pyramids_family.discovery import StillCamera
from kpjax.methods.pyramids_family.keynet import keynet_objective
from kpjax.methods.pyramids_family.objectives import pyramids_objective
from kpjax.methods.pyramids_family.pyramids import pyramids
from kpjax.methods.pyramids_family.transporter import transporter
from kpjax.methods.regda_family.feature_matching import dan, dann
from kpjax.methods.regda_family.source_free import source_free
from kpjax.methods.regda_family.teacher_adaptation import teacher_adaptation
from kpjax.methods.semi_supervised_family.data_distillation import matching_threshold
from kpjax.methods.semi_supervised_family.easy_hard import easy_hard
from kpjax.methods.semi_supervised_family.image_generation import image_generation
from kpjax.methods.semi_supervised_family.semi_supervised import semi_supervised
from kpjax.models.image_generation import image_generator
from kpjax.models.pyramid_baselines import as_transporter
from kpjax.models.unet import small_unet

ODD = {"odd": Term(1.0, lambda outputs, streams: outputs["of no view"].mean(), ("of no view",))}


def begun(factory, given=None, streams=None, **changes):
    """Traces a method's first state and update from a start; what is given as None is missing
    there.
    """
    method = build(factory, **changes)
    streams = streams_of(method) | ({} if streams is None else streams)
    trees = {
        name: tree
        for name, tree in (start() | ({} if given is None else given)).items()
        if tree is not None
    }
    state = jax.eval_shape(method.init, jax.random.key(0), streams, trees)
    jax.eval_shape(method.update, state, streams, jax.random.key(0))


def smaller(name, count):
    return {name: jax.tree.map(lambda leaf: leaf[:count], batch(name))}


def images(*sides):
    return {
        name: batch(name)._replace(image=np.zeros((8, *sides, 3), np.uint8))
        for name in ("frame", "reference")
    }


def smaller_association():
    kept = {"params": {"triple_0": {"kernel": jnp.zeros((2, 3))}}}
    checked_association(kept, jax.tree.map(lambda leaf: leaf[:1], kept))


def program_for_other_devices():
    examples = {"image": np.ones((16, 2), np.float32)}
    summed = functools.partial(
        sum_over_samples, jnp.square, lambda params, one: (params[None] * one["image"]).sum()
    )
    jax.jit(summed)(
        *jax.device_put((jnp.ones(2), examples, np.ones(16, np.float32)), jax.devices()[0])
    )


KERNELS = {"plain": {"kernel": jnp.zeros((3, 3, 2, 8))}}
FEATURES = {"objective": adaptation_objective(perceptual=True)}
FEWER = smaller("unlabelled", 4)
pyramid = functools.partial(begun, pyramids, network=tiny_pyramid())
ROWS = [
    *[
        (functools.partial(begun, factory, objective=ODD), "of no view")
        for factory in (
            adaptation,
            easy_hard,
            image_generation,
            regda,
            semi_supervised,
            source_free,
            teacher_adaptation,
        )
    ],
    *[
        (functools.partial(begun, factory, streams=FEWER), "8 of labelled, 4 of unlabelled")
        for factory in (easy_hard, image_generation, semi_supervised)
    ],
    (lambda: begun(supervised, model=small_unet(5)), "3 keypoints, and the network 5 heatmaps"),
    (
        lambda: begun(supervised, codec=codec(image_size=32, heatmap_size=4, sigma=1.0)),
        "codec: its stride is 8, .*16",
    ),
    (
        lambda: begun(supervised, {"variables": {"params": {}}}),
        "is absent in 'variables' of params",
    ),
    (lambda: begun(supervised, learning_rate=1e-3), "learning_rate: 0.001 for 'all parameters'"),
    (
        lambda: begun(regda, learning_rate={"features": jnp.float32}),
        "learning_rate: None for '(adversary|head)'",
    ),
    (
        lambda: begun(supervised, learning_rate={name: {} for name in ("backbone", "head")}),
        "learning_rate: {} for '\\w+'; give a schedule",
    ),
    (
        lambda: begun(supervised, augment={"other": random_affine(degrees=4.0)}),
        "augment: it has no function for 'labe",
    ),
    *[
        (
            functools.partial(normalise, jnp.zeros((1, 4, 4, 3), jnp.uint8)),
            "images are uint8; .* divide by 255",
        )
        for normalise in (imagenet_normalise, symmetric_normalise)
    ],
    # Adaptation
    (lambda: begun(adaptation, {"core": None}), "'core' is missing"),
    (lambda: begun(adaptation, model=small_unet(3, widths=(4, 4, 8))), "is absent in the core and"),
    (lambda: begun(adaptation, model=small_unet(5)), "5 heatmaps"),
    (lambda: begun(adaptation, perceptual=Features(), **FEATURES), "'perceptual' is missing"),
    (lambda: begun(adaptation, **FEATURES), "perceptual is None"),
    (lambda: identity_projections(KERNELS, convolutions(5)), "chooses none"),
    (lambda: merge({"conv": {"kernel": 1, "bias": 2}}, {"conv": {"kernel": 3}}), "is in two"),
    (lambda: project(KERNELS, {"other": {"kernel": jnp.eye(8)}}), "no such kernel"),
    (lambda: project(KERNELS, {"plain": {"kernel": jnp.eye(5)}}), "the matrix has shape"),
    (lambda: draw_view(15.0, shown=1.5), "shown is"),
    (lambda: landmark_box(np.zeros((2, 2)), 70, 10, 10, visible=np.zeros(2)), "none is visible"),
    (lambda: landmark_box(np.array([[50.0, 50.0], [60.0, 60.0]]), 70, 10, 10), "no area"),
    # Semi-supervised
    (lambda: begun(image_generation, generator=image_generator((4, 8)), size=9), "choose a size"),
    (lambda: matching_threshold(np.zeros((0, 2)), np.ones((2, 2))), "0 unlabelled"),
    # Incremental
    (lambda: increment(3, old=[0], new=[3]), "not among the 3"),
    (lambda: increment(3, old=[0], new=[0]), "both old and new"),
    (lambda: increment(3, old=[0], new=[]), "no keypoint is new"),
    (lambda: increment(3, old=[0], new=[1], triples=[(0, 1), (0, 1)]), "slots"),
    (lambda: increment(3, old=[0], new=[1], triples=[(1, 1)]), "is not an old keypoint"),
    (lambda: increment_of({"increment": increment(4, old=[0], new=[1])}, 3), "4 keypoints"),
    (lambda: begun(incremental, {"teacher": None}), "'teacher' is missing"),
    (lambda: begun(incremental, {"teacher": {"params": {}}}), "is absent in 'teacher' and"),
    (lambda: begun(incremental, {"association": None}), "'association' is missing"),
    (
        lambda: begun(
            incremental,
            {"anchor": trained_model()["params"]},
            objective=incremental_objective(CODEC) | {"penalty": penalty_term()},
        ),
        "'importance' is missing",
    ),
    (
        lambda: begun(teacher_adaptation, streams=smaller("target", 4)),
        "equal batch sizes; got 8 of source, 4 of target",
    ),
    # which would broadcast
    (lambda: begun(teacher_adaptation, streams=smaller("source", 1)), "1 of source, 8 of target"),
    (lambda: begun(dan, streams=smaller("target", 4)), "8 of source, 4 of target"),
    (lambda: begun(dann, streams=smaller("target", 4)), "8 of source, 4 of target"),
    (smaller_association, r"triple_0/kernel is \(1, 3\) in 'association' and \(2, 3\)"),
    (program_for_other_devices, "incompatible devices"),
    # Pyramids
    (
        lambda: pyramid(objective=pyramids_objective(transport=(0.1, 1.0, 1.0))),
        "reads 'transport_level3'",
    ),
    (lambda: pyramid(transport_widths=(0.1,)), "has 1 values"),
    (
        lambda: begun(
            transporter, objective=keynet_objective(), network=as_transporter(tiny_pyramid((6,)))
        ),
        "reads 'reconstruction'",
    ),
    (lambda: begun(pyramids, network=tiny_pyramid((2, 7))), "shared out evenly"),
    (lambda: parent_of_child(10, 25), "multiple of 10, for example 20$"),
    (lambda: parent_of_child(10, 5), "multiple of 10, for example 10$"),
    (lambda: parent_of_child(4, 0), "multiple of 4, for example 4$"),
    (lambda: pyramid(still=StillCamera(), augment=random_affine(degrees=40.0)), "not augmented"),
    (lambda: pyramid(still=StillCamera(), augment=None), "'still' is missing"),
    (lambda: pyramid(streams=images(16, 17)), "feature pyramid"),
    (
        lambda: begun(
            pyramids, network=tiny_pyramid().clone(transport_decoders=(tiny_pyramid().decoder,) * 2)
        ),
        "of 16 x 16",
    ),
    (
        lambda: pyramid(streams=smaller("reference", 4)),
        "equal batch",
    ),
    (lambda: pyramid({"network": {"params": {"generator": {}}}}), "has 'generator'"),
    (
        lambda: pyramid({"network": {"params": {"decoder": {"output": {"bias": jnp.zeros(4)}}}}}),
        "has shape",
    ),
]


@pytest.mark.parametrize(("call", "word"), ROWS)
def test_it_is_refused_by_name(call, word):
    with pytest.raises((InputError, ValueError), match=word):
        call()
