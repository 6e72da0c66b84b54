"""Sizes, names, shapes and dtypes of the keypoint networks."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import count, drawn, shapes

from kpjax.errors import InputError
from kpjax.models.high_resolution import HRNet
from kpjax.models.hourglass_network import HourglassNetwork
from kpjax.models.inverted_residuals import MobileNetV2
from kpjax.models.residual_steps import RSN
from kpjax.models.resnet import PoseResNet, ResNet, pose_resnet
from kpjax.models.unet import SmallUNet, small_unet

TRUNKS = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160, 152: 58_143_808}


@pytest.mark.parametrize("depth", TRUNKS)
def test_pose_resnet_has_the_published_number_of_parameters(depth):
    """torchvision's ResNets without their classifier; RegDA's upsampling and heads."""
    params = shapes(pose_resnet(depth, 21, head_layers=2))["params"]
    assert set(params) == {"backbone", "upsampling", "head"}
    assert count(params["backbone"]) == TRUNKS[depth]
    assert count(params["upsampling"]) == (4_195_840 if depth < 50 else 10_487_296)
    assert count(params["head"]) == 595_989


@pytest.mark.parametrize(("layers", "keypoints", "parameters"), [
    (1, 1, 257), (1, 16, 4_112), (1, 21, 5_397), (2, 1, 590_849), (2, 3, 591_363), (2, 16, 594_704), (2, 21, 595_989)])
def test_heads_have_the_published_number_of_parameters(layers, keypoints, parameters):
    assert count(shapes(pose_resnet(18, keypoints, layers))["params"]["head"]) == parameters


@pytest.mark.parametrize(("depth", "keypoints", "layers", "heads", "parameters"), [
    (101, 21, 1, 1, 52_992_853), (101, 16, 1, 1, 52_991_568), (18, 1, 1, 1, 15_372_609),
    (101, 21, 2, 1, 53_583_445), (101, 16, 2, 1, 53_582_160),
    (101, 21, 2, 2, 54_179_434), (101, 16, 2, 2, 54_176_864), (18, 1, 2, 2, 16_554_050)])
def test_whole_networks_have_the_published_number_of_parameters(depth, keypoints, layers, heads, parameters):
    params = shapes(pose_resnet(depth, keypoints, layers))["params"]
    assert count(params) + (heads - 1) * count(params["head"]) == parameters


@pytest.mark.parametrize("depth", [18, 50])
def test_a_resnet_returns_maps_from_fine_to_coarse(depth):
    network = ResNet(depth)
    features = jax.eval_shape(
        lambda key, x: network.init_with_output(key, x, False)[0], jax.random.key(0), jnp.zeros((2, 64, 96, 3)))
    wider = 1 if depth < 50 else 4
    assert [f.shape for f in features] == [
        (2, 16, 24, 64 * wider), (2, 8, 12, 128 * wider), (2, 4, 6, 256 * wider), (2, 2, 3, 512 * wider)]


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_small_unet_has_the_size_of_its_stride(stride, layers):
    network = small_unet(5, heatmap_stride=stride, head_layers=layers)
    heatmaps = jax.eval_shape(
        lambda key, x: network.init_with_output(key, x, False)[0], jax.random.key(0), jnp.zeros((2, 64, 32, 3)))
    assert heatmaps.shape == (2, 64 // stride, 32 // stride, 5)
    assert ("conv1" in shapes(network)["params"]["head"]) == (layers == 2)


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="depth is one of 18, 34, 50, 101, 152, got 20"):
        pose_resnet(20, 3)
    with pytest.raises(ValueError, match="heatmap_stride is 2 or 4"):
        small_unet(3, heatmap_stride=8)
    with pytest.raises(ValueError, match="at least one for a block"):
        small_unet(3, widths=(16, 32))


@pytest.mark.parametrize("specification", [SmallUNet, PoseResNet, HRNet, RSN])
def test_every_specification_builds_a_network_by_default(specification):
    """Its heatmaps are four times smaller than images, of every size that it accepts."""
    specification().check(64, 16)
    with pytest.raises(InputError, match=r"^heatmap_size: 7 for images of 64 px; the heatmaps of \w+ are"):
        specification().check(64, 7)
    with pytest.raises(InputError, match=r"^image_size: 40; .* need.? a multiple of"):
        specification().check(40, 10)
    network = specification(dtype="bfloat16").build(3)
    heatmaps = jax.eval_shape(
        lambda key, x: network.init_with_output(key, x, False)[0], jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    assert (heatmaps.shape, heatmaps.dtype) == ((1, 16, 16, 3), jnp.float32)


@pytest.mark.parametrize("specification", [
    SmallUNet(widths=(4, 4, 8), head_width=4), HourglassNetwork(width=16, depth=1), PoseResNet(depth=18),
    MobileNetV2(width_multiplier=0.1, decoder_width=8, frozen_stride=16)])  # 52 layers to compile, or six
def test_rematerialisation_keeps_less_and_changes_no_number(specification):
    """Value, statistics and every gradient; a backward pass is handed fewer numbers."""
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    plain, again = specification.build(3), dataclasses.replace(specification, rematerialise=True).build(3)
    assert shapes(again) == shapes(plain)

    def run(network, variables):
        def loss(params):
            maps, moved = network.apply(variables | {"params": params}, images, True, mutable=["batch_stats"])
            return jnp.square(maps).mean(), moved

        value, backward, moved = jax.vjp(loss, variables["params"], has_aux=True)
        return (value, moved, *backward(jnp.float32(1))), count(backward)

    kept = []

    @jax.jit
    def both(key):
        variables = plain.init(key, images, False)
        found = [run(network, variables) for network in (plain, again)]
        kept.extend(numbers for _, numbers in found)
        return [result for result, _ in found]

    one, other = both(jax.random.key(0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, other)
    assert kept[1] < kept[0]


def test_specifications_pass_their_options_on():
    assert PoseResNet(depth=18, head_layers=2).build(3) == pose_resnet(18, 3, head_layers=2)
    small = SmallUNet(widths=(4, 8, 8), head_layers=2, head_width=5)
    expected = small_unet(3, widths=(4, 8, 8), heatmap_stride=2, head_layers=2, head_width=5)
    assert shapes(small.build(3, stride=2)) == shapes(expected)
    small.check(36, 18)


@pytest.mark.parametrize(("specification", "options", "said"), [
    (SmallUNet, {"widths": (4, 8)}, "widths: 2 given"), (SmallUNet, {"widths": (4, 0, 8)}, r"widths: \(4, 0, 8\)"),
    (SmallUNet, {"head_width": 0}, "head_width: 0; must be at least 1"), (PoseResNet, {"depth": 20}, "depth: 20; pose"),
    (PoseResNet, {"dtype": "float16"}, "dtype: 'float16' is unknown"), (HRNet, {"modules": (1, 4)}, "modules: 2 given"),
    (HRNet, {"taps": "all"}, "taps: 'all' is unknown"), (HRNet, {"stem_width": 0}, "stem_width: 0"),
    (RSN, {"depth": 101}, "depth: 101; rsn has depth 18 or 50"), (RSN, {"stem_width": 2}, "stem_width: 2; give 3"),
    (RSN, {"stages": 0}, "stages: 0; must be at least 1")])
def test_a_specification_names_the_option_that_is_wrong(specification, options, said):
    with pytest.raises(InputError, match=f"^{said}"):
        specification(**options)


@pytest.mark.parametrize("specification", [PoseResNet, HRNet, RSN])
def test_a_network_of_one_stride_refuses_another(specification):
    with pytest.raises(InputError, match="stride: 2; the heatmaps of"):
        specification().build(3, stride=2)


def test_the_parts_are_the_whole():
    """Backbone, upsampling and head one by one, as methods use them, give what one call gives."""
    network = small_unet(4, widths=(4, 8, 8, 8), head_layers=2, head_width=8)
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))

    @jax.jit
    def run(key):
        variables = network.init(key, images, False)
        deep = network.apply(variables, images, False, method="backbone_features")
        features = network.apply(variables, deep, False, method="upsample")
        # A head of one's own beside the network's: the same module applied to parameters kept elsewhere.
        head = {collection: tree["head"] for collection, tree in variables.items()}
        return ((features, network.apply(variables, images, False, method="features")),
                (network.apply(variables, features, False, method="regress"), network.apply(variables, images, False),
                 network.head.apply(head, features, False)))

    for equal in run(jax.random.key(0)):
        for one in equal[1:]:
            np.testing.assert_allclose(one, equal[0], atol=1e-6)


@pytest.mark.parametrize(("build", "runs"), [
    (lambda dtype: small_unet(3, widths=(4, 8, 8), head_layers=2, head_width=8, dtype=dtype), True),
    (lambda dtype: small_unet(3, heatmap_stride=2, dtype=dtype), False),
    (lambda dtype: pose_resnet(18, 3, 1, dtype, upsampling_width=8), True),
    (lambda dtype: pose_resnet(50, 3, 2, dtype, upsampling_width=8), False),
], ids=["unet", "unet stride 2", "pose_resnet 18", "pose_resnet 50"])
def test_every_network_computes_in_bfloat16(build, runs):
    """float32 parameters, statistics and heatmaps around bfloat16; forward and backward trace under strict promotion.

    One of each family is run too, and stays close to float32.
    """
    network, exact = build(jnp.bfloat16), build(jnp.float32)
    variables = shapes(network)
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))

    def forward(network, variables):
        return network.apply(variables, images, True, mutable=["batch_stats"])

    def gradient(variables):
        def loss(params):
            return jnp.square(forward(network, variables | {"params": params})[0]).mean()
        return jax.grad(loss)(variables["params"])

    traced = jax.eval_shape(lambda v: (forward(network, v), gradient(v)), variables)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, traced))} == {jnp.dtype(jnp.float32)}
    features = jax.eval_shape(lambda v: network.apply(v, images, False, method="features"), variables)
    assert features.dtype == jnp.bfloat16
    if runs:
        values = drawn(variables)
        rounded = jax.jit(lambda v: network.apply(v, images, False))(values)
        expected = jax.jit(lambda v: exact.apply(v, images, False))(values)
        assert 0 < np.abs(rounded - expected).max() < 0.1 * np.abs(expected).max()
