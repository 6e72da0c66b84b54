"""Skeletons of the datasets: groups by name, connected edges, mirrors that swap left and right."""
import pytest

from data.atrw import TIGER
from data.bbc_pose import SIGNER
from data.bodies import BODY
from data.cats import CAT
from data.cub200_2011 import BIRD
from data.faces import FIVE_POINTS
from data.figure_faces import FOURTEEN_OF_FACE
from data.hands import HAND
from data.mpii import PERSON
from kpjax.lab.formats.face_points import FACE


@pytest.mark.parametrize("skeleton", [BODY, PERSON, BIRD, TIGER, FIVE_POINTS, CAT, SIGNER, FACE, FOURTEEN_OF_FACE])
def test_a_mirror_swaps_sides_and_keeps_the_edges(skeleton):
    kinds = [name.rstrip("0123456789") for name in skeleton.names]
    swapped = [kind.replace("left", "@").replace("right", "left").replace("@", "right") for kind in kinds]
    assert [kinds[k] for k in skeleton.flip] == swapped
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset(skeleton.flip[k] for k in edge) for edge in edges} == edges


@pytest.mark.parametrize("skeleton", [BODY, PERSON, BIRD, TIGER, FIVE_POINTS, CAT, SIGNER, HAND])
def test_edges_connect_all_points(skeleton):
    reached = {0}
    for _ in skeleton.names:
        reached |= {k for edge in skeleton.edges if reached & {*edge} for k in edge}
    assert reached == set(range(len(skeleton.names)))
