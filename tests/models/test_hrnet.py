"""HRNet: the published sizes, the maps that it returns, and that rematerialisation changes no number."""

import jax
import jax.numpy as jnp
import pytest
from multiply_adds import multiply_adds
from untrained import count, drawn, shapes

from kpjax.models.high_resolution import hrnet

TINY = {"width": 4, "modules": (1, 1, 1), "blocks": 1, "stem_width": 4}


@pytest.mark.parametrize(("width", "stages", "transitions", "for_17_points", "multiply_add_count"), [
    (32, (390_848, 6_821_632, 20_407_232), (73_984, 295_424), 28_536_113, 10.193e9),
    (48, (878_112, 15_335_040, 45_894_048), (166_272, 664_320), 63_595_745, 20.922e9)])
def test_it_has_the_published_size(width, stages, transitions, for_17_points, multiply_add_count):
    """28,536,080 and 63,595,696 parameters for 16 keypoints, in 878 tensors; 28.5M and 63.6M in the paper for 17."""
    variables = shapes(hrnet(17, width=width))
    params = variables["params"]
    assert set(params) == {"backbone", "head"}
    assert count(params) == for_17_points
    for keypoints in (14, 15, 16):
        per_point = width + 1  # the head's only dependence on how many there are
        assert count(params) - per_point * (17 - keypoints) == {
            32: {14: 28_536_014, 15: 28_536_047, 16: 28_536_080},
            48: {14: 63_595_598, 15: 63_595_647, 16: 63_595_696}}[width][keypoints]
    assert len(jax.tree.leaves(params)) == 878
    assert len(jax.tree.leaves(variables)) == 878 + 2 * 292

    def of(*prefixes):
        return sum(count(tree) for name, tree in params["backbone"].items() if name.startswith(prefixes))

    assert of("conv", "bn", "layer1") == 325_056
    assert tuple(of(f"stage{n}") for n in (2, 3, 4)) == stages
    assert tuple(of(f"transition{n}") for n in (2, 3)) == transitions
    assert sum(multiply_adds(hrnet(16, width=width), 256).values()) == pytest.approx(multiply_add_count, rel=1e-4)


@pytest.mark.parametrize(("width", "taps", "expected"), [
    (32, "stage_outputs", ((64, 32), (64, 32), (64, 32), (32, 64), (32, 64), (16, 128))),
    (32, "highres", ((64, 32), (64, 32), (64, 32), (64, 256))),
    (48, "stage_outputs", ((64, 48), (64, 48), (64, 48), (32, 96), (32, 96), (16, 192))),
    (48, "highres", ((64, 48), (64, 48), (64, 48), (64, 256)))])
def test_taps_are_the_maps_of_the_stages(width, taps, expected):
    """352 channels for width 32 either way; 528 and 400 for width 48."""
    trunk = hrnet(16, width=width, taps=taps).backbone
    maps = jax.eval_shape(
        lambda key, x: trunk.init_with_output(key, x, False)[0], jax.random.key(0), jnp.zeros((2, 256, 256, 3)))
    assert tuple(map_.shape for map_ in maps) == tuple((2, side, side, channels) for side, channels in expected)
    assert sum(channels for _, channels in expected) == {
        (32, "stage_outputs"): 352, (32, "highres"): 352, (48, "stage_outputs"): 528, (48, "highres"): 400}[width, taps]


@pytest.fixture(scope="module")
def variables():
    return drawn(shapes(hrnet(3, **TINY)))
