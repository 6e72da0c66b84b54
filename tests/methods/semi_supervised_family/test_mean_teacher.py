"""The mean teacher: which network sees what, what moves, and what a dropped term leaves."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny_parts
from tiny_parts import CODEC, MODEL, batch, centred

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation, random_affine
from kpjax.losses.objective import Term, without
from kpjax.methods.semi_supervised_family.mean_teacher import (
    WARPED,
    decay_at,
    mean_teacher,
    mean_teacher_objective,
    networks,
)
from kpjax.methods.semi_supervised_family.objectives import SQUARES
from kpjax.methods.supervised_learning import supervised

KEY, STREAMS = jax.random.key(1), {name: batch(name) for name in ("labelled", "unlabelled")}
OBJECTIVE = mean_teacher_objective(CODEC, supervised_weight=1.0, consistency=2.0)


def shift(x, y):
    return lambda key, size: geometry.translation(x, y)


def built(objective=OBJECTIVE, **changes):
    settings = {"optimizer": optax.trace(0.0), "learning_rate": lambda step: 0.5,
                "augment": no_augmentation(), "draw_map": shift(4.0, 0.0)} | changes
    return tiny_parts.build(mean_teacher, objective=objective, **settings)


@functools.cache
def distinct_start():
    """A state whose student and teacher differ."""
    init = jax.jit(built().init)
    one, other = (init(jax.random.key(seed), STREAMS, {}) for seed in (3, 4))
    return one._replace(other=other.variables)


def step(method, state=None, streams=STREAMS):
    return jax.tree.map(np.asarray, jax.jit(method.update)(state or distinct_start(), streams, KEY))


@functools.cache
def update():
    """(state, streams) -> (state, metrics) of the whole method, in numpy."""
    compiled = jax.jit(built().update)
    return lambda state, streams=STREAMS: jax.tree.map(np.asarray, compiled(state, streams, KEY))


def test_the_teacher_follows_the_student_and_its_statistics():
    _, before = networks(distinct_start())
    for number, decay in ((0, 0.1), (90, 0.91)):
        student, teacher = networks(update()(distinct_start()._replace(step=jnp.int32(number)))[0])
        jax.tree.map(lambda new, old, now, d=decay: np.testing.assert_allclose(
            new, d * np.asarray(old) + (1 - d) * now, atol=1e-6), teacher, before, student)
    decays = [float(decay_at(jnp.int32(step))) for step in (0, 10, 90, 10_000)]
    np.testing.assert_allclose(decays, [0.1, 0.55, 0.91, 0.999], atol=1e-6)


def test_the_teacher_sees_the_plain_image_and_the_student_the_moved_one():
    """A term that compares the views with what the two networks are worth by hand."""
    student, teacher = networks(distinct_start())
    image = jnp.asarray(STREAMS["unlabelled"].image, jnp.float32) / 255
    answer, _ = jax.jit(lambda images: MODEL.apply(teacher, images, train=True, mutable=["batch_stats"]))(
        centred(image))
    expected = np.zeros_like(answer)
    expected[:, :, 1:] = answer[:, :, :-1]  # four pixels are one cell
    seen = np.zeros_like(image)
    seen[:, :, 4:] = image[:, :, :-4]

    def differs(outputs, streams):
        return jnp.abs(outputs["teacher"] - expected).max() + jnp.abs(streams[WARPED].image - seen).max()

    _, metrics = step(built({**OBJECTIVE, "probe": Term(1.0, differs, reads=(WARPED, "teacher"))}))
    assert metrics["loss/probe"] < 1e-5
    warped = jnp.stack([centred(jnp.asarray(STREAMS["labelled"].image, jnp.float32) / 255), centred(seen)], 1)
    heatmaps, _ = jax.jit(lambda images: MODEL.apply(student, images, train=True, mutable=["batch_stats"]))(
        warped.reshape(-1, *seen.shape[1:]))
    consistency = np.square(heatmaps[1::2] - expected).mean()
    np.testing.assert_allclose(metrics["loss/consistency"], consistency, rtol=1e-4)
    labelled = SQUARES(heatmaps[::2], *CODEC.encode(jax.tree.map(jnp.asarray, STREAMS["labelled"])))
    np.testing.assert_allclose(metrics["loss/supervised"], labelled, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss/total"], labelled + 2 * consistency, rtol=1e-4)


def test_labels_of_unlabelled_images_are_not_read():
    lied = STREAMS["unlabelled"]._replace(keypoints=STREAMS["labelled"].keypoints * 0.5)
    jax.tree.map(np.testing.assert_array_equal, update()(distinct_start()),
                 update()(distinct_start(), STREAMS | {"unlabelled": lied}))


def test_no_gradient_reaches_the_teacher():
    """With the consistency alone, the student's step is down its gradient against a constant."""
    state, _ = step(built(without(OBJECTIVE, "supervised")))
    student, teacher = networks(distinct_start())
    image = np.float32(STREAMS["unlabelled"].image) / 255

    @jax.jit
    def moved_images_and_targets(image):
        answer, _ = MODEL.apply(teacher, centred(image), train=True, mutable=["batch_stats"])
        by = geometry.translation(4.0, 0.0)
        return geometry.warp(image, by), geometry.warp_heatmaps(answer, by, CODEC.to_heatmap)

    moved, target = moved_images_and_targets(image)

    def loss(params):
        heatmaps, _ = MODEL.apply(student | {"params": params}, centred(moved), train=True, mutable=["batch_stats"])
        return 2 * jnp.square(heatmaps - target).mean()

    expected = jax.tree.map(lambda p, g: p - 0.5 * g, student["params"], jax.jit(jax.grad(loss))(student["params"]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), networks(state)[0]["params"], expected)


def test_without_consistency_it_is_supervised_training_and_costs_no_more():
    method = built(without(OBJECTIVE, "consistency"), augment=random_affine(degrees=20.0))
    assert method.streams == ("labelled",)
    plain = tiny_parts.build(supervised, optimizer=optax.trace(0.0), learning_rate=lambda step: 0.5, loss=SQUARES)
    start = jax.jit(plain.init)(jax.random.key(4), STREAMS, {})  # as the student of `distinct_start`
    expected = jax.jit(plain.update)(start, STREAMS, KEY)[0].variables
    found = networks(step(method)[0])[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected)

    def operations(one, state):
        return jax.jit(one.update).lower(state, STREAMS, KEY).cost_analysis()["flops"]

    dropped, reference = operations(method, distinct_start()), operations(plain, start)
    average = 4 * sum(leaf.size for leaf in jax.tree.leaves(start.variables))
    assert abs(dropped - reference) <= 0.01 * reference + average
    assert operations(built(augment=random_affine(degrees=20.0)), distinct_start()) > 1.5 * dropped
