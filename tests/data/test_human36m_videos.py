"""Human3.6M as videos: the toolbox's layout and the simplified one, with joints on their pixels, boxes and facts."""
import pickle

import numpy as np
import pytest
import scipy.io
from dataset_contract import write_image

from data.human36m_videos import DATASET, OF_32, SEVENTEEN, STRIDE, human36m_videos
from data.prepared import prepare
from kpjax.errors import InputError
from kpjax.images.transforms import Letterbox, PersonCrop

WIDTH, HEIGHT = 640, 600
WRIST = SEVENTEEN.index("left_wrist")


def person(seed):
    """Returns (17, 2) whole px, and the box (left, upper, right, lower) of the toolbox."""
    joints = np.random.default_rng(seed).integers(200, 400, (17, 2)).astype(np.float64)
    return joints, np.array([180.0, 190, 420, 430]) + seed


@pytest.fixture(scope="module")
def toolbox(tmp_path_factory):
    root = tmp_path_factory.mktemp("toolbox")
    parts = {"h36m_train.pkl": [(1, 2), (5, 14)], "h36m_validation.pkl": [(9, 2)]}
    for file, videos in parts.items():
        frames = []
        for subject, action in videos:
            video = f"s_{subject:02d}_act_{action:02d}_subact_01_ca_03"
            for number in range(1, 12):
                joints, box = person(100 * subject + number)
                if number % STRIDE == 1:
                    x, y = joints[WRIST].astype(int).tolist()
                    write_image(root / "images" / video / f"{video}_{number:06d}.jpg", WIDTH, HEIGHT,
                         {(x + i, y + j): (255, 255, 255) for i in (-1, 0, 1) for j in (-1, 0, 1)})
                frames.append({"image": f"{video}/{video}_{number:06d}.jpg", "joints_2d": joints.astype(np.float32),
                               "joints_vis": np.ones((17, 3)), "box": box, "subject": np.int64(subject),
                               "center": (0.5, np.float64(2)), "camera": {"R": np.eye(3), "fx": np.float64(1145)}})
        (root / file).write_bytes(pickle.dumps(frames))
    return root


@pytest.fixture(scope="module")
def simplified(tmp_path_factory):
    root = tmp_path_factory.mktemp("simplified")
    for subject, video in ((1, "Walking.54138969"), (8, "Directions 1.60457274"), (11, "Walking 1.55011271")):
        for number in (3, 8, 12, 21, 40, 41):
            joints = np.random.default_rng(number).integers(10, 118, (32, 2))
            x, y = joints[OF_32[WRIST]].tolist()
            image = root / f"S{subject}" / "WithBackground" / video / f"{number}.jpg"
            write_image(image, 128, 128, {(x, y): (255, 255, 255)})
            labels = root / f"S{subject}" / "Landmarks" / video
            labels.mkdir(parents=True, exist_ok=True)
            scipy.io.savemat(labels / f"{number}.mat", {"keypoints_2d": (joints[:, ::-1] + 0.5) / 128})
    return root


def test_the_layout_of_the_toolbox(toolbox, tmp_path):
    prepare(DATASET, toolbox, tmp_path)
    source = human36m_videos("train", Letterbox(512), data_dir=tmp_path)
    assert source.titles == ("s_01_act_02_subact_01_ca_03", "s_05_act_14_subact_01_ca_03")
    assert source.facts == {"subject": ("S1", "S5"), "action": ("Directions", "Walking"), "camera": ("3", "3")}
    np.testing.assert_array_equal(source.frame, [1, 6, 11] * 2)
    assert source.skeleton == SEVENTEEN
    for row in range(6):
        joints, box = person(100 * (1 if row < 3 else 5) + int(source.frame[row]))
        example = source[row]
        np.testing.assert_allclose(example.crop[:2, :2] @ example.keypoints.T + example.crop[:2, 2:],
                                   (joints.T + 0.5) * 0.8 - 0.5, atol=1e-3)
        np.testing.assert_allclose(source.box(row)[2:], (box[2:] - box[:2]) * 0.8, rtol=1e-5)
        x, y = example.keypoints[WRIST].round().astype(int)
        assert example.image[y, x].min() > 180
    assert len(human36m_videos("test", Letterbox(64), data_dir=tmp_path)) == 3
    with pytest.raises(InputError, match="nothing prepared at"):
        human36m_videos("train", Letterbox(64), data_dir=tmp_path / "elsewhere")


def test_the_simplified_layout(simplified, tmp_path):
    prepare(DATASET, simplified, tmp_path)
    source = human36m_videos("train", Letterbox(128), data_dir=tmp_path)
    assert source.titles == ("S1/Walking.54138969", "S8/Directions 1.60457274")
    assert source.facts["action"] == ("Walking", "Directions")
    assert source.facts["subject"] == ("S1", "S8")
    assert source.facts["camera"] == ("54138969", "60457274")
    np.testing.assert_array_equal(source.frame, [3, 41] * 2)
    joints = np.random.default_rng(41).integers(10, 118, (32, 2))
    np.testing.assert_allclose(source[1].keypoints, joints[OF_32], atol=1e-3)
    x, y = joints[OF_32[WRIST]].tolist()
    assert source[1].image[y, x].min() > 180
    crop = human36m_videos("train", PersonCrop(128, 1.0), data_dir=tmp_path)[1]
    np.testing.assert_allclose(crop.crop, np.eye(3), atol=1e-6)


def test_faults_come_at_once(toolbox, tmp_path):
    frames = pickle.loads((toolbox / "h36m_validation.pkl").read_bytes())
    frames[0]["joints_2d"] = np.zeros((16, 2))
    frames[1]["image"] = "s_09/frame.jpg"
    (tmp_path / "h36m_validation.pkl").write_bytes(pickle.dumps(frames))
    (tmp_path / "h36m_train.pkl").write_bytes(pickle.dumps([print]))
    said = " | ".join(DATASET.check(tmp_path))
    assert "h36m_train.pkl cannot be read: it holds builtins.print, but only numpy arrays are allowed" in said
    assert "entry 0 (s_09_act_02_subact_01_ca_03/s_09_act_02_subact_01_ca_03_000001.jpg) joints_2d: expected " in said
    assert "entry 1 (s_09/frame.jpg): expected an image name such as s_01_act_02" in said
    assert "neither h36m_train.pkl (layout of H36M-Toolbox) nor" in DATASET.check(tmp_path / "nothing")[0]
