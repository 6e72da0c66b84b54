"""Images loaded larger than the network reads them: crop, turn and zoom are one resampling of what
was loaded.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import geometry
from kpjax.augment import Loaded, augmentations, random_maps
from kpjax.images.transforms import PersonCrop, ScaledByBox, Stretch, enlarge
from kpjax.input.source import stack_examples
from kpjax.structures import Example

SIDE, BATCH = 64, 24
WIDTH, HEIGHT = 320, 240
BOX = np.array([110, 60, 70, 88], np.float32)
POINTS = np.array([(140, 100), (120, 130), (165, 85)], np.float32)
WAVES = np.random.default_rng(0).uniform(-1, 1, (5, 3)) * [0.22, 0.22, np.pi]  # at least 20 px long
MOVED = {
    "scale and rotation": (
        PersonCrop(SIDE),
        random_maps.scale_rotation_reach(),
        augmentations.random_scale_rotation,
    ),
    "rotation and crop": (
        Stretch(SIDE),
        random_maps.square_crop_reach(),
        lambda loaded=None: augmentations.random_warp(
            random_maps.draw_rotation(180.0), random_maps.draw_square_crop(), loaded=loaded
        ),
    ),
}


def scene(points):
    """A smooth image, exact at any point (..., 2) in pixels of the original, in [0.3, 0.9]."""
    phases = points[..., :1] * WAVES[:, 0] + points[..., 1:] * WAVES[:, 1] + WAVES[:, 2]
    return 0.6 + 0.06 * np.sin(phases).sum(-1)


def original(width=WIDTH, height=HEIGHT):
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    return np.repeat(np.round(255 * scene(grid))[..., None], 3, -1).astype(np.uint8)


def batch_of(transform, image, points=POINTS) -> Example:
    made = transform(image, points, np.ones(len(points), np.float32), np.float32(60), BOX)
    batch = jax.tree.map(
        jnp.asarray, stack_examples([Example(*made, np.int32(n)) for n in range(BATCH)])
    )
    return batch._replace(image=batch.image.astype(jnp.float32) / 255)


def exact(image, moved: Example):
    """What each pixel of the moved images shows of the photograph, and whether it lies on it."""
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    places = np.einsum(
        "bij,hwj->bhwi",
        np.asarray(moved.crop)[:, :2],  # crops are affine
        np.stack([columns, rows, np.ones_like(rows)], -1),
    )
    height, width = image.shape[:2]
    # A few pixels within the border: images fade there.
    inside = ((places > 4) & (places < np.array([width - 5, height - 5]))).all(-1)
    return scene(places), inside


@pytest.mark.parametrize("kind", MOVED)
def test_one_resampling_of_a_larger_image_is_the_official_order(kind):
    """Turn and zoom of the original image, then the crop; closer to it than moving the plain
    crop."""
    transform, reach, build = MOVED[kind]
    image = original() if isinstance(transform, PersonCrop) else original(200, 200)
    larger, *frame = enlarge(transform, **reach._asdict())
    key = jax.random.key(3)
    loaded, plain = batch_of(larger, image), batch_of(transform, image)
    composed, maps = jax.jit(build(loaded=Loaded(*frame, SIDE)))(key, loaded)
    today, today_maps = jax.jit(build())(key, plain)
    # The same maps of the plain crop, so the same labels, scale and place in the original.
    np.testing.assert_allclose(np.asarray(maps) @ np.linalg.inv(frame[1]), today_maps, atol=1e-3)
    np.testing.assert_allclose(composed.keypoints, today.keypoints, atol=2e-2)
    np.testing.assert_allclose(composed.scale, today.scale, rtol=1e-4)
    back = (
        np.einsum("bij,bkj->bki", composed.crop[:, :2, :2], composed.keypoints)
        + composed.crop[:, None, :2, 2]
    )
    np.testing.assert_allclose(back, np.broadcast_to(POINTS, back.shape), atol=1e-2)
    assert composed.image.shape == today.image.shape == (BATCH, SIDE, SIDE, 3)

    truth, on_image = exact(image, composed)
    error, error_today = (
        np.abs(np.asarray(one.image[..., 0]) - truth) for one in (composed, today)
    )
    shown_today = on_image & (np.asarray(today.image[..., 0]) > 0.25)
    assert error[on_image].mean() < 0.006  # interpolation of 8-bit pixels
    assert error[shown_today].mean() < 0.75 * error_today[shown_today].mean()
    assert not (np.asarray(composed.image[..., 0])[on_image] < 0.25).any()  # borders show the image
    if kind == "scale and rotation":
        black = (np.asarray(today.image[..., 0]) < 0.01) & on_image
        assert black.mean() > 0.05  # where the plain crop has nothing to show


@pytest.mark.parametrize(
    "transform",
    [
        PersonCrop(SIDE),
        PersonCrop(SIDE, 1.0, smallest=200.0),
        Stretch(SIDE),
        ScaledByBox(PersonCrop(SIDE)),
    ],
    ids=repr,
)
def test_without_a_draw_a_larger_image_becomes_the_plain_crop(transform):
    image, whole = original(), isinstance(transform, Stretch)
    larger, *frame = enlarge(transform, field=1.0 if whole else 1.7, detail=1.4)
    plain = batch_of(transform, image)
    assert frame[0] % 2 == 0
    found, maps = jax.jit(augmentations.random_warp(loaded=Loaded(*frame, SIDE)))(
        jax.random.key(0), batch_of(larger, image)
    )
    np.testing.assert_allclose(maps, np.broadcast_to(frame[1], maps.shape), atol=1e-6)
    for field in ("keypoints", "crop"):
        np.testing.assert_allclose(
            getattr(found, field), getattr(plain, field), atol=2e-2, rtol=1e-4
        )
    np.testing.assert_array_equal(found.visible, plain.visible)
    np.testing.assert_allclose(found.scale, plain.scale, rtol=1e-4)
    inner = np.s_[:, 2:-2, 2:-2]
    assert np.abs(np.asarray(found.image - plain.image)[inner]).mean() < 0.01


def test_the_reach_holds_all_that_the_maps_show():
    corners = jnp.array(
        [(-0.5, -0.5), (SIDE - 0.5, -0.5), (-0.5, SIDE - 0.5), (SIDE - 0.5, SIDE - 0.5)]
    )
    for draw, reach in (
        (random_maps.draw_scale_rotation(), random_maps.scale_rotation_reach()),
        (random_maps.draw_square_crop(), random_maps.square_crop_reach()),
    ):

        @jax.jit
        @jax.vmap
        def drawn(key, draw=draw):
            map_ = draw(key, (SIDE, SIDE))
            return map_, geometry.move_points(geometry.invert(map_), corners)

        maps, shown = drawn(jax.random.split(jax.random.key(0), 2000))
        seen = np.abs(np.asarray(shown) - SIDE / 2).max()
        zoom = np.sqrt(np.linalg.det(np.asarray(maps)[:, :2, :2]))
        assert 0.97 * reach.field < seen / (SIDE / 2) < reach.field * 1.02
        assert 0.97 * reach.detail < zoom.max() < 1.02 * reach.detail
    narrow = random_maps.scale_rotation_reach(0.0, 10.0)
    assert narrow.field == pytest.approx(np.cos(np.radians(20)) + np.sin(np.radians(20)))
    assert narrow.detail == 1
