"""The order of names; how names of files are kept in their folder is in tests/faults."""

import itertools

import pytest

from kpjax.file_names import natural_order


@pytest.mark.parametrize(
    "names",
    [
        ["frame2.png", "frame10.png", "frame010b.png"],
        ["conv1.weight", "layer1.2.bn1.bias", "layer1.2.conv1.weight", "layer1.10.bn1.bias"],
        ["head.0.weight", "head.3.weight", "head.weight", "head_adv.weight"],
        ["2", "10", "a", "a1", "a1b"],
    ],
)
def test_names_are_in_the_order_of_their_numbers(names):
    for given in itertools.permutations(names):
        assert sorted(given, key=natural_order) == names


def test_more_digits_than_python_reads_are_no_number():
    """A file of weights may call a tensor anything."""
    endless = f"layer{'9' * 5000}"
    assert sorted([endless, "layer10", "layer9"], key=natural_order) == [
        "layer9",
        "layer10",
        endless,
    ]
