import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kpjax import geometry
from kpjax.augment import Loaded, augmentations as augment, random_maps
from kpjax.augment.occlusion import hide_boxes
from kpjax.errors import InputError
from kpjax.images.transforms import Stretch, enlarge
from kpjax.input.source import arrays
from kpjax.structures import Example, Skeleton

BATCH, SIDE, POINTS = 16, 32, 3
SKELETON = Skeleton(("left", "right", "nose"), flip=(1, 0, 2))
MOVING = {
    "regda": augment.regda_augmentation(60.0),
    "affine": augment.random_affine(degrees=40.0, scale=(0.7, 1.4), shift=0.2, shear_degrees=10.0),
    "homography": augment.random_warp(random_maps.draw_homography()),
    "flip": augment.random_flip(SKELETON),
    "half": augment.on_half(augment.random_warp(random_maps.draw_homography())),
    "scale and rotation": augment.random_scale_rotation(),
    "flip, affine and homography": augment.compose_augmentations(
        augment.random_flip(SKELETON),
        augment.random_affine(degrees=90.0, scale=(0.6, 1.6)),
        augment.random_warp(random_maps.draw_homography(0.05)),
    ),
}
STAYING = {
    "none": augment.no_augmentation(),
    "jitter": augment.colour_jitter(0.25),
    "appearance": augment.compose_augmentations(
        augment.random_colour_matrix(0.2),
        augment.random_noise(0.1),
        augment.random_blur((0.0, 0.8)),
    ),
}
jitted = {name: jax.jit(function) for name, function in (MOVING | STAYING).items()}


@pytest.fixture(scope="module")
def example():
    """A bump at every keypoint, one in each colour channel; each example has a crop and a scale of
    its own.
    """
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(5, 26, (BATCH, POINTS, 2)).astype(np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    squared = (columns[..., None] - keypoints[:, None, None, :, 0]) ** 2 + (
        rows[..., None] - keypoints[:, None, None, :, 1]
    ) ** 2
    crop = np.tile(np.eye(3, dtype=np.float32), (BATCH, 1, 1))
    crop[:, :2, 2] = rng.uniform(-9, 9, (BATCH, 2))
    return jax.tree.map(
        jnp.asarray,
        Example(
            np.exp(-squared / (2 * 1.2**2)).astype(np.float32),
            keypoints,
            np.ones((BATCH, POINTS), np.float32),
            np.linspace(10, 20, BATCH, dtype=np.float32),
            crop,
            np.arange(BATCH, dtype=np.int32),
        ),
    )


@pytest.fixture(scope="module")
def key():
    return jax.random.key(3)


def unlabelled(images):
    """Images with a keypoint of no label each."""
    points, pixels = np.zeros((len(images), 1, 2)), np.zeros((len(images), 1, 1, 3), np.uint8)
    return arrays(pixels, points, points[..., 0], Skeleton(("point",)), "blank").examples._replace(
        image=images
    )


def black(height):
    return unlabelled(np.zeros((2, height, 32, 3), np.float32))


def homogeneous(maps, points):
    moved = np.einsum(
        "bij,bkj->bki",
        np.asarray(maps, np.float64),
        np.concatenate([points, np.ones_like(points[..., :1])], -1),
    )
    return moved[..., :2] / moved[..., 2:]


@pytest.mark.parametrize("kind", MOVING)
def test_image_points_crop_and_map_agree(example, key, kind):
    moved, maps = jitted[kind](key, example)
    order = np.array([SKELETON.flip] * BATCH)
    zooms = np.linalg.det(np.asarray(maps, np.float64)[:, :2, :2])
    mirrored = (zooms < 0) & kind.startswith("flip")
    old = np.where(
        mirrored[:, None, None],
        np.take_along_axis(np.asarray(example.keypoints), order[..., None], 1),
        example.keypoints,
    )
    np.testing.assert_allclose(moved.keypoints, homogeneous(maps, old), atol=2e-4)
    # the crop always leads back to the same place in the original image
    np.testing.assert_allclose(
        homogeneous(moved.crop, moved.keypoints), homogeneous(example.crop, old), atol=2e-3
    )
    if np.allclose(maps[:, 2], [0, 0, 1]):
        np.testing.assert_allclose(moved.scale, example.scale * np.sqrt(np.abs(zooms)), rtol=1e-5)
    for field, before in zip(moved, example, strict=True):
        assert (field.shape, field.dtype) == (before.shape, before.dtype)
    # the bump of a visible point lies where the point says
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images, checked = np.asarray(moved.image, np.float64), 0
    for b in range(BATCH):
        for k in range(POINTS):
            x, y = np.asarray(moved.keypoints[b, k])
            if not (4 < x < SIDE - 5 and 4 < y < SIDE - 5) or kind == "regda":
                continue
            channel = SKELETON.flip[k] if mirrored[b] else k
            weights = images[b, ..., channel]
            found = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
            np.testing.assert_allclose(found, [x, y], atol=0.2)
            checked += 1
    assert checked > BATCH or kind == "regda"


def test_points_that_leave_stay_labelled(example, key):
    moved, _ = jitted["regda"](key, example)
    np.testing.assert_array_equal(moved.visible, example.visible)
    assert 0 < geometry.in_frame(moved.keypoints, (SIDE, SIDE)).mean() < 1
    hidden, _ = jitted["regda"](key, example._replace(visible=jnp.zeros_like(example.visible)))
    assert (hidden.visible == 0).all()


@pytest.mark.parametrize("kind", STAYING)
def test_appearance_moves_nothing_and_stays_in_range(example, key, kind):
    changed, maps = jitted[kind](key, example)
    for field in ("keypoints", "visible", "scale", "index"):
        np.testing.assert_array_equal(getattr(changed, field), getattr(example, field))
    np.testing.assert_allclose(changed.crop, example.crop)
    np.testing.assert_array_equal(maps, np.tile(np.eye(3), (BATCH, 1, 1)))
    assert changed.image.min() >= 0
    assert changed.image.max() <= 1 + 1e-6
    assert (kind == "none") == bool((changed.image == example.image).all())


@pytest.mark.parametrize(
    "kind",
    [
        "half",
        pytest.param("regda", marks=pytest.mark.slow),
        pytest.param("appearance", marks=pytest.mark.slow),
    ],
)
def test_sharded_over_eight_devices_is_the_same(example, key, kind):
    shards = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
    compiled = jitted[kind].lower(key, jax.device_put(example, shards)).compile()
    sharded, whole = compiled(key, jax.device_put(example, shards)), jitted[kind](key, example)
    chex.assert_trees_all_close(sharded, whole, atol=1e-4, rtol=1e-5)
    assert sharded[0].image.sharding.is_equivalent_to(shards, 4)
    text = compiled.as_text()
    assert not [
        name for name in ("all-gather(", "all-to-all(", "collective-permute(") if name in text
    ]


def test_half_of_a_batch_is_changed_and_half_is_not(example, key):
    half, half_maps = jitted["half"](key, example)
    whole, whole_maps = jitted["homography"](key, example)
    odd = np.arange(BATCH) % 2 == 1
    still = np.tile(np.eye(3, dtype=np.float32), (BATCH, 1, 1))
    for mixed, changed, before in zip(
        (*half, half_maps), (*whole, whole_maps), (*example, still), strict=True
    ):
        np.testing.assert_array_equal(mixed[~odd], before[~odd])
        np.testing.assert_allclose(mixed[odd], changed[odd], atol=1e-5)
    moved = np.abs(np.asarray(half_maps) - np.eye(3)).max((1, 2)) > 1e-3
    np.testing.assert_array_equal(moved, odd)


def test_an_image_gets_the_same_draw_in_a_smaller_batch(example, key):
    few, _ = jitted["homography"](key, jax.tree.map(lambda x: x[:4], example))
    many, _ = jitted["homography"](key, example)
    np.testing.assert_allclose(few.keypoints, many.keypoints[:4], atol=1e-5)
    other, _ = jitted["homography"](jax.random.key(4), example)
    assert (np.abs(other.keypoints - many.keypoints).max((1, 2)) > 0.1).all()


def draws(draw, count=4000, size=(64, 64)):
    return np.asarray(
        jax.jit(jax.vmap(lambda key: draw(key, size)))(jax.random.split(jax.random.key(0), count))
    )


def test_square_crop_keeps_the_ten_try_rule():
    """Against the rule as it is written: draw up to ten times, then keep the whole image."""
    rng = np.random.default_rng(0)

    def side():
        for _ in range(10):
            tried = round(np.sqrt(rng.uniform(0.9, 1.9) * 64 * 64))
            if tried <= 64:
                return tried
        return 64

    expected = np.array([side() for _ in range(4000)])
    maps = draws(random_maps.draw_square_crop((0.9, 1.9)))
    sides = np.round(64 / maps[:, 0, 0]).astype(int)
    for value in (61, 62, 63, 64):
        assert abs((sides == value).mean() - (expected == value).mean()) < 0.04
    corner = -maps[:, :2, 2] / maps[:, 0, 0, None]
    np.testing.assert_allclose(corner, np.round(corner), atol=1e-3)
    assert corner.min() > -1e-3
    assert (corner.max(1) <= 64 - sides + 1e-3).all()
    for sixty_two in (sides == 62, sides == 63):  # whole-pixel places are equally likely
        counts = np.bincount(np.round(corner[sixty_two, 0]).astype(int)) / sixty_two.sum()
        np.testing.assert_allclose(counts, 1 / len(counts), atol=0.06)


def test_draws_have_the_stated_ranges():
    turned = draws(random_maps.draw_rotation(60.0))
    angles = np.degrees(np.arctan2(-turned[:, 1, 0], turned[:, 0, 0]))
    assert -60 <= angles.min() < -57
    assert 57 < angles.max() <= 60
    np.testing.assert_allclose(homogeneous(turned, np.full((4000, 1, 2), 32.0)), 32, atol=1e-3)
    corners = np.tile([[[0.0, 0], [0, 64], [64, 64], [64, 0]]], (4000, 1, 1))
    moved = homogeneous(draws(random_maps.draw_homography(0.15)), corners) - corners
    inwards = moved * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / 64
    assert inwards.min() >= -0.075 - 1e-4
    assert inwards.max() <= 0.15 + 1e-4
    assert (inwards.min(0) < -0.07).all()
    assert (inwards.max(0) > 0.145).all()
    assert np.abs(np.corrcoef(moved.reshape(4000, 8).T) - np.eye(8)).max() < 0.08


def test_scale_and_rotation_are_the_official_ones():
    """Box scale clip(1 + 0.25 n, 0.75, 1.25), and in 0.6 of the draws a turn of clip(30 n, -60, 60)
    degrees.
    """
    maps = draws(random_maps.draw_scale_rotation())
    boxes = 1 / np.sqrt(np.linalg.det(maps[:, :2, :2]))
    normal = np.random.default_rng(0).normal(size=100_000)
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert (
            abs(
                np.quantile(boxes, share)
                - np.quantile(np.clip(1 + 0.25 * normal, 0.75, 1.25), share)
            )
            < 0.02
        )
    assert 0.75 - 1e-4 <= boxes.min() < 0.751
    assert 1.249 < boxes.max() <= 1.25 + 1e-4
    angles = np.degrees(np.arctan2(-maps[:, 1, 0], maps[:, 0, 0]))
    turned = np.abs(angles) > 1e-3
    assert abs(turned.mean() - 0.6) < 0.03
    assert abs(angles[turned].std() - np.clip(30 * normal, -60, 60).std()) < 1.5
    assert 58 < np.abs(angles).max() <= 60 + 1e-3
    np.testing.assert_allclose(homogeneous(maps, np.full((4000, 1, 2), 32.0)), 32, atol=1e-3)
    still = draws(random_maps.draw_scale_rotation(0.0, 30.0, rotated=0.0), count=4)
    np.testing.assert_allclose(still, np.tile(np.eye(3), (4, 1, 1)), atol=1e-6)


def test_jitter_follows_its_three_steps(key):
    """Each image of the result is one of the six orders of brightness, contrast and saturation."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0.3, 0.6, (1, 4, 4, 3)).astype(np.float32)  # far from being clipped
    batch = unlabelled(np.tile(image, (64, 1, 1, 1)))
    out = np.asarray(jax.jit(augment.colour_jitter(0.2))(key, batch)[0].image, np.float64)
    luma = np.array([0.299, 0.587, 0.114])
    # Without clipping brightness b scales the mean grey by b, whatever the order, and the other two
    # keep it.
    brightness = (out @ luma).mean((1, 2)) / (image[0] @ luma).mean()
    grey = out @ luma - (out @ luma).mean((1, 2), keepdims=True)
    base = image[0] @ luma - (image[0] @ luma).mean()
    contrast = (grey * base).sum((1, 2)) / (base**2).sum() / brightness  # saturation keeps grey
    colour = out - (out @ luma)[..., None]
    chroma = image[0] - (image[0] @ luma)[..., None]
    saturation = (colour * chroma).sum((1, 2, 3)) / (chroma**2).sum() / brightness / contrast
    for factor in (brightness, contrast, saturation):
        assert 0.8 <= factor.min() < 0.84
        assert 1.16 < factor.max() <= 1.2 + 1e-6
    brightness, contrast, saturation = (
        f[:, None, None, None] for f in (brightness, contrast, saturation)
    )
    rebuilt = brightness * (
        (image[0] @ luma).mean() + contrast * (base[..., None] + saturation * chroma)
    )
    np.testing.assert_allclose(out, rebuilt, atol=1e-5)


def test_blur_is_a_gaussian(key):
    image = np.zeros((4, 15, 15, 3), np.float32)
    image[:, 7, 7] = 1
    out = np.asarray(jax.jit(augment.random_blur((1.0, 1.0)))(key, unlabelled(image))[0].image)
    line = np.exp(-(np.arange(-7, 8) ** 2) / 2) / np.exp(-(np.arange(-7, 8) ** 2) / 2).sum()
    np.testing.assert_allclose(
        out, np.tile(np.outer(line, line)[None, ..., None], (4, 1, 1, 3)), atol=1e-5
    )
    same = jax.jit(augment.random_blur((0.0, 0.0)))(key, unlabelled(np.full_like(image, 0.3)))
    np.testing.assert_allclose(same[0].image, 0.3, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: augment.random_flip(Skeleton(("a", "b"))), "no flip permutation"),
        (lambda: enlarge(Stretch(64), field=1.5), "cannot be enlarged"),
        (
            lambda: augment.random_warp(loaded=Loaded(96, np.eye(3), 64))(
                jax.random.key(0), black(32)
            ),
            "loaded at 96 px",
        ),
    ],
)
def test_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: augment.colour_jitter(1.5),
        lambda: augment.random_blur((-1.0, 0.5)),
        lambda: random_maps.draw_rotation(float("nan")),
        lambda: random_maps.draw_square_crop((1.3, 0.6)),
        lambda: random_maps.draw_affine(scale=(0.0, 1.0)),
        lambda: random_maps.draw_homography(0.5),
        lambda: hide_boxes(0),
        lambda: hide_boxes(half_sides=(3.0, 2.0)),
        lambda: augment.random_warp(random_maps.draw_square_crop())(jax.random.key(0), black(16)),
    ],
)
def test_arguments_that_mean_nothing_are_asserted(call):
    with pytest.raises(AssertionError):
        call()


@pytest.mark.parametrize("near", [0.0, 1.0])
def test_a_window_is_a_part_of_its_image(example, key, near):
    """Its pixels are those of the image, its points and crop lead to the same places; one keypoint
    of three is visible, and with the probability 1 it lies in the window.
    """
    side = 12
    seen = example._replace(
        visible=jnp.zeros((BATCH, POINTS)).at[1:, 1].set(1.0),  # of the first example none is
        keypoints=example.keypoints.at[0].set(jnp.nan),
    )
    window, maps = jax.jit(augment.random_window(side, near))(key, seen)
    assert window.image.shape == (BATCH, side, side, 3)
    corners = -np.asarray(maps)[:, :2, 2]
    np.testing.assert_array_equal(corners % 1, 0)
    assert corners.min() >= 0
    assert corners.max() <= SIDE - side
    assert len(np.unique(corners, axis=0)) > BATCH / 2
    for image, whole, (x, y) in zip(window.image, seen.image, corners.astype(int), strict=True):
        np.testing.assert_array_equal(image, whole[y : y + side, x : x + side])
    np.testing.assert_allclose(
        window.keypoints[1:], seen.keypoints[1:] - corners[1:, None], atol=1e-5
    )
    np.testing.assert_allclose(
        homogeneous(window.crop[1:], window.keypoints[1:]),
        homogeneous(seen.crop[1:], seen.keypoints[1:]),
        atol=1e-3,
    )
    inside = ((window.keypoints[1:, 1] >= -0.5) & (window.keypoints[1:, 1] < side)).all(-1)
    assert inside.all() == (near == 1)
