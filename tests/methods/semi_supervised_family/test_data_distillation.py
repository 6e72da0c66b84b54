"""Pseudo-labels: transforms are undone exactly where they can be, and the threshold matches the
labelled set.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from kpjax.heatmaps import codec
from kpjax.input.source import arrays
from kpjax.methods.forward import unit_range
from kpjax.methods.semi_supervised_family import data_distillation
from kpjax.structures import Prediction, Skeleton, Trained

SIDE, STRIDE = 64, 4
READS = Trained({"params": {"scale": np.ones((), np.float32)}}, {})
SKELETON = Skeleton(("left", "right", "nose"), flip=(1, 0, 2))
TRUE = np.array([[[20, 29], [44, 33], [33, 21]], [[9, 12], [44, 41], [31, 40]]], np.float32)


class Reader(nn.Module):
    """Heatmaps that are the colour channels, one for each point. It knows no sides: in a mirrored
    image red is still its answer for the left point."""

    grid: str

    @nn.compact
    def __call__(self, images, train: bool):
        scale = self.param("scale", nn.initializers.ones, ())
        if self.grid == "index":  # cell u is pixel 4 u
            return scale * images[:, ::STRIDE, ::STRIDE]
        return scale * images.reshape(-1, SIDE // STRIDE, STRIDE, SIDE // STRIDE, STRIDE, 3).mean(
            (2, 4)
        )


def image(keypoints=TRUE, deviation=8.0):
    """A broad bump at each keypoint, one in each channel."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    squared = (columns[..., None] - keypoints[:, None, None, :, 0]) ** 2 + (
        rows[..., None] - keypoints[:, None, None, :, 1]
    ) ** 2
    images = np.round(255 * np.exp(-squared / (2 * deviation**2))).astype(np.uint8)
    return arrays(
        images, np.zeros_like(keypoints), np.zeros(keypoints.shape[:2]), SKELETON, "bumps"
    ).examples


@functools.cache
def heatmaps(grid, scales, flip=True):
    coding = codec(image_size=SIDE, heatmap_size=SIDE // STRIDE, sigma=1.0, grid=grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_distillation, "SCALES", scales)
        predict = data_distillation.distilled_predict(
            Reader(grid), coding, lambda images: images, SKELETON, flip=flip
        )
        return jax.tree.map(np.asarray, jax.jit(predict)(READS, image()))


def middles(maps):
    """Where the upper halves of the bumps lie, in cells."""
    upper = np.maximum(maps - maps.max((1, 2), keepdims=True) / 2, 0)
    rows, columns = np.mgrid[: maps.shape[1], : maps.shape[2]]
    return np.stack(
        [(upper * axis[..., None]).sum((1, 2)) / upper.sum((1, 2)) for axis in (columns, rows)], -1
    )


@pytest.mark.parametrize("grid", ["index", "half_pixel"])
def test_every_transform_is_undone(grid):
    """This network commutes with zooms and mirrors, so what comes back is the plain answer at the
    same place, less what two bilinear samplings take from a peak. A map read on the wrong grid
    would be off by a quarter of a cell or more.
    """
    plain = heatmaps(grid, (1.0,), flip=False).heatmaps[0]
    # The names are exchanged after a mirrored pass, which this network would not need.
    mirrored = (2 * heatmaps(grid, (1.0,)).heatmaps[0] - plain)[..., [1, 0, 2]]
    for undone in (
        mirrored,
        *(heatmaps(grid, (scale,), flip=False).heatmaps[0] for scale in (0.75, 1.25)),
    ):
        assert np.abs(undone - plain)[:, 3:-3, 3:-3].max() < 0.12
        away_from_the_border = np.array([0, 1, 2, 4, 5])
        found, expected = (
            middles(maps).reshape(-1, 2)[away_from_the_border] for maps in (undone, plain)
        )
        np.testing.assert_allclose(found, expected, atol=0.1)


def test_one_transform_is_the_ordinary_prediction():
    prediction = heatmaps("index", (1.0,), flip=False)
    np.testing.assert_allclose(prediction.heatmaps[0], image().image[:, ::4, ::4] / 255, atol=1e-5)
    np.testing.assert_allclose(prediction.scores, prediction.heatmaps[0].max((1, 2)), atol=1e-6)
    np.testing.assert_allclose(prediction.keypoints, np.round(TRUE / 4) * 4, atol=1e-4)


def test_the_flip_test_is_the_mean_with_the_mirrored_answer_under_exchanged_names():
    plain = image().image.astype(np.float32) / 255
    cells = SIDE // STRIDE
    maps, mirrored = (
        images.reshape(-1, cells, STRIDE, cells, STRIDE, 3).mean((2, 4))
        for images in (plain, plain[:, :, ::-1])
    )
    expected = (maps + mirrored[:, :, ::-1][..., list(SKELETON.flip)]) / 2
    np.testing.assert_allclose(heatmaps("half_pixel", (1.0,)).heatmaps[0], expected, atol=1e-4)


def test_cells_that_a_zoom_pushes_out_are_averaged_over_the_others():
    """At a zoom of 1.25 a point near the border leaves the frame; its peak must not fall to two
    thirds.
    """
    plain = heatmaps("index", (1.0,), flip=False).heatmaps[0]
    three = heatmaps("index", (0.75, 1.0, 1.25), flip=False).heatmaps[0]
    border = plain[1, 3, 0, 0]
    assert border > 0.5
    assert three[1, 3, 0, 0] > 0.9 * border
    large = heatmaps("index", (1.25,), flip=False).heatmaps[0]
    np.testing.assert_array_equal(large[:, 0], 0)
    assert np.isfinite(large).all()


def test_the_threshold_keeps_as_many_as_are_annotated():
    peaks = np.array([[0.9, 0.2], [0.7, 0.6], [0.3, 0.1], [0.8, 0.5]], np.float32)
    annotated = np.array([[1, 1], [1, 0]], np.float32)
    threshold = data_distillation.matching_threshold(peaks, annotated)
    np.testing.assert_allclose(threshold, 0.3)
    labels = data_distillation.pseudo_labels(np.full((4, 2, 2), 5.0), peaks, annotated)
    np.testing.assert_array_equal(labels.visible, [[1, 0], [1, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(labels.keypoints[0], [[5, 5], [0, 0]])
    assert labels.keypoints.dtype == labels.visible.dtype == np.float32
    assert data_distillation.matching_threshold(peaks, np.ones((3, 2))) == peaks.min()
    assert not data_distillation.pseudo_labels(
        np.full((4, 2, 2), 5.0), peaks, np.zeros((3, 2))
    ).visible.any()


def test_views_agree_on_a_point_by_hand():
    """Two of three lie 1 px apart, 0.1 of the reach; the third is sure and alone, in a view that
    knew little else.
    """
    keypoints = np.float32([[[[0, 0], [5, 5]]], [[[1, 0], [5, 5]]], [[[90, 0], [5, 5]]]])
    scores = np.float32([[[0.6, 0.6]], [[0.8, 0.8]], [[0.9, 0.1]]])
    found, sure = data_distillation.agreed(keypoints, scores, 10.0)
    weights = np.array([0.6**4, 0.8**4, 0.9 * 0.5**3])
    first = weights / weights.sum()
    assert found[0].tolist() == [[1, 0], [5, 5]]
    second = np.array([0.6**4, 0.8**4, 0.1 * 0.5**3])
    np.testing.assert_allclose(
        sure[0],
        [
            (1 - 0.1 * first[0] - first[2]) * first @ [0.6, 0.8, 0.9],
            second / second.sum() @ [0.6, 0.8, 0.1],
        ],
        rtol=1e-5,
    )


def test_a_single_view_is_its_own_answer_and_none_is_no_number():
    keypoints, scores = np.float32([[[[3, 4]]]]), np.float32([[[0.25]]])
    found, sure = data_distillation.agreed(keypoints, scores, 1.0)
    assert found.tolist() == [[[3, 4]]]
    np.testing.assert_allclose(sure, 0.25)
    assert data_distillation.agreed(keypoints, 0 * scores, 1.0)[1].tolist() == [[0]]


def reader():
    """A network that finds each bump where the image is large enough to show it whole."""
    coding = codec(image_size=SIDE, heatmap_size=SIDE // STRIDE, sigma=1.0, grid="half_pixel")

    def predict(state, example):
        heatmaps = Reader("half_pixel").apply(
            state.variables, unit_range(example).image, train=False
        )
        keypoints, scores = coding.decode(heatmaps)
        return Prediction(keypoints, scores, (heatmaps,))

    return predict


def test_a_turned_view_is_moved_back_and_exchanges_left_and_right():
    read, example = reader(), image()
    plain = jax.jit(read)(READS, example).keypoints
    points = Skeleton(("a", "b", "c"))
    turned = jax.jit(data_distillation.turned_predict(read, points))(READS, example)
    np.testing.assert_allclose(turned.keypoints, plain, atol=5)
    mirrored = jax.jit(data_distillation.turned_predict(read, SKELETON))(READS, example)
    partners = np.array(SKELETON.flip)
    np.testing.assert_allclose(mirrored.keypoints, plain[:, partners], atol=5)


def test_labels_stay_where_two_views_agree():
    """Of a side of 50 px, 4 px count as different; what was no label before is none."""
    points = np.full((1, 4, 2), 10, np.float32)
    other = points + np.float32([[[0, 0], [3.9, 0], [2.9, 2.9], [0, 0]]])
    visible = np.float32([[1, 1, 1, 0]])
    labels = data_distillation.PseudoLabels(points * visible[..., None], visible, 0.0)
    found = data_distillation.where_views_agree(labels, points, other, side=50)
    assert found.visible.tolist() == [[1, 1, 0, 0]]
    assert found.keypoints.tolist() == [[[10, 10], [10, 10], [0, 0], [0, 0]]]


def test_views_that_agree_outvote_one_that_errs(monkeypatch):
    """A network that errs where the first bump is in the upper half, as it is in half of all turns,
    and is less sure.

    Reader knows no sides: without mirror images it is right in every view.
    """
    read, example = reader(), image()

    def unsure_above(state, example):
        found = read(state, example)
        above = found.keypoints[:, :1, 1] < SIDE / 2
        return found._replace(
            keypoints=jnp.where(above[..., None], found.keypoints + 30, found.keypoints),
            scores=jnp.where(above, 0.5 * found.scores, found.scores),
        )

    monkeypatch.setattr(data_distillation, "TURNS", 4)
    found = jax.jit(data_distillation.agreed_predict(unsure_above, Skeleton(SKELETON.names)))(
        READS, example
    )
    assert np.abs(jax.jit(unsure_above)(READS, example).keypoints - TRUE).max() > 25
    np.testing.assert_allclose(found.keypoints, TRUE, atol=2.0)
    np.testing.assert_array_equal(found.heatmaps[0], jax.jit(read)(READS, example).heatmaps[0])


def test_mirrored_views_exchange_sides(monkeypatch):
    """Reader is wrong in mirrored views, where red is still its answer for the left point: the nose
    alone agrees.
    """
    monkeypatch.setattr(data_distillation, "TURNS", 1)
    found = jax.jit(data_distillation.agreed_predict(reader(), SKELETON))(READS, image())
    np.testing.assert_allclose(found.keypoints[:, 2], TRUE[:, 2], atol=2.0)
    assert (found.scores[:, :2] < 0.6 * found.scores[:, 2:]).all()


def test_views_of_another_size_agree(monkeypatch):
    """What a network misses by so many px of an enlarged view are fewer px of the image."""
    read, example, skeleton = reader(), image(), Skeleton(SKELETON.names)

    def shifted(state, example):
        return (found := read(state, example))._replace(
            keypoints=found.keypoints + jnp.array([[[6.0, 0.0]]])
        )

    monkeypatch.setattr(data_distillation, "TURNS", 1)
    monkeypatch.setattr(data_distillation, "ZOOMS", (1.25,))
    right, wrong = (
        jax.jit(data_distillation.agreed_predict(predict, skeleton))(READS, example).keypoints
        for predict in (read, shifted)
    )
    np.testing.assert_allclose(
        wrong - right, np.broadcast_to([6 / 1.25, 0], right.shape), atol=1e-3
    )
