"""Later methods (Xie et al. 2021, UDAPE, Lightning Pose): numbers of an independent float64
program.

Maps are indexed [row, column], points are (x, y).
"""

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import geometry, heatmaps
from kpjax.augment.occlusion import blank_boxes
from kpjax.augment.restyling import exchanged_moments
from kpjax.losses.consistency import surest, transformation_equivariance
from kpjax.losses.objective import total
from kpjax.losses.pose_subspace import fit_pose_subspace
from kpjax.methods.regda_family import teacher_adaptation
from kpjax.methods.semi_supervised_family import easy_hard
from kpjax.optimization import ema
from kpjax.structures import Example


def field(shape, step, start=0.0):
    """sin(start + step n), n counting all entries."""
    return np.sin(start + step * np.arange(np.prod(shape))).reshape(shape)


def single(array):
    return jnp.asarray(array, jnp.float32)


# Easy and hard views


def test_a1_the_harder_map(close):
    g = geometry.similarity(angle=np.radians(30), scale=1 / 0.9, centre=(31.5, 31.5))
    close(
        geometry.move_points(g, single([[40, 20], [10, 50]])),
        [[46.068018, 25.156342], [0.533838, 37.357189]],
        atol=1e-5,
    )
    drawn = jax.vmap(lambda key: easy_hard.HARDER(key, (64, 64)))(
        jax.random.split(jax.random.key(0), 64)
    )
    close(
        geometry.move_points(drawn, jnp.full((64, 1, 2), 31.5)),
        np.full((64, 1, 2), 31.5),
        atol=1e-4,
    )
    lengths, turns = (
        jnp.hypot(drawn[:, 0, 0], drawn[:, 1, 0]),
        jnp.arctan2(drawn[:, 1, 0], drawn[:, 0, 0]),
    )
    close(
        (lengths > 1 / 1.25 - 1e-5)
        & (lengths < 1 / 0.75 + 1e-5)
        & (abs(turns) < np.radians(60) + 1e-5),
        True,
    )
    close((abs(turns) < 1e-6).sum(), 14, atol=10)  # a fifth is not turned


LABELS = Example(
    np.zeros((2, 4, 4, 3), np.float32),
    np.float32([[[1, 1], [2, 0], [3, 3]], [[0, 2], [1, 3], [2, 2]]]),
    np.float32([[1, 1, 0], [1, 1, 1]]),
    *[None] * 3,
)
SHAPE = 2, 4, 4, 3
OUTPUTS = {
    "labelled": 0.4 * field(SHAPE, 0.21),
    easy_hard.HARD: 0.4 * field(SHAPE, 0.13, 1),
    easy_hard.ANSWER: 0.6 * np.abs(field(SHAPE, 0.19, 0.5)),
}


def test_a2_one_network(close):
    objective = easy_hard.easy_hard_objective(
        heatmaps.codec(image_size=4, heatmap_size=4, sigma=1.0)
    )
    value, parts = jax.jit(lambda outputs, labels: total(objective, outputs, {"labelled": labels}))(
        jax.tree.map(single, OUTPUTS), jax.tree.map(single, LABELS)
    )
    close(
        [parts["loss/supervised"], parts["loss/consistency"], value],
        [0.101802, 0.130505, 0.232307],
        atol=1e-6,
    )


def test_a4_a_hole():
    centre = 4 * np.float32([5, 7]) + np.float32([3.7, -2.2])
    images = jax.jit(blank_boxes)(
        jnp.ones((1, 64, 64, 3)),
        single(centre[None, None]),
        single([[[12, 15]]]),
        jnp.zeros((1, 1, 1, 3)),
    )
    rows, columns = np.nonzero(np.asarray(images[0, ..., 0]) == 0)
    assert (columns.min(), columns.max(), rows.min(), rows.max(), len(rows)) == (
        11,
        34,
        10,
        39,
        720,
    )


# A teacher's surer answers


def test_b1_the_surer_part(close):
    peaks = single([[0.91, 0.20, 0.55], [0.40, 0.75, 0.10]])
    close(surest(peaks, 0.5), [[1, 0, 1], [0, 1, 0]])
    close(surest(peaks, 0.34), [[1, 0, 1], [1, 1, 0]])
    close(surest(peaks, 0.1), np.ones((2, 3)))


def test_b2_the_consistency(close):
    teacher = 0.1 * field((2, 8, 8, 2), 0.05)
    teacher[0, 5, 2, 0], teacher[0, 1, 6, 1], teacher[1, 4, 4, 0] = 0.9, 0.6, 0.5
    teacher[1, :, :, 1] = -0.2
    cells, scores = heatmaps.decode_argmax(single(teacher), strict_positive=True)
    close(cells, [[[2, 5], [6, 1]], [[4, 4], [0, 0]]])
    answer = teacher_adaptation.Answer(
        single(teacher), scores, heatmaps.gaussian_bumps(cells, (8, 8), 1.0)
    )
    student = single(0.5 * field((2, 8, 8, 2), 0.3, 0.2))
    outputs = {teacher_adaptation.ANSWER: answer, teacher_adaptation.TARGET: student}
    codec = heatmaps.codec(image_size=32, heatmap_size=8, sigma=1.0)
    close(
        teacher_adaptation.teacher_adaptation_objective(codec)["consistency"].function(outputs, {}),
        0.079870,
    )
    close(transformation_equivariance(student, answer.bumps, surest(scores, 0.0)), 0.160593)
    # B3 exchanged moments
    content, style = (
        single(values).reshape(1, 2, 2, 1)
        for values in ([0.1, 0.4, 0.2, 0.9], [0.6, 0.8, 0.5, 0.7])
    )
    close(exchanged_moments(content, style).ravel(), [0.541150, 0.65, 0.577433, 0.831416])
    close(exchanged_moments(content, style, 0.3).ravel(), [0.232345, 0.475, 0.313230, 0.879425])
    # B4 the average
    average, found = jnp.float32(1), []
    for value in (3.0, 5.0, 4.0):
        average = ema(average, jnp.float32(value), 0.999)
        found.append(average)
    close(found, [1.002, 1.005998, 1.008992])


LABELLED_POSES = np.array(
    [
        [10, 10, 20, 12],
        [12, 11, 24, 13],
        [14, 12, 28, 15],
        [16, 13, 32, 16],
        [18, 14, 36, 18.5],
        [20, 15.5, 40, 19],
    ]
)


def test_c2_pose_subspace(close):
    subspace = fit_pose_subspace(LABELLED_POSES)
    assert subspace.basis.shape == (4, 1)
    close(subspace.epsilon, 0.593647)
    close(fit_pose_subspace(LABELLED_POSES, percentile=1.0).epsilon, 0.059593, atol=2e-6)
