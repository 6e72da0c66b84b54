"""A step of each stage of KAMP against the paper's equations by hand: which network each term reads,
in which mode, and which channel.

Old model, student and KA-Nets are drawn apart, and batches are normalised otherwise than by stored
statistics. So a network in another's place, or in another mode, changes every number.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_parts import CODEC, KEYPOINTS, MODEL, SIDE, batch, build, centred, drawn, drawn_state

from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.distillation import spatial_distillation
from kpjax.methods.incremental_family.association import association
from kpjax.methods.incremental_family.incremental import incremental
from kpjax.methods.incremental_family.objectives import incremental_objective
from kpjax.methods.incremental_family.step_spec import increment
from kpjax.models.association import AssociationInputs, AssociationNetwork

close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
RATE = 0.1
SETTINGS = {
    "optimizer": optax.trace(0.9),  # from nothing: it keeps the gradient, and takes a plain step
    "learning_rate": lambda step: RATE,
    "augment": no_augmentation(),
}
WEIGHTS = {"distillation": 3.0, "association": 5.0}
STEPS = {
    # both old keypoints from the only new one, in the other order
    "two_old": increment(
        KEYPOINTS, old=[0, 1], new=[2], triples=[(1, 2), (0, 2)], slots=2, weights=WEIGHTS
    ),
    # one old keypoint from two new ones; the second slot is empty
    "two_new": increment(
        KEYPOINTS, old=[1], new=[0, 2], triples=[(1, 0, 2)], slots=2, weights=WEIGHTS
    ),
}
SHOWN = jax.tree.map(jnp.asarray, batch("labelled"))
# Images 0 and 1 lack a keypoint that is new in one of the steps.
STREAMS = {"labelled": SHOWN._replace(visible=SHOWN.visible.at[0, 2].set(0).at[1, 0].set(0))}
IMAGES = centred(STREAMS["labelled"].image.astype(jnp.float32) / 255)
KA_NET = AssociationNetwork()


@functools.cache
def networks():
    """The variables of the old model and of the student, and those of the KA-Nets."""
    shapes = jax.eval_shape(
        lambda: MODEL.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)), train=False)
    )
    method = build(association, **SETTINGS)
    given = {"teacher": shapes, "increment": STEPS["two_old"]}
    of_ka_nets = drawn_state(method, given, seed=3, streams=STREAMS).variables
    return drawn(shapes, seed=1), drawn(shapes, seed=2), of_ka_nets


def used_triples(step):
    """The triples in use, (old, new, new), with the number of each."""
    return [
        (number, tuple(int(k) for k in triple))
        for number, (triple, weight) in enumerate(
            zip(step.triples, step.triple_weights, strict=True)
        )
        if weight
    ]


def apply(variables, **options):
    return MODEL.apply(variables, IMAGES, **options)


def old_model(variables):
    """Features and heatmaps of the old model, on its stored statistics."""
    return apply(variables, train=False, method="features"), apply(variables, train=False)


def ka_inputs(features, new):
    """What KA-Net sees: the features, and Gaussians at the two new keypoints, empty without a
    label.
    """
    gaussians, _ = CODEC.encode(STREAMS["labelled"])
    labelled = STREAMS["labelled"].visible[:, None, None] > 0
    maps = jnp.where(labelled, gaussians, 0.0)
    points = jnp.zeros((len(IMAGES), 2, 2))  # read for windows of another width only
    return AssociationInputs(features, jnp.stack([maps[..., k] for k in new], -1), points)


def both_labelled(new):
    """(B,) 1 where both new keypoints have a label."""
    return jnp.stack([STREAMS["labelled"].visible[:, k] for k in new]).min(0)


@jax.vmap
def lines(teacher, student):
    """Equation 5 of each map (B, h, w), as tests/papers/test_incremental_numbers.py has it."""
    return spatial_distillation(*(one[None, :, :, None] for one in (teacher, student)))


def test_another_mode_or_network_has_other_maps():
    """The tests below tell them apart."""
    teacher, student, of_ka_nets = networks()
    features, maps = old_model(teacher)
    in_training, _ = apply(teacher, train=True, mutable=["batch_stats"])
    of_student = apply(student, train=False)
    inputs = ka_inputs(features, (0, 2))
    ka_net = {name: of_ka_nets[name]["triple_0"] for name in of_ka_nets}
    answer = KA_NET.apply(ka_net, inputs, False)
    other, _ = KA_NET.apply(ka_net, inputs, True, mutable=["batch_stats"])
    of_student_features, _ = old_model(student)
    fed_otherwise = KA_NET.apply(ka_net, ka_inputs(of_student_features, (0, 2)), False)
    for one, two in (
        (maps, in_training),
        (maps, of_student),
        (maps[..., 0], maps[..., 1]),
        (answer, other),
        (answer, fed_otherwise),
    ):
        assert np.sqrt(np.square(one - two).mean()) > 0.2 * np.std(one)


# Stage I: phi(F ⊙ h1, F ⊙ h2) goes to the old model's own map of the triple's old keypoint


def association_by_hand(params, teacher, statistics, step):
    """The total; the loss of each triple in use, and statistics after the pass."""
    features, maps = old_model(teacher)
    losses, after = {}, {}
    for number, (old, *new) in used_triples(step):
        name = f"triple_{number}"
        answer, moved = KA_NET.apply(
            {"params": params[name], "batch_stats": statistics[name]},
            ka_inputs(features, new),
            True,
            mutable=["batch_stats"],
        )
        squares = jnp.square(answer[..., 0] - maps[..., old]).mean((1, 2))
        seen = both_labelled(new)
        losses[name] = 0.5 * (seen * squares).sum() / seen.sum()
        after[name] = moved["batch_stats"]
    return sum(losses.values()), (losses, after)


@pytest.fixture(scope="module")
def association_update():
    return jax.jit(build(association, **SETTINGS).update)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_ka_net(association_update, name):
    step = STEPS[name]
    teacher, _, of_ka_nets = networks()
    method = build(association, **SETTINGS)
    given = {"teacher": teacher, "increment": step}
    first = drawn_state(method, given, streams=STREAMS)._replace(
        variables=of_ka_nets, frozen={"teacher": teacher, "increment": step}
    )
    last, metrics = association_update(first, STREAMS, jax.random.key(0))
    (total, (losses, after)), gradient = jax.value_and_grad(association_by_hand, has_aux=True)(
        of_ka_nets["params"], teacher, of_ka_nets["batch_stats"], step
    )
    assert set(losses) == {f"triple_{number}" for number, _ in used_triples(step)}
    for triple, loss in losses.items():
        close(metrics[f"loss/{triple}"], loss, err_msg=triple)
        jax.tree.map(
            functools.partial(close, atol=1e-5),
            last.variables["batch_stats"][triple],
            after[triple],
        )
    close(metrics["loss/total"], total)
    close(metrics["gradient_norm/association"], optax.tree.norm(gradient))
    expected = jax.tree.map(lambda p, g: p - RATE * g, of_ka_nets["params"], gradient)
    jax.tree.map(functools.partial(close, atol=1e-5), last.variables["params"], expected)


# Stage II: equation 4


def student_by_hand(params, statistics, teacher, of_ka_nets, step):
    """l_GT + alpha l_KSD + alpha l_KA; each of them, and statistics after the pass."""
    features, maps = old_model(teacher)
    student, moved = apply(
        {"params": params, "batch_stats": statistics}, train=True, mutable=["batch_stats"]
    )
    labels, _ = CODEC.encode(STREAMS["labelled"])
    seen = STREAMS["labelled"].visible
    new = [k for k in range(KEYPOINTS) if step.new[k]]
    squares = [
        0.5 * (seen[:, k] * jnp.square(student[..., k] - labels[..., k]).mean((1, 2))).mean()
        for k in new
    ]
    old = [k for k in range(KEYPOINTS) if step.old[k]]
    kept = [lines(maps[..., k], student[..., k]).mean() for k in old]
    least = [lines(maps[..., k], maps[..., k]).mean() for k in old]
    associated, counted = 0.0, 0.0
    for number, (of_old, *of_new) in used_triples(step):
        ka_net = {name: of_ka_nets[name][f"triple_{number}"] for name in of_ka_nets}
        answer = KA_NET.apply(ka_net, ka_inputs(features, of_new), False)
        both = both_labelled(of_new)
        associated += (both * lines(answer[..., 0], student[..., of_old])).sum()
        counted += both.sum()
    terms = {
        "new_keypoints": sum(squares) / len(new),
        "distillation": sum(kept) / len(old),
        "association": associated / counted,
    }
    value = sum(WEIGHTS.get(name, 1.0) * term for name, term in terms.items())
    shown = {**terms, "centred_distillation": (sum(kept) - sum(least)) / len(old)}
    return value, (shown, moved["batch_stats"])


def trained_part(gradient, step):
    """The gradient without that of channels of the head that are not new."""
    last = gradient["head"]["output"]
    new = jnp.asarray(step.new)
    masked = {
        "kernel": last["kernel"] * new.reshape(1, 1, 1, -1),
        "bias": last["bias"] * new,
    }
    return gradient | {"head": gradient["head"] | {"output": masked}}


@pytest.fixture(scope="module")
def student_method():
    return build(incremental, objective=incremental_objective(CODEC), **SETTINGS)


@pytest.fixture(scope="module")
def student_update(student_method):
    return jax.jit(student_method.update)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_the_student_is_equation_4(student_method, student_update, name):
    step = STEPS[name]
    teacher, student, of_ka_nets = networks()
    given = {"teacher": teacher, "association": of_ka_nets, "increment": step}
    first = drawn_state(student_method, given, streams=STREAMS)._replace(
        variables=student, frozen=given
    )
    last, metrics = student_update(first, STREAMS, jax.random.key(0))
    (total, (terms, statistics)), gradient = jax.value_and_grad(student_by_hand, has_aux=True)(
        student["params"], student["batch_stats"], teacher, of_ka_nets, step
    )
    for term, loss in terms.items():
        close(metrics[f"loss/{term}"], loss, err_msg=term)
    close(metrics["loss/total"], total)
    gradient = trained_part(gradient, step)
    close(metrics["gradient_norm/model"], optax.tree.norm(gradient))
    expected = jax.tree.map(lambda p, g: p - RATE * g, student["params"], gradient)
    jax.tree.map(functools.partial(close, atol=1e-5), last.variables["params"], expected)
    jax.tree.map(functools.partial(close, atol=1e-5), last.variables["batch_stats"], statistics)
