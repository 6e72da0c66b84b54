"""Multiply-adds of networks, and the cost of an iteration of RegDA that follows from them."""
import pytest
from multiply_adds import multiply_adds, regda_bound

from kpjax.models.resnet import pose_resnet
from kpjax.models.unet import small_unet


@pytest.mark.parametrize(("depth", "expected"), [(101, 2.28), (18, 2.65)])
def test_bound_of_pose_resnet_at_256_px(depth, expected):
    assert regda_bound(multiply_adds(pose_resnet(depth, 21, head_layers=2), 256)) == pytest.approx(expected, abs=0.005)


def test_multiply_adds_of_a_network_counted_by_hand():
    counts = multiply_adds(small_unet(5, widths=(4, 8, 8), head_layers=2, head_width=6), 16)
    assert counts["backbone"] == 8 * 8 * 9 * 3 * 4 + 4 * 4 * 9 * (4 * 8 + 8 * 8 + 8 * 8)
    assert counts["head"] == 4 * 4 * (9 * 8 * 6 + 6 * 5)
    # A transposed convolution of stride 2 uses each weight once for every pixel of its input.
    deep = multiply_adds(pose_resnet(18, 5), 32)
    assert deep["upsampling"] == 16 * (512 * 256 + 256 * 256 * 4 + 256 * 256 * 16)
