"""Skeletons of the datasets: order, groups, edges and mirror."""
import numpy as np
import pytest

from data.atrw import TIGER
from data.bodies import BODY, LEEDS_JOINTS, LEEDS_LABELLED
from data.cub200_2011 import BIRD
from data.hands import HAND
from data.mpii import PERSON
from data.youtube_faces import FACE


def test_groups_of_the_hand():
    for group, joint in (("MCP", 1), ("PIP", 2), ("DIP", 3), ("fingertip", 4)):
        assert HAND.groups[group] == tuple(range(joint, 21, 4))
    assert HAND.groups["all"] == tuple(range(21))
    assert [HAND.names[k] for k in HAND.groups["fingertip"]] == [
        f"{finger}_tip" for finger in ("thumb", "index", "middle", "ring", "little")]
    assert {edge for edge in HAND.edges if 0 in edge} == {(0, 1), (0, 5), (0, 9), (0, 13), (0, 17)}


def test_groups_of_the_body():
    for group, name in (("shoulder", "shoulder"), ("elbow", "elbow"), ("wrist", "wrist"), ("hip", "hip"),
                        ("knee", "knee"), ("ankle", "ankle")):
        assert {BODY.names[k] for k in BODY.groups[group]} == {f"left_{name}", f"right_{name}"}
    limbs = [k for group in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for k in BODY.groups[group]]
    assert sorted(BODY.groups["all"]) == sorted(limbs)
    assert [BODY.names[k] for k in np.flatnonzero(~LEEDS_LABELLED)] == ["pelvis", "thorax"]
    assert len(LEEDS_JOINTS) == 16


@pytest.mark.parametrize("skeleton", [BODY, FACE, PERSON, BIRD, TIGER])
def test_mirror_swaps_sides_and_keeps_the_lines(skeleton):
    def other(name):
        return name.replace("left", "@").replace("right", "left").replace("@", "right")
    kinds = [name.rstrip("0123456789") for name in skeleton.names]
    assert [kinds[k] for k in skeleton.flip] == [other(kind) for kind in kinds]
    lines = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset(skeleton.flip[k] for k in line) for line in lines} == lines
    reached = {0}
    for _ in skeleton.names:
        reached |= {k for line in lines if line & reached for k in line}
    assert skeleton is FACE or reached == set(range(len(skeleton.names)))
