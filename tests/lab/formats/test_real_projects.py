"""Published projects and samples, compared with the numbers in their own files."""
import csv
import json
from collections import Counter

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.lab.formats import coco
from kpjax.lab.formats.reading import format_of, read_project

# file: keypoints, edges, instances
COCO = {
    "300vw/anno_300vw.json": (68, 0, 3), "300w/test_300w.json": (68, 0, 2), "300wlp/test_300wlp.json": (68, 0, 2),
    "animalpose/test_animalpose.json": (20, 20, 2), "atrw/test_atrw.json": (15, 14, 2),
    "coco/test_coco.json": (17, 19, 12), "coco/test_coco_wholebody.json": (17, 19, 12),
    "cofw/test_cofw.json": (29, 0, 2), "crowdpose/test_crowdpose.json": (14, 9, 4), "fld/test_fld.json": (8, 0, 2),
    "fly/test_fly.json": (32, 25, 2), "freihand/test_freihand.json": (21, 20, 8),
    "locust/test_locust.json": (35, 26, 2), "mpii/test_mpii_trb.json": (40, 0, 5),
    "onehand10k/test_onehand10k.json": (21, 20, 4),
    "rhd/test_rhd.json": (21, 20, 3), "wflw/test_wflw.json": (98, 0, 4), "zebra/test_zebra.json": (9, 8, 2),
}


@pytest.fixture
def samples(published):
    """The samples of many sets that come with mmpose."""
    return published("mmpose_samples")


@pytest.mark.parametrize("name", COCO)
def test_coco_like_samples(samples, name):
    project = read_project(samples / name)
    content = json.loads((samples / name).read_bytes())
    assert (len(project.skeleton.names), len(project.skeleton.edges), len(project.instances)) == COCO[name]
    assert Counter(frame.name for frame in project.frames) == Counter(one["file_name"] for one in content["images"])
    assert [frame.size for frame in project.frames] == [(one["width"], one["height"]) for one in content["images"]]
    stored = {one["id"]: np.reshape(np.array(one["keypoints"], np.float64), (-1, 3)) for one in content["annotations"]}
    twos = any((triples[:, 2] == 2).any() for triples in stored.values())
    images = {one["id"]: one["file_name"] for one in content["images"]}
    of_annotation = {one["id"]: images[one["image_id"]] for one in content["annotations"]}
    labelled = [identity for identity, triples in stored.items() if triples[:, 2].any()]
    for one, identity in zip(project.instances, labelled, strict=True):
        triples = stored[identity]
        assert project.frames[one.frame].name == of_annotation[identity]
        np.testing.assert_array_equal(one.visible, triples[:, 2] > 0)
        np.testing.assert_array_equal(one.keypoints, np.where(triples[:, 2:] > 0, triples[:, :2], np.nan))
        np.testing.assert_array_equal(one.occluded, (triples[:, 2] == 1) & twos)


def test_tigers_without_their_images(published):
    path = published("atrw_annotations/atrw_anno_pose_train/keypoint_val.json")
    project = coco.read(path, [])
    annotations = json.loads(path.read_bytes())["annotations"]
    assert len(project.frames) == 515
    assert len(project.instances) == sum(any(one["keypoints"][2::3]) for one in annotations)
    assert sum(int(one.visible.sum()) for one in project.instances) == 4387
    with pytest.raises(InputError, match=r"515 faults: 001414.jpg: the image is missing"):
        read_project(path)


def test_the_deeplabcut_mouse(published):
    root = published("deeplabcut_openfield/openfield-Pranav-2018-10-30")
    project = read_project(root)
    assert format_of(root).name == "deeplabcut"
    assert project.skeleton.names == ("snout", "leftear", "rightear", "tailbase")
    with next(root.glob("labeled-data/*/*.csv")).open(newline="") as file:
        rows = list(csv.reader(file))[3:]
    assert [frame.name for frame in project.frames] == [row[0] for row in rows]
    assert {frame.size for frame in project.frames} == {(640, 480)}
    np.testing.assert_array_equal(np.stack([one.keypoints for one in project.instances]),
                                  np.array([row[1:] for row in rows], np.float64).reshape(-1, 4, 2))
