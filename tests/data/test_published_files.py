"""Published files of some sets, where a folder holds them: nothing is at fault, and parts have their sizes."""
import numpy as np
import pytest

from data import atrw, cats, cub200_2011, deeplabcut, flies, lspet, youtube_faces


@pytest.mark.parametrize(("read", "folder", "sizes"), [
    (cub200_2011.read, "cub_200_2011_annotations", [5864, 2958, 2966]), (cats.read, "cats", [24]),
    (youtube_faces.read, "youtube_faces_68", [162, 49, 89]), (lspet.read, "lsp_extended", [1800, 200, 500]),
    (deeplabcut.read, "deeplabcut_openfield", [57, 16, 31])])
def test_parts_have_their_sizes(read, folder, sizes, published):
    faults = []
    found = read(published(folder), faults)
    assert faults == []
    assert [len(items) for items in found.values() if len(items)] == sizes


def test_tigers_have_their_labels(published):
    """There are no labels of test images."""
    faults = []
    splits = atrw.read(published("atrw_annotations"), faults)
    assert [len(tigers) for tigers in splits.values()] == [2193, 343, 0]  # of 3,609 and 515 listed
    assert len(faults) == 1
    assert sum(int(tiger.visible.sum()) for tiger in splits["train"]) == 27831
    assert all((tiger.box == [0, 0, *tiger.size]).all() for tiger in splits["train"])


def test_people_and_flies_have_their_labels(published):
    people = [person for part in lspet.read(published("lsp_extended"), []).values() for person in part]
    visible = np.mean([person.visible for person in people], axis=0)
    assert not visible[6:8].any()
    assert 0.85 < np.delete(visible, [6, 7]).mean() < 0.92  # of the 14 joints 12 % are not labelled
    points = flies.read(published("sleap_tracks"), []).points
    assert ({track for track, _ in points}, len(points)) == ({"female", "male"}, 3000)
