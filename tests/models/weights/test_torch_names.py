"""Variables go to PyTorch's names and back, and the same weights give the same heatmaps in both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import drawn, shapes, zeros

from kpjax.errors import InputError
from kpjax.models.resnet import ResNet, pose_resnet
from kpjax.models.unet import small_unet
from kpjax.models.weights.torch_names import from_torch, to_torch, torch_names


@pytest.fixture(scope="module")
def variables():
    return drawn(shapes(pose_resnet(18, 3, 2, upsampling_width=4)))


@pytest.fixture(scope="module")
def state_dict(variables):
    return to_torch(variables)


def assert_equal_trees(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_there_and_back_is_the_identity(variables, state_dict):
    empty = jax.tree.map(jnp.zeros_like, variables)
    back, report = from_torch(state_dict, empty)
    assert_equal_trees(back, variables)
    assert len(report.matched) == len(jax.tree.leaves(variables))
    assert report.missing == ()
    assert all(name.endswith("num_batches_tracked") for name in report.skipped)
    assert all(tensor.flags.c_contiguous for tensor in state_dict.values())
    assert {tensor.dtype for tensor in state_dict.values()} == {np.dtype(np.float32), np.dtype(np.int64)}


def test_names_are_the_official_ones(variables):
    names = torch_names(variables)
    assert len(set(names.values())) == len(names)
    expected = {
        "params/backbone/conv1/kernel": "backbone.conv1.weight",
        "params/backbone/layer2_0/downsample_0/kernel": "backbone.layer2.0.downsample.0.weight",
        "params/backbone/layer2_0/downsample_1/scale": "backbone.layer2.0.downsample.1.weight",
        "batch_stats/backbone/layer4_1/bn2/var": "backbone.layer4.1.bn2.running_var",
        "params/upsampling/transposed_conv3/kernel": "upsampling.6.weight",
        "batch_stats/upsampling/bn2/mean": "upsampling.4.running_mean",
        "params/head/conv1/bias": "head.0.bias",
        "params/head/bn1/scale": "head.1.weight",
        "params/head/output/kernel": "head.3.weight"}
    assert {path: names[path] for path in expected} == expected
    single = torch_names(shapes(pose_resnet(18, 3, 1)))
    assert single["params/head/output/bias"] == "head.bias"
    adversary = {collection: tree | {"head_adv": tree["head"]} for collection, tree in variables.items()}
    assert torch_names(adversary)["params/head_adv/output/kernel"] == "head_adv.3.weight"
    with pytest.raises(ValueError, match="only the layers of PoseResNet have official ones"):
        torch_names(shapes(small_unet(3)))


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_names_and_shapes_are_complete(depth):
    """Against the twin's own state dict, on PyTorch's device without memory."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    from experiments.measure.benchmark.pytorch_networks import PoseResNet
    with torch.device("meta"):
        theirs = {name: tuple(t.shape) for name, t in PoseResNet(depth, 3, 2).state_dict().items()}
    ours = zeros(pose_resnet(depth, 3, head_layers=2))
    names = torch_names(ours)
    counters = {name for name in theirs if name.endswith("num_batches_tracked")}
    assert set(names.values()) == set(theirs) - counters
    trunk = {collection: tree["backbone"] for collection, tree in ours.items()}
    assert {f"backbone.{name}" for name in torch_names(trunk).values()} == {
        name for name in names.values() if name.startswith("backbone.")}
    if depth == 18:
        assert {name: tensor.shape for name, tensor in to_torch(ours).items()} == theirs


def test_older_and_parallel_forms_of_a_file_are_read(variables, state_dict):
    parallel = {f"module.{name}": tensor for name, tensor in state_dict.items()}
    assert_equal_trees(from_torch(parallel, variables).variables, variables)
    single = drawn(shapes(pose_resnet(18, 3, 1, upsampling_width=4)))
    tensors = to_torch(single)
    tensors["head.0.weight"], tensors["head.0.bias"] = tensors.pop("head.weight"), tensors.pop("head.bias")
    assert_equal_trees(from_torch(tensors, jax.tree.map(jnp.zeros_like, single)).variables, single)


def test_parts_that_are_not_given_keep_their_values(variables, state_dict):
    trunk_only = {name: tensor for name, tensor in state_dict.items() if name.startswith("backbone.")}
    other = drawn(variables, seed=1)
    read, report = from_torch(trunk_only | {"backbone.fc.weight": np.zeros((10, 512))}, other)
    assert_equal_trees(read["params"]["backbone"], variables["params"]["backbone"])
    assert_equal_trees(read["params"]["head"], other["params"]["head"])
    assert "backbone.fc.weight" in report.skipped
    assert "params/upsampling/transposed_conv1/kernel" in report.missing
    assert not any("backbone" in path for path in report.missing)


@pytest.mark.parametrize(("change", "message"), [
    (lambda t: t.pop("backbone.layer3.1.conv2.weight"),
     r"w\.pth: tensor backbone\.layer3\.1\.conv2\.weight of shape \(256, 256, 3, 3\) is absent"),
    (lambda t: t.update({"backbone.layer1.2.conv1.weight": np.zeros((64, 64, 3, 3))}),
     r"no place for tensor backbone\.layer1\.2\.conv1\.weight"),
    (lambda t: t.update({"head.3.weight": np.zeros((7, 4, 1, 1))}),
     r"tensor head\.3\.weight has shape \(7, 4, 1, 1\), the network expects \(3, 4, 1, 1\)"),
], ids=["absent", "too many", "shape"])
def test_weights_that_do_not_fit_are_refused_by_name(variables, state_dict, change, message):
    tensors = dict(state_dict)
    change(tensors)
    with pytest.raises(InputError, match=message) as caught:
        from_torch(tensors, variables, source="w.pth")
    assert "\n" not in str(caught.value)


def test_the_first_tensor_of_another_architecture_is_named():
    tensors = to_torch(drawn(shapes(ResNet(18))))
    with pytest.raises(InputError, match=r"layer1\.0\.bn3\.bias of shape \(256,\) is absent"):
        from_torch(tensors, shapes(ResNet(50)))


@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
def test_pytorch_gives_the_same_heatmaps(twins, train):
    from pytorch_twins import check_heatmaps
    check_heatmaps(twins, train)


@pytest.fixture(scope="module")
def twins():
    """PoseResNet-18 here and in PyTorch with the same weights, and images of 64 pixels."""
    pytest.importorskip("torch", reason="compares with PyTorch")
    from pytorch_twins import twins_of

    from experiments.measure.benchmark.pytorch_networks import PoseResNet
    network = pose_resnet(18, 3, head_layers=2)
    return twins_of(network, lambda: PoseResNet(18, 3, head_layers=2), zeros(network))
