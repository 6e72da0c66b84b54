"""DeepLabCut projects as a set: frames without labels stay, parts by video or by time, what is refused."""
import numpy as np
from dataset_contract import Sample, of_sample, write_image

from data.deeplabcut import DATASET, read

CONFIG = "scorer: Ann\nbodyparts: [snout, left ear, tail]\nskeleton:\n- [snout, left ear]\n- [snout, tail]\n"
HEADER = ["scorer,Ann,Ann,Ann,Ann,Ann,Ann", "bodyparts,tail,tail,snout,snout,left ear,left ear", "coords,x,y,x,y,x,y"]
FIRST = ["labeled-data/a/img0.png,,,,,,", "labeled-data/a/img1.png,10,11.5,20,21,,",
         r"labeled-data\a\img2.png,1,2,3,4,5,6", "/home/ann/reach-Ann/labeled-data/a/img3.png,70,50,79.4,3,90,4"]
SECOND = ["scorer,,,Ann,Ann", "bodyparts,,,snout,snout", "coords,,,x,y", "labeled-data,b,img0.png,7,8",
          "labeled-data,b,img1.png,9,8"]


def write(folder):
    for video, lines, (width, height) in (("a", HEADER + FIRST, (80, 60)), ("b", SECOND, (32, 40))):
        for number in range(len(lines) - 3):
            write_image(folder / "labeled-data" / video / f"img{number}.png", width + number, height)
        write_table(folder, video, lines)
    (folder / "config.yaml").write_text(CONFIG)


def write_table(folder, video, lines):
    (folder / "labeled-data" / video / "CollectedData_Ann.csv").write_text("\n".join(lines) + "\n")


def copied(folder):
    splits = read(folder, [])
    splits["test"][0].image.write_bytes(splits["train"][0].image.read_bytes())


def unlabelled(folder):
    write_table(folder, "a", [*HEADER, FIRST[0]])
    write_table(folder, "b", [*SECOND[:3], "labeled-data,b,img0.png,,"])


SAMPLE = Sample(
    DATASET, write, {"train": ["a/img0.png", "a/img1.png", "b/img0.png"], "tune": ["a/img2.png"],
                     "test": ["a/img3.png", "b/img1.png"]},
    damages=[(copied, ["is the same image as"]), (unlabelled, ["no keypoint is visible in the whole set"]),
             (lambda folder: write_table(folder, "a", [*HEADER, "labeled-data/a/img1.png,1,2,three,4,5,6"]),
              ["a/CollectedData_Ann.csv line 4, snout: 'three'"]),
             (lambda folder: (folder / "config.yaml").write_text("bodyparts: MULTI!\n"), ["multi-animal"] * 2)])


def test_gaps_sizes_and_the_order_of_the_config(tmp_path, monkeypatch):
    found = of_sample(SAMPLE, tmp_path, monkeypatch)
    frames = found["train"] | found["tune"] | found["test"]
    for name, visible, keypoints, size in (
        ("a/img0.png", [0, 0, 0], [[0, 0], [0, 0], [0, 0]], (60, 80, 3)),  # no label at all: the frame stays
        ("a/img1.png", [1, 0, 1], [[20, 21], [0, 0], [10, 11.5]], (60, 81, 3)),
        ("a/img3.png", [1, 1, 1], [[79.4, 3], [90, 4], [70, 50]], (60, 83, 3)),  # one point beyond the border
        ("b/img0.png", [1, 0, 0], [[7, 8], [0, 0], [0, 0]], (40, 32, 3)),
    ):
        assert frames[name]["visible"].tolist() == visible
        np.testing.assert_allclose(frames[name]["keypoints"], keypoints)
        assert frames[name]["image"].shape == size
    np.testing.assert_allclose(frames["a/img2.png"]["scale"], np.hypot(4, 4), rtol=1e-6)
