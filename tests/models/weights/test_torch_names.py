"""Variables go to PyTorch's official names and back; what does not fit is refused by name; twins
give the same maps.
"""

import functools

import chex
import jax
import numpy as np
import pytest
from untrained import drawn, shapes, small_rsn

from kpjax.errors import InputError
from kpjax.models.high_resolution import hrnet
from kpjax.models.resnet import pose_resnet
from kpjax.models.unet import small_unet
from kpjax.models.weights.torch_names import from_torch, to_torch, torch_names

SMALL = {
    "pose_resnet": pose_resnet(18, 3, 2),
    "rsn": small_rsn(3, 2),
    "hrnet": hrnet(3, width=4, modules=(1, 1, 2), blocks=1, stem_width=4),
}
# The names of some leaves.
OFFICIAL = {
    "pose_resnet": {
        "params/backbone/conv1/kernel": "backbone.conv1.weight",
        "params/backbone/layer2_0/downsample_0/kernel": "backbone.layer2.0.downsample.0.weight",
        "params/backbone/layer2_0/downsample_1/scale": "backbone.layer2.0.downsample.1.weight",
        "batch_stats/backbone/layer4_1/bn2/var": "backbone.layer4.1.bn2.running_var",
        "params/upsampling/transposed_conv3/kernel": "upsampling.6.weight",
        "batch_stats/upsampling/bn2/mean": "upsampling.4.running_mean",
        "params/head/conv1/bias": "head.0.bias",
        "params/head/bn1/scale": "head.1.weight",
        "params/head/output/kernel": "head.3.weight",
    },
    "hrnet": {
        "params/backbone/conv2/kernel": "conv2.weight",
        "params/backbone/layer1_0/downsample_1/scale": "layer1.0.downsample.1.weight",
        "params/backbone/transition1_0_0/kernel": "transition1.0.0.weight",
        "params/backbone/transition1_1_0_1/bias": "transition1.1.0.1.bias",
        "params/backbone/transition3_3_0_0/kernel": "transition3.3.0.0.weight",
        "batch_stats/backbone/stage2_0/branches_1_0/bn2/var": "stage2.0.branches.1.0.bn2.running_var",
        "params/backbone/stage3_0/fuse_layers_0_2_0/kernel": "stage3.0.fuse_layers.0.2.0.weight",
        "params/backbone/stage4_0/fuse_layers_3_0_2_0/kernel": "stage4.0.fuse_layers.3.0.2.0.weight",
        "params/head/output/kernel": "final_layer.weight",
        "params/head/output/bias": "final_layer.bias",
    },
    "rsn": {
        "params/backbone/top/conv/conv/kernel": "top.conv.conv.weight",
        "params/backbone/stage0/downsample/layer1_0/conv_bn_relu2_4_3/conv/kernel": "stage0.downsample.layer1.0.conv_bn_relu2_4_3.conv.weight",
        "batch_stats/backbone/stage1/downsample/layer4_0/downsample/bn/var": "stage1.downsample.layer4.0.downsample.bn.running_var",
        "params/backbone/stage1/upsample/up2/up_conv/bn/scale": "stage1.upsample.up2.up_conv.bn.weight",
        "params/backbone/stage0/upsample/up1/skip2/conv/bias": "stage0.upsample.up1.skip2.conv.bias",
        "params/backbone/stage0/upsample/up4/cross_conv/conv/kernel": "stage0.upsample.up4.cross_conv.conv.weight",
        "params/head/stage0_up3/res_conv1/bn/bias": "stage0.upsample.up3.res_conv1.bn.bias",
        "params/head/stage1_up4/res_conv2/conv/kernel": "stage1.upsample.up4.res_conv2.conv.weight",
    },
}


@functools.cache
def variables_of(name):
    """Of a small network for three points, every leaf drawn."""
    return drawn(shapes(SMALL[name]))


@pytest.mark.parametrize("name", SMALL)
def test_names_are_the_official_ones_and_there_and_back_is_the_identity(name):
    variables = variables_of(name)
    names = torch_names(variables)
    assert {path: names[path] for path in OFFICIAL[name]} == OFFICIAL[name]
    tensors = to_torch(variables)
    back, report = from_torch(tensors, jax.tree.map(np.zeros_like, variables))
    chex.assert_trees_all_equal(back, variables, strict=True)
    assert len(report.matched) == len(jax.tree.leaves(variables))
    assert report.missing == ()
    assert all(skipped.endswith("num_batches_tracked") for skipped in report.skipped)
    assert all(tensor.flags.c_contiguous for tensor in tensors.values())
    assert {tensor.dtype for tensor in tensors.values()} == {
        np.dtype(np.float32),
        np.dtype(np.int64),
    }
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    chex.assert_trees_all_equal(from_torch(parallel, variables).variables, variables, strict=True)


def test_heads_of_other_depths_and_adversaries_have_names():
    """A head of two layers has no official name in HRNet, so PoseResNet's."""
    variables, other = variables_of("pose_resnet"), variables_of("hrnet")
    single, deeper = (
        {part: tree | {"head": theirs[part].get("head", {})} for part, tree in ours.items()}
        for ours, theirs in ((variables, other), (other, variables))
    )
    assert torch_names(single)["params/head/output/bias"] == "head.bias"
    assert torch_names(deeper)["params/head/output/kernel"] == "head.3.weight"
    adversary = {
        collection: tree | {"head_adv": tree["head"]} for collection, tree in variables.items()
    }
    assert torch_names(adversary)["params/head_adv/output/kernel"] == "head_adv.3.weight"
    with pytest.raises(ValueError, match="only the layers of PoseResNet have official ones"):
        torch_names(shapes(small_unet(3)))
    tensors = to_torch(single)  # an older form of a file
    tensors["head.0.weight"], tensors["head.0.bias"] = (
        tensors.pop("head.weight"),
        tensors.pop("head.bias"),
    )
    chex.assert_trees_all_equal(
        from_torch(tensors, jax.tree.map(np.zeros_like, single)).variables, single, strict=True
    )


def test_parts_that_are_not_given_keep_their_values():
    variables = variables_of("pose_resnet")
    trunk_only = {
        name: tensor for name, tensor in to_torch(variables).items() if name.startswith("backbone.")
    }
    other = drawn(variables, seed=1)
    read, report = from_torch(trunk_only | {"backbone.fc.weight": np.zeros((10, 512))}, other)
    chex.assert_trees_all_equal(
        read["params"]["backbone"], variables["params"]["backbone"], strict=True
    )
    chex.assert_trees_all_equal(read["params"]["head"], other["params"]["head"], strict=True)
    assert "backbone.fc.weight" in report.skipped
    assert "params/upsampling/transposed_conv1/kernel" in report.missing
    assert not any("backbone" in path for path in report.missing)


@pytest.mark.parametrize(
    ("name", "changed", "shape", "message"),
    [
        (
            "pose_resnet",
            "backbone.layer3.1.conv2.weight",
            None,
            r"of shape \(256, 256, 3, 3\) is absent",
        ),
        ("pose_resnet", "backbone.layer1.2.conv1.weight", (64, 64, 3, 3), "no place for tensor"),
        (
            "pose_resnet",
            "head.3.weight",
            (7, 256, 1, 1),
            r"has shape \(7, 256, 1, 1\), the network expects \(3, 256, 1, 1\)",
        ),
        ("hrnet", "final_layer.bias", (7,), r"has shape \(7,\), the network expects \(3,\)"),
        (
            "hrnet",
            "transition1.0.0.weight",
            (6, 16, 3, 3),
            "belongs to an HRNet of width 6, the network has width 4",
        ),
        (
            "rsn",
            "stage0.upsample.up1.res_conv2.bn.bias",
            (7,),
            r"has shape \(7,\), the network expects \(3,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(name, changed, shape, message):
    tensors = dict(to_torch(variables_of(name)))
    tensors.pop(changed, None)
    if shape:
        tensors[changed] = np.zeros(shape, np.float32)
    with pytest.raises(InputError, match=message) as caught:
        from_torch(tensors, variables_of(name), source="w.pth")
    assert str(caught.value).startswith("w.pth: ")
    assert changed in str(caught.value)
    assert "\n" not in str(caught.value)
