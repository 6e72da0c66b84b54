"""Hidden boxes: where they lie, what they show, and that every image draws its own."""

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.augment import occlusion
from kpjax.augment.occlusion import blank_boxes, hide_boxes, hide_by_labels
from kpjax.structures import Example

BATCH, SIDE = 4, 16
IMAGES = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (BATCH, SIDE, SIDE, 3)), jnp.float32)
POINTS = jnp.asarray(np.random.default_rng(1).uniform(4, 12, (BATCH, 2, 2)), jnp.float32)
ONES = jnp.ones((BATCH, 2))
NEAR = {"noise": 0.0, "half_sides": (2.0, 2.0)}


blank = jax.jit(blank_boxes)


def changed(images):
    return (np.asarray(images) != np.asarray(IMAGES)).any(-1)


def test_a_box_shows_what_lies_around_its_origin():
    centres, origins = jnp.full((BATCH, 1, 2), 8.0), jnp.array([[[3.0, 5.0]]] * BATCH)
    moved = np.asarray(blank(IMAGES, centres, jnp.full((BATCH, 1, 2), 2.0), IMAGES, origins))
    np.testing.assert_array_equal(moved[:, 6:10, 6:10], IMAGES[:, 3:7, 1:5])
    assert changed(moved).sum((1, 2)).max() == 16
    beyond = blank(IMAGES, centres, jnp.full((BATCH, 1, 2), 2.0), IMAGES, origins - 20)
    np.testing.assert_array_equal(
        beyond[:, 6:10, 6:10], np.broadcast_to(IMAGES[:, :1, :1], (BATCH, 4, 4, 3))
    )
    same = blank(IMAGES, centres, jnp.zeros((BATCH, 1, 2)), jnp.zeros((1, 1, 1, 3)))
    np.testing.assert_array_equal(same, IMAGES)


def test_the_form_of_tpus_shows_the_same():
    rows, columns = (
        jnp.asarray(np.random.default_rng(seed).integers(0, SIDE, (BATCH, SIDE))) for seed in (2, 3)
    )
    np.testing.assert_array_equal(
        *(
            jax.jit(form)(IMAGES, rows, columns)
            for form in (occlusion._lines_by_products, occlusion._lines)
        )
    )


def test_holes_lie_at_keypoints_that_may_be_hidden_and_show_the_mean_colour():
    weights = ONES.at[:, 1].set(0).at[3].set(0)
    found = jax.jit(hide_boxes(3, **NEAR))(jax.random.key(0), IMAGES, POINTS, weights)
    for number in range(BATCH):
        rows, columns = np.nonzero(changed(found)[number])
        if number == 3:  # no keypoint of weight 1
            assert not len(rows)
            continue
        first = np.floor(np.asarray(POINTS[number, 0]) - 2)
        assert (columns.min(), rows.min(), len(rows)) == (*first, 16)
        np.testing.assert_allclose(
            found[number, rows[0], columns[0]], IMAGES[number].mean((0, 1)), rtol=1e-5
        )


def test_boxes_anywhere_show_the_image_itself():
    """Every image draws its own place; at a keypoint, what is shown lies elsewhere in the same
    image.
    """
    where = changed(
        jax.jit(hide_boxes(1, at="anywhere", **NEAR))(jax.random.key(0), IMAGES, POINTS, ONES)
    )
    assert len({row.tobytes() for row in where}) == BATCH
    pasted = jax.jit(hide_boxes(1, shows="elsewhere", **NEAR))(
        jax.random.key(0), IMAGES, POINTS, ONES
    )
    for number in range(BATCH):
        own = {
            pixel.tobytes() for pixel in np.asarray(IMAGES[number]).reshape(-1, IMAGES.shape[-1])
        }
        assert {
            pixel.tobytes() for pixel in np.asarray(pasted[number])[changed(pasted)[number]]
        } <= own


def test_probability_and_units():
    some = changed(
        jax.jit(hide_boxes(1, probability=0.5, unit=0.5, noise=0.0, half_sides=(4.0, 4.0)))(
            jax.random.key(5), jnp.tile(IMAGES, (8, 1, 1, 1))[:BATCH], POINTS, ONES
        )
    ).sum((1, 2))
    assert set(some.tolist()) <= {0, 16}


def test_labels_choose_the_holes_of_an_augmentation():
    example = Example(
        IMAGES,
        POINTS,
        ONES.at[0].set(0),
        jnp.ones(BATCH),
        jnp.tile(jnp.eye(3), (BATCH, 1, 1)),
        jnp.arange(BATCH),
    )
    found, maps = jax.jit(hide_by_labels(hide_boxes(2, **NEAR)))(jax.random.key(0), example)
    assert [bool(row.any()) for row in changed(found.image)] == [False, True, True, True]
    np.testing.assert_array_equal(maps, example.crop)
    np.testing.assert_array_equal(found.keypoints, POINTS)
