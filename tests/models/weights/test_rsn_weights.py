"""RSN's weights: official names both ways, files for other keypoints, and PyTorch's same heatmaps."""
import copy
import functools

import jax
import numpy as np
import pytest
from untrained import drawn, shapes, zeros

from kpjax.errors import InputError
from kpjax.models.residual_steps import rsn
from kpjax.models.weights.pretrained import load_backbone, write_safetensors
from kpjax.models.weights.torch_names import from_torch, to_torch, torch_names

SMALL = {"blocks": (1, 1, 1, 1), "stages": 2, "width": 8, "unit_width": 8}


@pytest.fixture(scope="module")
def variables():
    """Of a small network of two stages for three points, every leaf drawn."""
    return drawn(shapes(rsn(3, **SMALL)))


@pytest.fixture(scope="module")
def file(variables):
    """As the official training stores it."""
    return to_torch(variables)


def test_names_are_the_official_ones(variables, file):
    names = torch_names(variables)
    assert len(set(names.values())) == len(names)
    expected = {
        "params/backbone/top/conv/conv/kernel": "top.conv.conv.weight",
        "params/backbone/top/conv/conv/bias": "top.conv.conv.bias",
        "params/backbone/stage0/downsample/layer1_0/conv_bn_relu2_4_3/conv/kernel":
            "stage0.downsample.layer1.0.conv_bn_relu2_4_3.conv.weight",
        "batch_stats/backbone/stage1/downsample/layer4_0/downsample/bn/var":
            "stage1.downsample.layer4.0.downsample.bn.running_var",
        "params/backbone/stage1/upsample/up2/up_conv/bn/scale": "stage1.upsample.up2.up_conv.bn.weight",
        "params/backbone/stage0/upsample/up1/skip2/conv/bias": "stage0.upsample.up1.skip2.conv.bias",
        "params/backbone/stage0/upsample/up4/cross_conv/conv/kernel": "stage0.upsample.up4.cross_conv.conv.weight",
        "params/head/stage0_up3/res_conv1/bn/bias": "stage0.upsample.up3.res_conv1.bn.bias",
        "params/head/stage1_up4/res_conv2/conv/kernel": "stage1.upsample.up4.res_conv2.conv.weight"}
    assert {path: names[path] for path in expected} == expected
    back, report = from_torch(file, jax.tree.map(np.zeros_like, variables))
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    assert report.missing == ()


@pytest.mark.parametrize(("options", "theirs"), [
    ({"depth": 18}, {}),
    ({"depth": 50}, {"blocks": (3, 4, 6, 3), "expansion": 4, "by_level": True})])
def test_names_and_shapes_of_the_published_networks_are_complete(options, theirs):
    """Against the twin's own state dict, on PyTorch's device without memory: none without a mate."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    from pytorch_rsn import RSN
    with torch.device("meta"):
        tensors = {name: np.broadcast_to(np.float32(0), tuple(tensor.shape))
                   for name, tensor in RSN(16, **theirs).state_dict().items()}
    ours = zeros(rsn(16, **options))
    _, report = from_torch(tensors, ours)
    assert set(report.matched) == set(torch_names(ours).values())
    assert set(report.matched) | set(report.skipped) == set(tensors)
    assert all(name.endswith("num_batches_tracked") for name in report.skipped)
    assert report.missing == ()


def test_a_network_for_other_points_fills_the_trunk(variables, file, tmp_path):
    """From safetensors and from a checkpoint as the official training writes it; a file of another shape is refused."""
    path = tmp_path / "rsn.safetensors"
    write_safetensors(path, file)
    template = zeros(rsn(7, **SMALL))
    read, report = load_backbone(template, path)
    jax.tree.map(np.testing.assert_array_equal, read["params"]["backbone"], variables["params"]["backbone"])
    jax.tree.map(np.testing.assert_array_equal, read["params"]["head"], template["params"]["head"])
    assert {"stage0.upsample.up1.res_conv1.conv.weight", "stage1.upsample.up4.res_conv2.bn.running_var"} <= set(
        report.skipped)
    assert all("/head/" in name for name in report.missing)
    with pytest.raises(InputError, match=r"stage0\.upsample\.up1\.res_conv2\.bn\.bias has shape \(3,\), the network "
                                         r"expects \(7,\)"):
        from_torch(file, template)
    with pytest.raises(InputError, match=r"no place for tensor stage0\.upsample\.up1\.skip1\.bn\.bias"):
        load_backbone(zeros(rsn(3, **(SMALL | {"stages": 1}))), path)
    torch = pytest.importorskip("torch", reason="writes PyTorch's own format")
    checkpoint = tmp_path / "iter-28800.pth"
    torch.save({"model": {f"module.{name}": torch.from_numpy(tensor) for name, tensor in file.items()},
                "iteration": 28800}, checkpoint)
    again, _ = load_backbone(template, checkpoint)
    jax.tree.map(np.testing.assert_array_equal, again, read)


@pytest.fixture(scope="module")
def twins():
    """A small RSN of two stages here and in PyTorch with the same weights, and images of 64x32 pixels."""
    pytest.importorskip("torch", reason="compares with PyTorch")
    from pytorch_rsn import RSN
    from pytorch_twins import twins_of
    network = rsn(3, **SMALL)
    return twins_of(network, lambda: RSN(3, **SMALL), zeros(network), width=32)


@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
def test_pytorch_gives_the_same_heatmaps(twins, train):
    """Of all units, in the official order, and the same statistics after them.

    PyTorch computes in float64 here: with the statistics of few pixels, its float32 is off by 1e-3 itself.
    """
    network, variables, twin, images = twins
    run = jax.jit(
        functools.partial(network.apply, mutable=["batch_stats"], method="all_heatmaps"), static_argnums=2)
    ours, mutated = run(variables, images, train)
    import torch
    from pytorch_twins import check_statistics
    twin = copy.deepcopy(twin).double().train(train)
    with torch.no_grad():
        theirs = [each.numpy().transpose(0, 2, 3, 1)
                  for each in twin(torch.tensor(images.transpose(0, 3, 1, 2)).double())]
    assert len(ours) == 8
    for found, expected in zip(ours, theirs, strict=True):
        assert found.shape == (4, 16, 8, 3)
        assert np.std(expected) > 0.05
        np.testing.assert_allclose(found, expected, atol=5e-3 if train else 1e-4)
    check_statistics(twins, twin, mutated, 1e-3)
