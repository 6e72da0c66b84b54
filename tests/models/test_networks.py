"""Sizes, names, shapes and dtypes of the keypoint networks."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.models.resnet import ResNet, pose_resnet
from kpjax.models.unet import small_unet

TRUNKS = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160, 152: 58_143_808}


def shapes(network, side=64, batch=1):
    images = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: network.init(key, x, False), jax.random.key(0), images)


def drawn(tree, seed=0):
    """Values for a tree of shapes: He's normal for kernels, near one for all else. Quicker than to compile `init`."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (generator.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:3])) if leaf.ndim == 4
                      else generator.uniform(0.8, 1.2, leaf.shape)).astype(np.float32), tree)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


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
    with pytest.raises(ValueError, match="at least one block"):
        small_unet(3, widths=(16, 32))


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
