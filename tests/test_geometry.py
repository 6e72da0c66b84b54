import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import geometry

SIZE = 48
POINTS = np.array([[14, 17], [31, 15], [17.5, 30.25], [30.75, 29]], np.float32)
CORNERS = np.array([[0, 0], [0, 47], [47, 47], [47, 0]], np.float32)


def bumps(points, size, sigma):
    """One Gaussian bump in each channel: (1, size, size, K)."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    squared = (columns[..., None] - points[:, 0]) ** 2 + (rows[..., None] - points[:, 1]) ** 2
    return jnp.asarray(np.exp(-squared / (2 * sigma**2))[None])


def centroids(images):
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    weights = np.asarray(images[0]) / np.asarray(images[0]).sum((0, 1))
    return np.stack(
        [(columns[..., None] * weights).sum((0, 1)), (rows[..., None] * weights).sum((0, 1))], -1
    )


warp = jax.jit(geometry.warp, static_argnames=("size", "fill"))
move_points = jax.jit(geometry.move_points)
compose = jax.jit(geometry.compose)
invert = jax.jit(geometry.invert)
local_scale = jax.jit(geometry.local_scale)


@pytest.fixture(scope="module")
def maps():
    return jax.jit(several_maps)()


def several_maps():
    bent = CORNERS + np.array([[3, 2], [-2, -1], [-4, 3], [1, -2]], np.float32)
    return {
        "affine": geometry.affine(1.1, 0.2, -0.1, 0.9, shift=(1.5, -2.25), centre=(24, 24)),
        "similarity": geometry.similarity(angle=0.5, scale=0.9, shift=(2, 1), centre=(23.5, 23.5)),
        "homography": geometry.homography(CORNERS, bent),
    }


@pytest.mark.parametrize("kind", ["affine", "similarity", "homography"])
def test_a_bump_moves_where_its_point_moves(maps, kind):
    map_ = maps[kind][None]
    moved = np.asarray(move_points(map_, POINTS[None])[0])
    assert np.abs(moved - POINTS).max() > 0.5
    # A bump is wide, so where the map bends its centroid is a little beside the image of its
    # centre.
    np.testing.assert_allclose(centroids(warp(bumps(POINTS, SIZE, 1.5), map_)), moved, atol=0.06)


@pytest.mark.parametrize("grid", [geometry.index_grid, geometry.half_pixel_grid])
@pytest.mark.parametrize(("kind", "tolerance"), [("similarity", 0.01), ("homography", 0.08)])
def test_heatmaps_move_as_their_images_do(maps, grid, kind, tolerance):
    """The grids differ by 0.12 px under this rotation."""
    map_, grid = maps[kind], grid(2)
    heatmaps = bumps(np.asarray(move_points(grid, POINTS)), SIZE // 2, 1.3)
    expected = move_points(compose(grid, map_), POINTS)
    moved = jax.jit(geometry.warp_heatmaps)(heatmaps, map_, grid)
    np.testing.assert_allclose(centroids(moved), expected, atol=tolerance)


def test_maps_compose_from_the_right_and_invert(maps):
    first, second = maps["affine"], maps["homography"]
    np.testing.assert_allclose(
        move_points(compose(second, first), POINTS),
        move_points(second, move_points(first, POINTS)),
        atol=2e-5,
    )
    for map_ in (first, second):
        product = compose(map_, invert(map_))
        np.testing.assert_allclose(product, np.eye(3), atol=2e-5)
    np.testing.assert_array_equal(
        compose(geometry.translation(1, 2), geometry.scaling(2)), [[2, 0, 1], [0, 2, 2], [0, 0, 1]]
    )


def test_constructors_take_batches():
    angles = jnp.array([0.0, np.pi / 2])
    turned = move_points(geometry.rotation(angles, (10, 10)), jnp.array([[11.0, 10.0]])[None])
    # the x axis turns towards the y axis
    np.testing.assert_allclose(turned, [[[11, 10]], [[10, 11]]], atol=1e-5)
    assert geometry.translation(angles, 1.0).shape == (2, 3, 3)
    assert move_points(geometry.identity(), jnp.zeros((4, 5, 2))).shape == (4, 5, 2)


def test_the_two_grids_of_heatmaps():
    points = np.array([[0, 0], [1.5, 1.5], [8, 4]], np.float32)
    np.testing.assert_allclose(move_points(geometry.index_grid(4), points), points / 4)
    np.testing.assert_allclose(
        move_points(geometry.half_pixel_grid(4), points), [[-0.375, -0.375], [0, 0], [1.625, 0.625]]
    )


def test_a_map_whose_horizon_runs_through_the_origin_is_found_by_a_shift():
    """Its last entry, by which `homography` divides, is 0, but for rounding."""
    truth = np.array([[-3, -3, -3], [-1, 1, -1], [1, 1, 0]], np.float32)
    source = np.array([[1, 1], [2, 1], [2, 2], [1, 2]], np.float32)
    destination = move_points(truth, source)
    shifted = jax.jit(geometry.homography)(source - 1, destination)
    found = compose(shifted, geometry.translation(-1, -1))
    np.testing.assert_allclose(move_points(found, source), destination, atol=1e-5)


def test_homography_of_corners_around_an_origin_behind_the_horizon():
    """The sign is that of the points, not of the origin."""
    side = 256
    source = np.array([[0, 0], [0, side], [side, side], [side, 0]], np.float32)
    destination = np.array(
        [[10, 20], [-5, side - 15], [side - 30, side + 8], [side - 12, 4]], np.float32
    )
    far = jax.jit(geometry.homography)(destination + 4000, source)
    assert np.isfinite(far).all()
    np.testing.assert_allclose(move_points(far, destination + 4000), source, atol=0.05)


def test_what_lies_outside_and_other_sizes():
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    assert warp(image, geometry.translation(0.5, -1.0), fill=8.0)[0, 0, 0, 0] == 6  # (4 + 8) / 2
    enlarged = warp(image, geometry.scaling(2.0), size=(6, 5))
    assert enlarged.shape == (1, 6, 5, 1)
    assert enlarged[0, 4, 4, 0] == 10
    np.testing.assert_array_equal(warp(image.astype(jnp.bfloat16), geometry.identity()), image)


def test_what_is_no_place_stays_harmless():
    """Behind the horizon nothing is read out of bounds, and points stay finite."""
    # x = 10 is infinitely far away
    horizon = jnp.array([[1, 0, 0], [0, 1, 0], [-0.1, 0, 1]], jnp.float32)
    moved = move_points(horizon, jnp.array([[9.0, 5.0], [10.0, 5.0], [20.0, 5.0]]))
    assert np.isfinite(moved).all()
    assert (moved[1:, 0] > 1e6).all()
    image = jnp.ones((1, 8, 8, 1))
    assert np.isfinite(warp(image, horizon)).all()
    assert (warp(image, geometry.translation(100.0, 0.0)) == 0).all()


def test_gradients_of_a_warp_agree_with_finite_differences():
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:16, :16]
    image = (np.sin(columns / 4) * np.cos(rows / 5))[None, ..., None].astype(np.float32)
    window = (np.sin(np.pi * columns / 15) * np.sin(np.pi * rows / 15))[None, ..., None].astype(
        np.float32
    )
    map_ = np.asarray(
        jax.jit(
            lambda: geometry.compose(
                geometry.similarity(angle=0.2, scale=1.1, shift=(0.3, 0.6), centre=(7.5, 7.5)),
                geometry.homography(
                    CORNERS, CORNERS + np.float32(0.5) * np.eye(4, 2, dtype=np.float32)
                ),
            )
        )()
    )

    @jax.jit
    def value(image, map_):
        return (warp(image, map_[None]) * window).sum()

    gradient = jax.jit(jax.grad(value, (0, 1)))
    by_image, by_map = gradient(image, map_)
    other = rng.normal(size=image.shape).astype(np.float32)
    # linear in the image
    np.testing.assert_allclose((by_image * other).sum(), value(other, map_), rtol=1e-4)
    for row, column, step in [(0, 0, 1e-2), (0, 2, 0.1), (1, 1, 1e-2), (1, 2, 0.1), (2, 0, 1e-3)]:
        change = np.zeros((3, 3), np.float32)
        change[row, column] = step
        numeric = (value(image, map_ + change) - value(image, map_ - change)) / (2 * step)
        np.testing.assert_allclose(
            by_map[row, column], numeric, rtol=0.03, err_msg=f"entry {row}, {column}"
        )
    outside = gradient(image, geometry.translation(100.0, 0.0))
    np.testing.assert_array_equal(outside[1], np.zeros((3, 3)))


def test_local_scale(maps):
    middle = jnp.array([20.0, 20.0])
    np.testing.assert_allclose(local_scale(maps["similarity"], middle), 0.9, rtol=1e-5)
    np.testing.assert_allclose(local_scale(geometry.scaling(2.0, 8.0), middle), 4, rtol=1e-5)
    bent, step = maps["homography"], 0.1
    square = move_points(
        bent, np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * np.float32(step) + 20
    )
    x, y = np.asarray(square, np.float64).T
    area = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    np.testing.assert_allclose(local_scale(bent, middle), np.sqrt(area) / (2 * step), rtol=1e-3)
