"""Published files, where a folder holds them: nothing is at fault, parts have their sizes, labels
are those stored.
"""

import json

import numpy as np
import pytest

from data import atrw, cats, cub200_2011, deeplabcut, flies, lspet, youtube_faces
from kpjax.formats.reading import read_project

# The folder of a project or of a file of labels: keypoints, edges and animals.
PROJECTS = {
    "mmpose_samples/300w/test_300w.json": (68, 0, 2),
    "mmpose_samples/animalpose/test_animalpose.json": (20, 20, 2),
    "mmpose_samples/coco/test_coco.json": (17, 19, 12),
    "mmpose_samples/crowdpose/test_crowdpose.json": (14, 9, 4),
    "mmpose_samples/fly/test_fly.json": (32, 25, 2),
    "mmpose_samples/freihand/test_freihand.json": (21, 20, 8),
    "mmpose_samples/mpii/test_mpii_trb.json": (40, 0, 5),
    "mmpose_samples/rhd/test_rhd.json": (21, 20, 3),
    "deeplabcut_openfield/openfield-Pranav-2018-10-30": (4, 0, 116),
    "sleap_small_robot/tests/data/slp_hdf5/small_robot_minimal.slp": (2, 1, 2),
    "sleap_minimal_instance/minimal_instance.pkg.slp": (2, 1, 2),
}
FIRST = {"sleap_small_robot": [316.490, 47.692], "sleap_minimal_instance": [92.652, 202.726]}


@pytest.mark.parametrize(
    ("read", "folder", "sizes", "points"),
    [
        (cub200_2011.read, "cub_200_2011_annotations", [5864, 2958, 2966], None),
        (cats.read, "cats", [24], None),
        (youtube_faces.read, "youtube_faces_68", [162, 49, 89], None),
        (lspet.read, "lsp_extended", [1800, 200, 500], None),
        (deeplabcut.read, "deeplabcut_openfield", [57, 16, 31], None),
        (flies.read, "sleap_tracks", None, None),
        (atrw.read, "atrw_annotations", [2193, 343, 1416], 27831),
    ],
)
def test_parts_have_their_sizes(read, folder, sizes, points, published):
    faults = []
    found = read(published(folder), faults)
    assert len(faults) == (read is atrw.read)  # no labels of its test images are published
    if sizes:
        assert [len(items) for items in found.values() if len(items)] == sizes
    if points:
        assert sum(int(one.visible.sum()) for one in found["train"]) == points


@pytest.mark.parametrize("name", PROJECTS)
def test_projects_have_the_labels_of_their_files(name, published, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = published(name)
    found = read_project(path)
    assert (len(found.skeleton.names), len(found.skeleton.edges), len(found.instances)) == PROJECTS[
        name
    ]
    if path.suffix == ".json":
        stored = [
            np.reshape(one["keypoints"], (-1, 3))
            for one in json.loads(path.read_bytes())["annotations"]
        ]
        stored = [triples for triples in stored if triples[:, 2].any()]
        for one, triples in zip(found.instances, stored, strict=True):
            np.testing.assert_array_equal(one.visible, triples[:, 2] > 0)
            np.testing.assert_array_equal(
                one.keypoints, np.where(triples[:, 2:] > 0, triples[:, :2], np.nan)
            )
    elif name.partition("/")[0] in FIRST:
        np.testing.assert_allclose(
            found.instances[0].keypoints[0], FIRST[name.partition("/")[0]], atol=5e-4
        )
