"""The table of chips."""

import pytest

from kpjax import InputError
from kpjax.training.chips import slice_of


@pytest.mark.parametrize(
    ("name", "chips", "devices", "topology"),
    [
        ("v5e-16", 16, 16, "4x4"),
        ("v5e-256", 256, 256, "16x16"),
        ("v5p-8", 4, 4, "2x2x1"),
        ("tpu7x-8", 4, 8, "2x2x1"),
        ("h200-8", 8, 8, "1x1x8"),
        ("b200-16", 16, 16, "1x2x8"),
        ("v6e-1", 1, 1, "1x1"),
    ],
)
def test_slices_by_name(name, chips, devices, topology):
    slice_ = slice_of(name)
    assert (slice_.chips, slice_.devices, slice_.topology) == (chips, devices, topology)
    assert slice_.name == name


@pytest.mark.parametrize(
    "name", ["v5e", "v5e-7", "v5p-7", "tpu-8", "h100-3", "", "v5e-16 ", "2xv5e-16"]
)
def test_other_names_are_refused_in_one_line(name):
    with pytest.raises(InputError, match=r"^chips: .*\Z"):
        slice_of(name)
