"""Skeletons of the datasets: groups by name, connected edges, mirrors that swap left and right."""
import numpy as np
import pytest

from data.atrw import TIGER
from data.bbc_pose import SIGNER
from data.bodies import BODY, LEEDS_JOINTS, LEEDS_LABELLED
from data.cats import CAT
from data.cub200_2011 import BIRD
from data.faces import FIVE_POINTS
from data.figure_faces import FOURTEEN_OF_FACE
from data.hands import HAND
from data.mpii import PERSON
from kpjax.lab.formats.face_points import FACE


def test_groups_of_the_hand():
    for group, joint in (("MCP", "mcp"), ("PIP", "pip"), ("DIP", "dip"), ("fingertip", "tip")):
        members = [k for k, name in enumerate(HAND.names) if name.endswith(f"_{joint}")]
        assert HAND.groups[group] == tuple(members)
        assert len(members) == 5


def test_groups_of_the_body():
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert {BODY.names[k] for k in BODY.groups[joint]} == {f"left_{joint}", f"right_{joint}"}
    limbs = [k for k, name in enumerate(BODY.names) if name.startswith(("left_", "right_"))]
    assert sorted(BODY.groups["all"]) == limbs
    assert {PERSON.names[k] for k in PERSON.groups["all"]} == {*PERSON.names} - {"pelvis", "thorax"}
    # Every joint of Leeds Sports labels one point.
    assert sorted(np.array(LEEDS_JOINTS)[LEEDS_LABELLED]) == list(range(14))


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
