"""Projects as people have them: doubtful labels, points of no animal, files of other tools."""

import gc
import json

import numpy as np
import pytest
from damaging import black, make_ultralytics
from PIL import Image

from kpjax.errors import InputError
from kpjax.formats import sleap
from kpjax.formats.names import derived_flip, flip_note
from kpjax.formats.prediction_reading import read_predictions
from kpjax.formats.project import Report
from kpjax.formats.reading import read_project
from kpjax.images.reading import is_turned
from kpjax.images.video import write_video

# Labels that can hardly be right


def test_labels_that_cannot_be_right_are_counted(tmp_path):
    """A point at (0, 0), both of an animal at one place, and an image that EXIF turns, whatever
    size is stated.
    """
    turned = Image.Exif()
    turned[0x0112] = 6
    black(tmp_path / "0.jpg", (30, 30), exif=turned)
    black(tmp_path / "1.jpg", (30, 30))
    (tmp_path / "labels.csv").write_text(
        "image,nose_x,nose_y,tail_x,tail_y\n0.jpg,4,5,0,0\n1.jpg,6,7,6,7\n"
    )
    found = read_project(tmp_path)
    for doubt, words in zip(
        found.doubts,
        ("1 labelled image turned", "1 point labelled at exactly (0", "1 animal with"),
        strict=True,
    ):
        assert doubt.startswith(words)
    assert set(found.doubts) <= set(found.notes)
    assert [is_turned(tmp_path / "0.jpg", size) for size in ((30, 30), (30, 20))] == [True, False]
    found = read_project(tmp_path, drop_zeros=True)
    np.testing.assert_array_equal([one.visible for one in found.instances], [[1, 0], [1, 1]])
    assert len(found.doubts) == 2
    (tmp_path / "labels.csv").write_text(
        "image,track,keypoint,x,y\n0.jpg,Anna,nose,.4,.5\n0.jpg,Bob,nose,0.1,1\n"
    )
    found = read_project(tmp_path)
    assert [one.track for one in found.instances] == ["Anna", "Bob"]
    assert "within the first pixel; give pixels" in found.notes[-1]


# What sleap-io reads


def test_skeletons_of_the_same_names_are_one(tmp_path):
    sio = pytest.importorskip("sleap_io")
    video = sio.Video(filename="a.mp4", open_backend=False)
    first, second = sio.Skeleton(["nose", "tail"]), sio.Skeleton(["tail", "nose"])
    sio.save_slp(
        sio.Labels(
            [
                sio.LabeledFrame(
                    video,
                    0,
                    [sio.Instance.from_numpy(np.array([[1.0, 2], [3, 4]]), skeleton=first)],
                ),
                sio.LabeledFrame(
                    video,
                    1,
                    [sio.Instance.from_numpy(np.array([[5.0, 6], [7, 8]]), skeleton=second)],
                ),
            ],
            videos=[video],
            skeletons=[first, second],
        ),
        str(tmp_path / "a.slp"),
        verbose=False,
    )
    found = sleap.read(tmp_path, Report("", [], []))
    np.testing.assert_array_equal(found.instances[1].keypoints, [[7, 8], [5, 6]])


@pytest.mark.parametrize("tracks", [["one"], []])
def test_analysis_files_of_sleap_and_poses_of_jabs_are_predictions(tmp_path, tracks):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("sleap_io")
    points = np.arange(40.0).reshape(1, 2, 2, 10)  # animals, x and y, keypoints, frames
    points[..., 1, 3] = np.nan
    with h5py.File(tmp_path / "a.analysis.h5", "w") as file:
        file["tracks"], file["track_names"] = points, np.array(tracks, "S3")
        file["node_names"], file["track_occupancy"] = (
            np.array([b"nose", b"tail"]),
            np.ones((10, 1), np.uint8),
        )
        file["point_scores"], file["instance_scores"] = (
            np.full((1, 2, 10), 0.5),
            np.full((1, 10), 0.5),
        )
        file["tracking_scores"], file["video_path"] = np.zeros((1, 10)), "D:/films/a.mp4"
    (found,) = read_predictions(tmp_path / "a.analysis.h5")
    assert (found.source, found.instances) == (tmp_path / "a.mp4", tuple(tracks or ["0"]))
    assert found.skeleton.names == ("nose", "tail")
    np.testing.assert_array_equal(found.keypoints[:, 0, 0], points[0, :, 0].T)
    assert np.isnan(found.keypoints[3, 0, 1]).all()
    points = np.arange(48, dtype=np.uint16).reshape(2, 12, 2)  # frames, keypoints, y and x
    with h5py.File(tmp_path / "a_pose_est_v2.h5", "w") as file:
        file["poseest/points"], file["poseest/confidence"] = (
            points,
            np.full((2, 12), 0.5, np.float32),
        )
        file["poseest"].attrs["version"] = [2, 0]
    np.testing.assert_array_equal(
        read_predictions(tmp_path / "a_pose_est_v2.h5")[0].keypoints[:, 0], points[..., ::-1]
    )


@pytest.mark.slow  # to import pynwb takes seconds
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_nwb_has_labels_or_predictions(tmp_path):
    sio = pytest.importorskip("sleap_io")
    pytest.importorskip("pynwb")
    write_video(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 2, rate=10)
    points, skeleton = np.array([[1.0, 2], [3, 4]]), sio.Skeleton(["nose", "tail"], name="mouse")
    for name, kind, scores in (
        ("labels.nwb", sio.Instance, {}),
        ("found.nwb", sio.PredictedInstance, {"point_scores": np.ones(2), "score": 1.0}),
    ):
        video = sio.Video.from_filename(str(tmp_path / "a.mp4"))
        sio.save_nwb(
            sio.Labels(
                [
                    sio.LabeledFrame(
                        video, n, [kind.from_numpy(points + n, skeleton=skeleton, **scores)]
                    )
                    for n in range(2)
                ],
                videos=[video],
                skeletons=[skeleton],
            ),
            str(tmp_path / name),
        )
    found = read_project(tmp_path / "labels.nwb")
    np.testing.assert_array_equal([one.keypoints for one in found.instances], [points, points + 1])
    assert [frame.path for frame in found.frames] == [tmp_path / "a.mp4"] * 2
    np.testing.assert_array_equal(
        read_predictions(tmp_path / "found.nwb")[0].keypoints[:, 0], [points, points + 1]
    )
    gc.collect()  # the library leaves its video open


# Ultralytics and Label Studio


def test_pose_labels_of_ultralytics(tmp_path):
    make_ultralytics(tmp_path)
    found = read_project(tmp_path)
    assert found.format == "ultralytics"
    assert [(frame.name, frame.split) for frame in found.frames] == [
        ("images/train/a.png", "train"),
        ("images/val/a.png", "validation"),
    ]
    (one,) = found.instances
    np.testing.assert_allclose(one.keypoints, [[9.5, 14.5], [29.5, 14.5]])
    np.testing.assert_allclose(one.box, [10, 9, 20, 12])
    assert (found.skeleton.flip, one.occluded.tolist()) == ((1, 0), [False, True])
    (tmp_path / "images" / "val").rename(tmp_path / "images" / "other")
    with pytest.raises(InputError, match=r"data.yaml, val: '.*val' is no folder below"):
        read_project(tmp_path)
    (tmp_path / "images" / "other").rename(tmp_path / "images" / "val")
    (tmp_path / "set").mkdir()
    for folder in ("images", "labels"):
        (tmp_path / folder).rename(tmp_path / "set" / folder)
    (tmp_path / "data.yaml").write_text((tmp_path / "data.yaml").read_text() + "path: set\n")
    assert len(read_project(tmp_path).frames) == 2


@pytest.mark.parametrize(
    ("turn", "box", "end"), [(0, [4, 2, 20, 10], ""), (90, [np.nan] * 4, "?X-Amz-Date=1")]
)
def test_label_studio_tells_animals_apart_by_rectangles(tmp_path, turn, box, end):
    def region(kind, identity, **value):
        return {
            "original_width": 40,
            "original_height": 20,
            "image_rotation": 0,
            "id": identity,
            "type": kind,
            "value": value,
        }

    result = [
        region(
            "rectanglelabels",
            "r",
            x=10,
            y=10,
            width=50,
            height=50,
            rectanglelabels=["ann"],
            rotation=turn,
        ),
        region("keypointlabels", "a", x=25, y=50, keypointlabels=["nose"]),
        region("keypointlabels", "b", x=75, y=50, keypointlabels=["nest"]),
        {"from_id": "a", "to_id": "r", "type": "relation", "direction": "right"},
    ]
    black(tmp_path / "images" / "day 1.png", (40, 20))
    (tmp_path / "export.json").write_text(
        json.dumps(
            [
                {
                    "id": 1,
                    "data": {"image": f"/data/upload/4/day%201.png{end}"},
                    "annotations": [{"result": result}],
                }
            ]
        )
    )
    found = read_project(tmp_path)
    assert (found.format, found.frames[0].name) == ("label_studio", "images/day 1.png")
    (one,) = found.instances
    # shares of the image count from its edge
    np.testing.assert_allclose(one.keypoints, [[9.5, 9.5]])
    np.testing.assert_allclose(one.box, box, atol=1e-9)
    assert (found.skeleton.names, one.track) == (("nose",), "ann")
    assert any("1 points (nest) belong to no rectangle" in note for note in found.notes)


# Keypoints that mirror each other


def test_flips():
    assert derived_flip(
        (
            "nose",
            "L_Eye",
            "R_Eye",
            "hip",
            "earleft",
            "earright",
            "LeftEar",
            "RightEar",
            "e.r",
            "e.l",
            "eyeL",
            "eyeR",
            "midlegR3",
            "midlegL3",
            "Elbow",
        )
    ) == (0, 2, 1, 3, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 14)
    assert derived_flip(("nose", "tail")) is None
    lone = ("left_ear", "right_ear", "left_paw")
    assert derived_flip(lone) is None  # mirrored, the paw would be a right one
    assert "no mirror image of left_paw" in flip_note(lone, None)
    assert derived_flip(("R1", "R2")) is None
    assert derived_flip(("links", "rump", "lear", "rear", "led", "red")) is None
    lone = ("Ohr_links", "Ohr_rechts", "Pfote_links")
    assert derived_flip(lone) is None
    assert "no mirror image of Pfote_links" in flip_note(lone, None)
    assert derived_flip(("legL1", "legR1", "legL2", "legR2")) == (1, 0, 3, 2)
    assert derived_flip(("LHip", "RHip", "Hips")) == (1, 0, 2)
    assert derived_flip(("paw1LH_top", "paw2LF_top", "paw3RF_top", "paw4RH_top")) == (3, 2, 1, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("L1", "R1"),
        ("ear-lft", "ear-rgt"),
        ("EAR_LT", "EAR_RT"),
        ("Linkes Ohr", "Rechtes Ohr"),
        ("oreille_gauche", "oreille_droite"),
        ("oeil_gauche", "oeil_droit"),
        ("oreja_izq", "oreja_der"),
        ("ojo_izquierdo", "ojo_derecho"),
        ("orelha_esquerda", "orelha_direita"),
        ("orecchio_sx", "orecchio_dx"),
    ],
)
def test_sides_in_other_words(one, other):
    assert derived_flip((one, other, "nose")) == (1, 0, 2)
    assert derived_flip((other, "nose", one)) == (2, 1, 0)
