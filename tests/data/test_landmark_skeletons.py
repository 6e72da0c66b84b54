"""Skeletons of faces, cats and signers: a mirror swaps left and right in names and lines."""
import pytest

from data.bbc_pose import SIGNER
from data.cats import CAT
from data.faces import FIVE_POINTS
from data.figure_faces import TEN_OF_FACE


@pytest.mark.parametrize("skeleton", [FIVE_POINTS, CAT, SIGNER, TEN_OF_FACE])
def test_a_mirror_swaps_sides_and_keeps_the_lines(skeleton):
    swapped = [name.replace("left", "@").replace("right", "left").replace("@", "right") for name in skeleton.names]
    assert [skeleton.names[k] for k in skeleton.flip] == swapped
    lines = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset(skeleton.flip[k] for k in line) for line in lines} == lines
