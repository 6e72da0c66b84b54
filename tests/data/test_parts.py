"""Skeletons of sets, and their parts: whole units, gaps in time, published splits, and sets of too
few units.
"""

from types import SimpleNamespace

import pytest

from data.atrw import TIGER
from data.bbc_pose import SIGNER
from data.bodies import BODY
from data.cats import CAT
from data.cub200_2011 import BIRD
from data.faces import FIVE_POINTS
from data.figure_faces import FOURTEEN_OF_FACE
from data.human36m import recording
from data.human36m_videos import recording as recording_of_video
from data.mpii import PERSON
from data.parts import by_time, by_unit, with_tune
from kpjax.formats.faces import FACE


def test_no_unit_is_in_two_parts_and_no_item_is_lost():
    items = [f"person{number % 40}_{number}" for number in range(200)]
    parts = by_unit(items, lambda item: item.rpartition("_")[0])
    units = [{item.rpartition("_")[0] for item in part} for part in parts.values()]
    assert list(map(len, units)) == [22, 6, 12]
    assert len(set.union(*units)) == 40
    assert sum(map(len, parts.values())) == len(items)
    assert parts["train"] == [item for item in items if item in parts["train"]]  # in their order
    assert by_unit(items[::-1], lambda item: item.rpartition("_")[0])["test"] == parts["test"][::-1]


@pytest.mark.parametrize(
    ("count", "sizes"), [(116, [57, 16, 31]), (4, [2, 1, 1]), (1, [1, 0, 0]), (0, [0, 0, 0])]
)
def test_parts_of_a_recording_follow_each_other_with_gaps(count, sizes):
    train, tune, test = by_time(list(range(count))).values()
    assert [len(train), len(tune), len(test)] == sizes
    assert [*train, *tune, *test] == sorted({*train, *tune, *test})
    if count == 116:
        assert tune[0] - train[-1] - 1 == test[0] - tune[-1] - 1 == 6
        assert (train[0], test[-1]) == (0, count - 1)


def test_a_published_split_keeps_its_test_images_and_gives_a_twentieth_of_its_units():
    hands = [
        SimpleNamespace(name=f"{number}-{side}")
        for number in range(100)
        for side in ("left", "right")
    ]
    splits = with_tune(
        {"train": hands, "test": hands[:3]}, lambda hand: hand.name.partition("-")[0]
    )
    assert splits["test"] == hands[:3]
    assert [len(splits[part]) for part in ("train", "tune")] == [190, 10]
    pictures = [
        {hand.name.partition("-")[0] for hand in splits[part]} for part in ("train", "tune")
    ]
    assert not pictures[0] & pictures[1]
    assert with_tune({"train": hands[:6], "test": []})["tune"] == []


def test_a_recording_is_the_same_for_all_its_cameras():
    frames = [
        SimpleNamespace(
            name=f"s_01_act_02_subact_01_ca_0{camera}/s_01_act_02_subact_01_ca_0{camera}_000001.jpg"
        )
        for camera in (1, 4)
    ]
    assert {recording(frame) for frame in frames} == {"s_01_act_02_subact_01"}
    assert recording(SimpleNamespace(name="s_01/s_01_000001.jpg")) == "s_01"
    videos = [
        "s_05_act_03_subact_02_ca_01#6",
        "s_05_act_03_subact_02_ca_04#11",
        "S1/Walking 1.54138969#1",
        "S1/Walking 1.60457274#6",
        "S1/Walking.54138969#1",
    ]
    assert [recording_of_video(SimpleNamespace(name=name)) for name in videos] == [
        "s_05_act_03_subact_02",
        "s_05_act_03_subact_02",
        "S1/Walking 1",
        "S1/Walking 1",
        "S1/Walking",
    ]


@pytest.mark.parametrize(
    "skeleton", [BODY, PERSON, BIRD, TIGER, FIVE_POINTS, CAT, SIGNER, FACE, FOURTEEN_OF_FACE]
)
def test_a_mirror_swaps_sides_and_keeps_the_edges_which_connect_all_points(skeleton):
    kinds = [name.rstrip("0123456789") for name in skeleton.names]
    swapped = [
        kind.replace("left", "@").replace("right", "left").replace("@", "right") for kind in kinds
    ]
    assert [kinds[k] for k in skeleton.flip] == swapped
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset(skeleton.flip[k] for k in edge) for edge in edges} == edges
    reached = {0}
    for _ in skeleton.names:
        reached |= {k for edge in skeleton.edges if reached & {*edge} for k in edge}
    assert skeleton in (FACE, FOURTEEN_OF_FACE) or reached == set(range(len(skeleton.names)))
