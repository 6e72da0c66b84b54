"""The mean teacher: which network sees what, what moves, and what a dropped term leaves."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny_parts
from tiny_parts import CODEC, MODEL, assert_near, batch, centred

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation
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
    one, other = (tiny_parts.drawn_state(built(), seed=seed) for seed in (3, 4))
    return one._replace(other=other.variables)


@functools.cache
def views():
    """What the teacher answers, moved by one cell, and the moved images."""
    _, teacher = networks(distinct_start())
    image = STREAMS["unlabelled"].image / np.float32(255)
    answer, _ = jax.jit(lambda images: MODEL.apply(teacher, images, train=True, mutable=["batch_stats"]))(
        centred(jnp.asarray(image)))
    expected, seen = np.zeros_like(answer), np.zeros_like(image)
    expected[:, :, 1:] = answer[:, :, :-1]  # four pixels are one cell
    seen[:, :, 4:] = image[:, :, :-4]
    return expected, seen


@functools.cache
def update():
    """(state, streams) -> (state, metrics) of the whole method, in numpy, and of a term of no weight that compares the
    views with `views` of the first state."""
    expected, seen = views()

    def differs(outputs, streams):
        return jnp.abs(outputs["teacher"] - expected).max() + jnp.abs(streams[WARPED].image - seen).max()

    compiled = jax.jit(built(OBJECTIVE | {"probe": Term(0.0, differs, reads=(WARPED, "teacher"))}).update)
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
    """No gradient reaches the teacher: the student's step is down that of both terms against constants."""
    state, metrics = update()(distinct_start())
    assert metrics["loss/probe"] < 1e-5
    student, _ = networks(distinct_start())
    expected, seen = views()
    labels = jax.tree.map(jnp.asarray, STREAMS["labelled"])
    both = jnp.stack([centred(labels.image.astype(jnp.float32) / 255), centred(jnp.asarray(seen))], 1)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradient(params):
        heatmaps, _ = MODEL.apply(student | {"params": params}, both.reshape(-1, *seen.shape[1:]), train=True,
                                  mutable=["batch_stats"])
        consistency = jnp.square(heatmaps[1::2] - expected).mean()
        labelled = SQUARES(heatmaps[::2], *CODEC.encode(labels))
        return labelled + 2 * consistency, (labelled, consistency, labelled + 2 * consistency)

    found, losses = gradient(student["params"])
    np.testing.assert_allclose([metrics[f"loss/{name}"] for name in ("supervised", "consistency", "total")], losses,
                               rtol=1e-4)
    wanted = jax.tree.map(lambda p, g: p - 0.5 * g, student["params"], found)
    assert_near(networks(state)[0]["params"], wanted, atol=1e-5)


def test_without_consistency_it_is_supervised_training():
    method = built(without(OBJECTIVE, "consistency"), augment=tiny_parts.SETUP.augment)
    assert method.streams == ("labelled",)
    plain = tiny_parts.build(supervised, optimizer=optax.trace(0.0), learning_rate=lambda step: 0.5, loss=SQUARES)
    student, _ = networks(distinct_start())
    start = tiny_parts.drawn_state(plain)._replace(variables=student)
    expected = jax.jit(plain.update)(start, STREAMS, KEY)[0].variables
    found, _ = networks(jax.jit(method.update)(distinct_start(), STREAMS, KEY)[0])
    assert_near(found, expected, atol=1e-6)
