"""Published files of some sets, where a folder holds them: nothing is at fault, and parts have their sizes."""
import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from data import atrw, cats, celeba, cephalometric, chest, cub200_2011, deeplabcut, flies, lspet, youtube_faces


def without_fault(read, folder):
    faults = []
    found = read(folder, faults)
    assert faults == []
    return found


@pytest.mark.parametrize(("read", "folder", "sizes"), [
    (cub200_2011.read, "cub_200_2011_annotations", [5864, 2958, 2966]), (cats.read, "cats", [24]),
    (youtube_faces.read, "youtube_faces_68", [162, 49, 89]), (lspet.read, "lsp_extended", [1800, 200, 500]),
    (deeplabcut.read, "deeplabcut_openfield", [57, 16, 31])])
def test_parts_have_their_sizes(read, folder, sizes, published):
    found = without_fault(read, published(folder))
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


def test_the_lists_of_celeba(tmp_path, published):
    for path in ("Anno", "Eval", "Img"):
        (tmp_path / path).symlink_to(published("celeba_format/align_celeba") / path)
    (tmp_path / "MAFL").symlink_to(published("mafl_lists/MAFL"))
    faults = []
    splits = celeba.read(tmp_path, faults)
    assert [len(faces) for faces in splits.values()] == [2, 0, 2, 1, 0]
    np.testing.assert_array_equal(splits["train"][0].keypoints[:2], [[69, 109], [106, 113]])
    assert len(faults) == 20000 - 1  # the names of MAFL whose rows are not here
    assert faults[0].startswith("MAFL/training.txt: ")


def test_landmarks_of_heads_in_the_format_of_the_challenge(tmp_path, published):
    first = []
    for doctor in ("senior", "junior"):
        (tmp_path / f"400_{doctor}").mkdir()
        with (published("cephalometric_isbi2015_landmarks/setup") / f"all_{doctor}.csv").open() as file:
            table = {row[0]: np.array(row[1:], float).reshape(19, 2) * 10 for row in csv.reader(file)}
        for name, points in table.items():
            lines = [f"{x},{y}" for x, y in np.rint(points).astype(int)]
            (tmp_path / f"400_{doctor}" / f"{name}.txt").write_text("\n".join([*lines, *"21311412"]) + "\n")
        first.append(table["001"])
    splits = without_fault(cephalometric.read, tmp_path)
    assert [len(images) for images in splits.values()] == [150, 250]
    np.testing.assert_allclose(splits["train"][0].keypoints, np.mean(first, axis=0))


def test_labels_of_chests(tmp_path, published):
    with zipfile.ZipFile(published("chest_landmarks/chest_labels.zip")) as archive:
        archive.extractall(tmp_path)
    blank = io.BytesIO()
    Image.new("L", (100, 200)).save(blank, "PNG")
    (tmp_path / "chest" / "pngs").mkdir()
    for path in (tmp_path / "chest" / "labels").iterdir():
        (tmp_path / "chest" / "pngs" / f"{path.stem}.png").write_bytes(blank.getvalue())
    assert [len(of) for of in without_fault(chest.read, tmp_path).values()] == [195, 34, 50]
