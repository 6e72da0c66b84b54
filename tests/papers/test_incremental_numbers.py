"""Incremental keypoint learning (KAMP) and its rivals: numbers of an independent float64 program.

Maps are indexed [row, column], points are (x, y).
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.losses.distillation import (
    centred,
    channel_distillation,
    line_entropy,
    line_softmax,
    mse_distillation,
    spatial_distillation,
)

close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=2e-6)


def one_map(rows):
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


TEACHER, STUDENT = one_map([[1, 2], [3, 4]]), one_map([[0.5, 1], [2, 1]])
TEACHER_2 = jnp.array([[[[0, 0.5], [1, 0], [0, 0.2]], [[0.2, 1], [0.4, 0.3], [0.1, 0]]]])
STUDENT_2 = jnp.array([[[[0.1, 0.4], [0.7, 0.1], [0, 0.3]], [[0.3, 0.6], [0.2, 0.5], [0, 0.1]]]])
PIXELS, OTHER_PIXELS = jnp.array([[[[2.0, 0, 1], [0, 1, 0]]]]), jnp.array([[[[1, 1, 0], [0.5, 0.5, 0]]]])
ALL = jnp.ones(3)


# Spatial distillation


def test_t1_line_softmax_and_distillation():
    close(line_softmax(TEACHER, 1)[0, ..., 0], [[0.119203, 0.119203], [0.880797, 0.880797]])
    close(line_softmax(TEACHER, 2)[0, ..., 0], [[0.268941, 0.731059], [0.268941, 0.731059]])
    close(line_softmax(STUDENT, 1)[0, ..., 0], [[0.182426, 0.5], [0.817574, 0.5]])
    close(line_softmax(STUDENT, 2)[0, ..., 0], [[0.377541, 0.622459], [0.731059, 0.268941]])
    close(spatial_distillation(TEACHER, STUDENT, reduction="line_sum"), 0.681558)
    close(spatial_distillation(TEACHER, STUDENT), 0.340779)
    close(centred(TEACHER, STUDENT, reduction="line_sum"), 0.207790)


def test_t2_channels_and_unequal_sides():
    close(spatial_distillation(TEACHER_2, STUDENT_2), 0.345653)
    close(spatial_distillation(TEACHER_2, STUDENT_2, reduction="line_sum"), 0.867058)
    close(centred(TEACHER_2, STUDENT_2), 0.003442)


def test_t3_other_readings():
    options = {"reduction": "line_sum"}
    close(spatial_distillation(TEACHER, STUDENT, mode="joint", **options), 1.451524)
    close(centred(TEACHER, STUDENT, mode="joint", **options), 0.503987)
    close(spatial_distillation(TEACHER, STUDENT, mode="marginal", **options), 0.571434)
    close(spatial_distillation(TEACHER, STUDENT, temperature=2.0, **options), 0.684339)


def test_t4_gradient():
    loss = functools.partial(spatial_distillation, reduction="line_sum")
    by_teacher, by_student = jax.grad(loss, (0, 1))(TEACHER, STUDENT)
    close(by_student[0, ..., 0], [[0.042955, 0.068049], [0.099724, -0.210729]])
    close(by_student.sum(), 0)
    np.testing.assert_array_equal(by_teacher, 0)


def test_t5_channel_distillation():
    for temperature, pixels, loss in ((1.0, (1.106723, 1.063991), 1.085357), (2.0, (1.111618, 1.090537), 1.101077)):
        distilled = functools.partial(channel_distillation, temperature=temperature)
        close(distilled(PIXELS, OTHER_PIXELS, ALL), loss)
        close([distilled(PIXELS[:, :, x : x + 1], OTHER_PIXELS[:, :, x : x + 1], ALL) for x in (0, 1)], pixels)


def test_t13_entropies():
    raw = functools.partial(line_entropy, normalised=False)
    close([raw(OTHER_PIXELS[:, :, x : x + 1], mode="channel") for x in (0, 1)], [1.017357, 1.074368])
    close(raw(OTHER_PIXELS, ALL, mode="channel"), 1.045863)
    close(raw(STUDENT), 0.603312)
    close(raw(STUDENT, mode="joint"), 1.218837)


def test_t16_gradient_beside_that_of_the_squared_error():
    y, x = np.mgrid[:64, :64]
    teacher = one_map(np.exp(-((x - 30) ** 2 + (y - 20) ** 2) / 8))
    student = teacher + 1e-3 * jax.random.normal(jax.random.key(0), teacher.shape)

    def norm(loss):
        return jnp.linalg.norm(jax.grad(loss, 1)(teacher, student))

    squared = norm(mse_distillation)
    for reduction, ratio in (("line_sum", 0.986), ("element_mean", 0.01541)):
        np.testing.assert_allclose(norm(functools.partial(spatial_distillation, reduction=reduction)) / squared, ratio,
                                   rtol=0.02)
    flat = jnp.zeros_like(teacher)
    close(spatial_distillation(flat, flat, reduction="line_sum"), 4.158883)
    close(spatial_distillation(flat, flat), 0.0649825)
