"""Synthetic categories: repeatable, points on the object, backgrounds that change nothing else, prepared datasets."""

import numpy as np
import pytest

from data.figure_backgrounds import BACKGROUNDS
from data.figure_categories import PEOPLE, closed_curve, render_category
from data.figure_faces import FACES
from data.figure_four_legged import FOUR_LEGGED

CATEGORIES = (PEOPLE, FACES, FOUR_LEGGED)


@pytest.fixture(scope="module", params=CATEGORIES, ids=lambda category: category.name)
def category(request):
    return request.param


@pytest.fixture(autouse=True)
def noiseless(monkeypatch):
    monkeypatch.setattr("data.figure_categories.NOISE", 0.0)


def bare(category, count, side=64):
    """Renders objects on black."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.figure_categories.AMPLITUDE", 0.0)
        return render_category(category, count, 0, side, background="plain")


def test_an_image_depends_on_seed_and_number_only(category):
    rendered, part = (render_category(category, count, 3, 32, first=first) for count, first in ((6, 0), (2, 4)))
    for number in range(2):
        np.testing.assert_array_equal(part[number].image, rendered[4 + number].image)
        np.testing.assert_array_equal(part[number].keypoints, rendered[4 + number].keypoints)
    assert (render_category(category, 1, 4, 32)[0].keypoints != rendered[0].keypoints).any()
    assert len({example.image.tobytes() for example in rendered}) == 6


def test_backgrounds_change_neither_object_nor_points(category):
    plain, *others = (render_category(category, 4, 0, 64, background=kind) for kind in BACKGROUNDS)
    alone = bare(category, 4).examples.image.astype(int)
    for other in others:
        np.testing.assert_array_equal(other.examples.keypoints, plain.examples.keypoints)
        same = np.abs(other.examples.image.astype(int) - plain.examples.image).max(-1) == 0
        assert same[alone.sum(-1) == 0].mean() < 0.2
        # Of the object all but its border.
        assert same[alone.min(-1) > 60].mean() > 0.7


def test_points_are_inside_and_on_the_object(category):
    rendered = bare(category, 30)
    points = rendered.examples.keypoints
    assert points.shape == (30, len(category.skeleton.names), 2)
    assert points.min() > 0
    assert points.max() < 63
    assert rendered.examples.visible.all()
    cells = np.rint(points).astype(int)
    on_object = rendered.examples.image[np.arange(30)[:, None], cells[..., 1], cells[..., 0]].max(-1) > 10
    assert on_object.mean() > 0.95  # a few lie on an outline whose pixel they share
    ends = [category.skeleton.index(name) for name in category.ends]
    lengths = np.linalg.norm(points[:, ends[0]] - points[:, ends[1]], axis=-1)
    np.testing.assert_allclose(rendered.examples.scale, lengths, rtol=1e-5)
    assert rendered.examples.scale.min() > 2
    # Larger images are the same ones.
    np.testing.assert_allclose((bare(category, 3, 128).examples.keypoints + 0.5) / 2, points[:3] + 0.5, atol=1e-3)


def test_the_labels_of_a_face_tell_where_its_hair_is():
    shown_faces = bare(FACES, 300).examples
    points, images = shown_faces.keypoints, shown_faces.image.max(-1)
    highest = np.argmax(images.max(2) > 20, axis=1)  # row of the first pixel of the hair
    inside = highest > 0
    for shown, below, above in ((14, 0.0, 1.0), (10, 1.5, np.inf)):  # px: of all labels, and of all but the hair's
        known = np.column_stack([points[inside, :shown].reshape(inside.sum(), -1), np.ones(inside.sum())])
        error = highest[inside] - known @ np.linalg.lstsq(known, highest[inside], rcond=None)[0]
        assert below <= np.sqrt(np.mean(error ** 2)) <= above


def test_closed_curves_go_through_their_points():
    points = np.random.default_rng(0).random((7, 2))
    np.testing.assert_allclose(closed_curve(points, 5)[::5], points)
    np.testing.assert_allclose(closed_curve(np.tile(points[:1], (4, 1))), np.tile(points[:1], (24, 1)))
