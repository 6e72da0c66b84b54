"""Sizes, names, shapes and dtypes of the keypoint networks."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import count, drawn, shapes

from kpjax.errors import InputError
from kpjax.models.feature_pyramid import FeaturePyramid, SmallTrunk
from kpjax.models.high_resolution import HRNet
from kpjax.models.hourglass_network import HourglassNetwork
from kpjax.models.inverted_residuals import MobileNetV2
from kpjax.models.movenet import MoveNet, movenet_lightning
from kpjax.models.residual_steps import RSN
from kpjax.models.resnet import PoseResNet, pose_resnet
from kpjax.models.unet import SmallUNet, small_unet
from kpjax.models.vision_transformer import ViT

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


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_small_unet_has_the_size_of_its_stride(stride, layers):
    network = small_unet(5, heatmap_stride=stride, head_layers=layers)
    heatmaps = jax.eval_shape(
        lambda key, x: network.init_with_output(key, x, False)[0], jax.random.key(0), jnp.zeros((2, 64, 32, 3)))
    assert heatmaps.shape == (2, 64 // stride, 32 // stride, 5)
    assert ("conv1" in shapes(network)["params"]["head"]) == (layers == 2)


# The contract of all heatmap networks

NETWORKS = {
    "small_unet": SmallUNet(widths=(4, 8, 8), head_layers=2, head_width=8),
    "pose_resnet": PoseResNet(depth=18),
    "hrnet": HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_width=4, head_width=4),
    "rsn": RSN(depth=18, stem_width=4, unit_width=4),
    "mobilenet_v2": MobileNetV2(width_multiplier=0.1, decoder_width=8, frozen_stride=16),
    "movenet": MoveNet(frozen_stride=16),
    "vit": ViT("tiny", layer_scale=True, registers=4),
    "hourglass": HourglassNetwork(width=16, depth=1),
}
PINNED = {  # mean and deviation
    "small_unet": (1.52235, 2.36965), "pose_resnet": (0.835564, 0.501242), "hrnet": (-2.41207, 14.7999),
    "rsn": (3.53859, 5.9689), "mobilenet_v2": (3.65789, 7.38862), "movenet": (2.29921, 17.905),
    "vit": (1.05003, 0.327681), "hourglass": (15.7657, 26.2206)}
# A few layers each; of the others programs take long to compile.
QUICK = ("small_unet",)
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]


def step(network, variables, images):
    """Returns the loss, the statistics after it and its gradient, and how many numbers the backward pass is handed."""
    def loss(params):
        maps, moved = network.apply({**variables, "params": params}, images, True, mutable=["batch_stats"])
        return jnp.square(maps - 1).mean(), moved

    value, backward, moved = jax.vjp(loss, variables["params"], has_aux=True)
    return (value, moved, *backward(jnp.float32(1))), count(backward)


@pytest.mark.parametrize("name", [
    name if name not in ("rsn", "movenet") else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS])
def test_maps_are_float32_around_a_computation_in_bfloat16(name):
    """So are parameters, statistics and gradients: forward and backward pass trace under strict promotion."""
    options = dataclasses.replace(NETWORKS[name], dtype="bfloat16")
    options.check(64, 16)
    network, images = options.build(3), jnp.zeros((2, 64, 32, 3))
    variables = shapes(network, 64)
    heatmaps = jax.eval_shape(lambda v: network.apply(v, images, False), variables)
    assert heatmaps.shape == (2, 16, 8, 3)
    traced = jax.eval_shape(lambda v: step(network, v, images)[0], variables)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, traced, heatmaps))} == {jnp.dtype(jnp.float32)}
    features = jax.eval_shape(lambda v: network.apply(v, images, False, method="features"), variables)
    assert (features.dtype, features.shape[:3]) == (jnp.bfloat16, (2, 16, 8))


@pytest.mark.parametrize("name", NAMES)
def test_heatmaps_have_their_numbers_and_bfloat16_stays_close(name):
    """Of drawn variables; the numbers are those of today's layers, so that none changes unseen."""
    exact, rounded = (dataclasses.replace(NETWORKS[name], dtype=dtype).build(3) for dtype in ("float32", "bfloat16"))
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    expected, found = jax.jit(lambda v: [network.apply(v, images, False) for network in (exact, rounded)])(
        drawn(shapes(exact)))
    np.testing.assert_allclose([np.mean(expected), np.std(expected)], PINNED[name], rtol=1e-3)
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


# With the statistics of few pixels RSN's numbers are not comparable, see test_rsn.py; MoveNet's trunk is MobileNetV2's.
@pytest.mark.parametrize("name", [name for name in NAMES if name in QUICK or name.values[0] not in ("rsn", "movenet")])
def test_rematerialisation_keeps_less_and_changes_no_number(name):
    """Value, statistics and every gradient, all finite; a backward pass is handed fewer numbers."""
    plain, again = (dataclasses.replace(NETWORKS[name], rematerialise=choice).build(3) for choice in (False, True))
    assert shapes(again) == shapes(plain)
    images, kept = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32), []

    @jax.jit
    def both(variables):
        found = [step(network, variables, images) for network in (plain, again)]
        kept.extend(numbers for _, numbers in found)
        return [result for result, _ in found]

    one, other = both(drawn(shapes(plain)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), one, other)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one))
    assert kept[1] < kept[0]


@pytest.mark.parametrize(("call", "said"), [
    (lambda: SmallUNet(widths=(4, 8)), "widths: 2 given"), (lambda: PoseResNet(depth=20), "depth: 20"),
    (lambda: PoseResNet(dtype="float16"), "dtype: 'float16'"), (lambda: HRNet(modules=(1, 4)), "modules: 2 given"),
    (lambda: HRNet(taps="all"), "taps: 'all'"), (lambda: RSN(depth=101), "depth: 101"),
    (lambda: MobileNetV2(frozen_stride=3), "frozen_stride: 3"), (lambda: ViT(vit_size="huge"), "vit_size: 'huge'"),
    (lambda: ViT(registers=2), "registers: 2"), (lambda: HourglassNetwork(width=24), "width: 24"),
    (lambda: PoseResNet().build(3, stride=2), "stride: 2"), (lambda: HRNet().check(40, 10), "image_size: 40"),
    (lambda: PoseResNet().check(64, 7), "heatmap_size: 7"), (lambda: shapes(movenet_lightning(), 48), "images: sides"),
    (lambda: jax.eval_shape(lambda key: FeaturePyramid(SmallTrunk((), (8, 8, 8)), width=8).init(
        key, jnp.zeros((1, 16, 18, 3)), False), jax.random.key(0)), "images of 16 x 18")])
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()


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
