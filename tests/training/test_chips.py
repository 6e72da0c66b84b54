"""The table of chips and the time of collectives, by closed forms."""

import math

import pytest

from kpjax import InputError
from kpjax.training.chips import CHIPS, SHAPES, Slice, all_reduce_seconds, slice_of


@pytest.mark.parametrize("name", CHIPS)
def test_every_chip_has_what_a_plan_needs(name):
    chip = CHIPS[name]
    assert min(chip.memory, chip.bandwidth, chip.peak, chip.link, chip.latency) > 0
    assert all(math.prod(shape) == count for count, shape in SHAPES[name].items())
    assert bool(chip.target) == (chip.platform == "cuda")


@pytest.mark.parametrize(
    ("name", "chips", "devices", "topology"),
    [
        ("v5e-16", 16, 16, "4x4"),
        ("v5e-256", 256, 256, "16x16"),
        ("2xv5e-16", 32, 32, "4x4"),
        ("v5p-8", 4, 4, "2x2x1"),
        ("tpu7x-8", 4, 8, "2x2x1"),
        ("h200-8", 8, 8, "1x1x8"),
        ("b200-16", 16, 16, "1x2x8"),
        ("v6e-1", 1, 1, "1x1"),
    ],
)
def test_slices_by_name(name, chips, devices, topology):
    slice_ = slice_of(name)
    assert (slice_.chips, slice_.devices, slice_.topology, slice_.name) == (
        chips,
        devices,
        topology,
        name,
    )


@pytest.mark.parametrize(
    "name", ["v5e", "v5e-7", "v5p-7", "tpu-8", "h100-3", "", "v5e-16 ", "2xh100-8", "0xv5e-4"]
)
def test_other_names_are_refused_in_one_line(name):
    with pytest.raises(InputError, match=r"^chips: .*\Z"):
        slice_of(name)


def test_an_all_reduce_by_hand():
    chip, size = CHIPS["v5e"], 1e6
    # Both axes are rings of two directions; half of each is the farthest way, there and back.
    assert all_reduce_seconds(Slice(chip, (16, 16)), size) == pytest.approx(
        2 * 255 / 256 * size / (4 * chip.link) + 2 * 16 * 1e-6
    )
    assert all_reduce_seconds(Slice(chip, (2, 4)), 0.0, 10) == pytest.approx(
        10 * 2 * (1 + 3) * 1e-6
    )
    assert all_reduce_seconds(Slice(chip, (1, 1)), size, 5) == 0.0
    box = slice_of("h100-8")
    assert all_reduce_seconds(box, size) == pytest.approx(2 * 7 / 8 * size / box.chip.link + 1e-5)
    assert all_reduce_seconds(slice_of("h100-64"), size) > all_reduce_seconds(box, size)
    # Over two slices each chip sends a sixteenth of half the bytes there and back, too.
    (one, two), v5e = map(slice_of, ("v5e-16", "2xv5e-16")), CHIPS["v5e"]
    assert all_reduce_seconds(two, size, 3) - all_reduce_seconds(one, size, 3) == pytest.approx(
        size / 16 / v5e.network + 3 * 1e-4
    )
    assert all_reduce_seconds(slice_of("2xv5e-1"), size) == pytest.approx(size / v5e.network + 1e-4)
