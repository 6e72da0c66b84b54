"""Sets of animals, things and X-rays, and DeepLabCut projects."""

import json
import random
import zlib

import numpy as np
import pytest
from dataset_contract import (
    WHITE,
    Label,
    Sample,
    diagonal,
    draw,
    ids,
    keeps_the_contract,
    placed,
    without,
    write_image,
)

from data import (
    atrw,
    cephalometric,
    cephalometric_2023,
    chest,
    cub200_2011,
    deeplabcut,
    metaimage,
    ut_zappos50k,
)
from data.cephalometric_2023 import STACK, TRUTH, random_split, without_padding
from data.prepared import open_source, prepare
from experiments.semi_supervised import EXPERIMENT, PRESETS
from experiments.semi_supervised.images import open_data
from kpjax.images.transforms import Letterbox, Stretch
from kpjax.input.source import has_label, identities
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Job


def tigers(numbers, name="filename", labelled=True, **category):
    """A file as published: boxes are whole images, and flags are 2, or 0 with zero coordinates; and
    its labels.
    """
    images, annotations, labels = [], [], {}
    for number in numbers:
        seen = draw(number, 15, low=0, high=1) > (0.3 if labelled and number % 4 else 1)
        points = np.random.default_rng(number).integers(2, 60, (15, 2)) * seen[:, None]
        images.append({name: f"{number:06d}.jpg", "id": number, "width": 90, "height": 70 + number})
        annotations.append(
            {
                "bbox": [0, 0, 90, 70 + number],
                "category_id": 1,
                "image_id": number,
                "id": number,
                "keypoints": np.column_stack([points, 2 * seen]).ravel().tolist(),
                "iscrowd": 0,
            }
        )
        labels[f"{number:06d}"] = Label(points, seen, 90, [0, 0, 90, 70 + number])
    known = {"id": 1, "name": "tiger", "keypoints": list(atrw.TIGER.names)} | category
    return json.dumps({"categories": [known], "images": images, "annotations": annotations}), labels


def write_atrw(folder):
    """Every fourth has no label: it can only train, without one."""
    found = {}
    for part, file, split, numbers in (
        ("train", "keypoint_train.json", "train", range(4)),
        ("val", "keypoint_val.json", "validation", (4, 5)),
        ("test", "pose_tiger02_test.json", "test", (7, 8, 9)),
    ):
        content, labels = tigers(numbers, "file_name" if part == "val" else "filename")
        placed(file, content)(folder)
        for number in numbers:
            write_image(folder / part / f"{number:06d}.jpg", 90, 70 + number)
        found[split] = {name: label for name, label in labels.items() if int(name) % 4}
        if split == "train":
            found["unlabelled"] = {"000000": labels["000000"]}
    return found


CLASSES = {1: 1, 2: 100, 3: 101, 4: 150, 5: 151, 7: 200}  # of the images
CUB = "CUB_200_2011"


def write_cub(folder):
    """Places count from 1. The second part, the beak, is on a dot."""
    rng, found = np.random.default_rng(5), {"train": {}, "validation": {}, "test": {}}
    lines = {
        "images.txt": "",
        "image_class_labels.txt": "",
        "bounding_boxes.txt": "",
        "parts/part_locs.txt": "",
    }
    for (image, class_), split in zip(
        CLASSES.items(), sorted(2 * list(found), key=list(found).index), strict=True
    ):
        name = f"{class_:03d}.Some_Bird/Some_Bird_{image:04d}_{image * 17}"
        write_image(folder / CUB / "images" / f"{name}.jpg", 80, 60, {(50, 30): WHITE})
        points, seen = rng.integers(10, 50, (15, 2)), rng.integers(2, size=15)
        points[1], seen[1] = (51, 31), 1
        lines["images.txt"] += f"{image} {name}.jpg\n"
        lines["image_class_labels.txt"] += f"{image} {class_}\n"
        lines["bounding_boxes.txt"] += f"{image} {image}.0 8.0 60.0 {40 + image}.0\n"
        lines["parts/part_locs.txt"] += "".join(
            f"{image} {part + 1} {x * flag:.1f} {y * flag:.1f} {flag}\n"
            for part, ((x, y), flag) in enumerate(zip(points, seen, strict=True))
        )
        found[split][name] = Label(
            points - 1, seen, 60, [image, 8, 60, 40 + image], dots={1: WHITE}
        )
    lines["parts/parts.txt"] = "".join(
        f"{part} {name.replace('_', ' ')}\n"
        for part, name in enumerate(cub200_2011.BIRD.names, start=1)
    )
    for name, text in lines.items():
        placed(f"{CUB}/{name}", text)(folder)
    return found


def write_shoes(folder):
    # two colours of a shoe
    names = [f"Boots/Ankle/Maker & Co./7{number // 2}.{number}" for number in range(5)]
    for name in names:
        write_image(folder / "ut-zap50k-images" / f"{name}.jpg", 60, 40)
    order = np.random.default_rng(1000).permutation(5)
    shoe = Label(np.zeros((0, 2)), scale=60, size=(60, 60))
    test = {shoe_of(names[number]) for number in order[3:]}
    return {
        "train": {
            names[number]: shoe for number in order[:3] if shoe_of(names[number]) not in test
        },
        "test": {names[number]: shoe for number in order[3:]},
    }


def shoe_of(name):
    return name.rpartition("/")[2].partition(".")[0]


def write_heads(folder):
    """The truth is the mean of two doctors' whole pixels. Clinical classes follow the marks."""
    found = {}
    for number, home in (
        (1, "TrainingData"),
        (2, "TrainingData"),
        (151, "Test1Data"),
        (301, "Test2Data"),
    ):
        name, marks = f"{number:03d}", np.random.default_rng(number).integers(2, 90, (2, 19, 2))
        write_image(folder / "RawImage" / home / f"{name}.bmp", 96, 120)
        for doctor, points in zip(("400_senior", "400_junior"), marks, strict=True):
            placed(
                f"AnnotationsByMD/{doctor}/{name}.txt",
                "".join(f"{x},{y}\n" for x, y in points) + "2\n1\n3\n1\n",
            )(folder)
        found.setdefault("train" if number < 151 else "test", {})[name] = Label(
            marks.mean(0), scale=10
        )
    return found


COUNT, HEIGHT, WIDTH = 8, 40, 56
HEADER = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "CompressedData = {packed}\n{size}Offset = 0 0 0\nDimSize = {width} {height} {count}\n"
    "ElementNumberOfChannels = 3\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
)


def stack_of():
    """Returns grey images of different sizes, padded with black on the right and below."""
    pixels = np.zeros((COUNT, HEIGHT, WIDTH, 3), np.uint8)
    for number in range(COUNT):
        height, width = HEIGHT - number, WIDTH - 2 * number
        pixels[number, :height, :width] = np.random.default_rng(number).integers(
            1, 256, (height, width, 1)
        )
        pixels[number, 3, 4] = 0  # black within an image is no padding
    return pixels


def write_stack(path, pixels, packed):
    stored = zlib.compress(pixels.tobytes()) if packed else pixels.tobytes()
    size = f"CompressedDataSize = {len(stored)}\n" if packed else ""
    count, height, width = pixels.shape[:3]
    path.write_bytes(
        HEADER.format(packed=packed, size=size, width=width, height=height, count=count).encode()
        + stored
    )


def writer_of_stacks(packed):
    def write(folder):
        """The spacing is text, as in some copies."""
        write_stack(folder / STACK, stack_of(), packed)
        placed(
            TRUTH,
            json.dumps(
                {
                    "name": "Orthodontic landmarks",
                    "points": [
                        {
                            "name": str(name),
                            "point": [number + name / 4, name / 2, number],
                            "scale": f"{0.1 + number / 100:.2f}",
                        }
                        for number in range(1, COUNT + 1)
                        for name in range(1, 39)
                    ],
                }
            ),
        )(folder)
        names = np.arange(1, 39)
        return {
            "": {
                f"{number:03d}": Label(
                    np.stack([number + names / 4, names / 2], 1),
                    scale=1 / (0.1 + number / 100),
                    size=(HEIGHT - number + 1, WIDTH - 2 * number + 2),
                )
                for number in range(1, COUNT + 1)
            }
        }

    return write


def fractions(name, scale=1):
    points = draw(sum(name.encode()), 6, 2, low=0.1, high=0.9).round(4) * scale
    return points, placed(f"labels/{name}.txt", "6\n" + "".join(f"{x} {y}\n" for x, y in points))


def write_chests(folder):
    """The first two train, the next is for tuning; the scale is that of the root of the image's
    area.
    """
    found = {"train": {}, "validation": {}, "test": {}}
    numbers = {1: "train", 2: "train", 7: "validation", 59: "test", 120: "test"}
    for place, (number, split) in enumerate(numbers.items()):
        name = f"CHNCXR_{number:04d}_0"
        write_image(
            folder / "pngs" / f"{name}.png", 100 + place, 144, mode="L" if place % 2 else "RGB"
        )
        points, write = fractions(name)
        write(folder)
        found[split][name] = Label(
            points * [100 + place, 144], scale=np.sqrt((100 + place) * 144) / 512
        )
    return found


HEADS = [
    "scorer,Ann,Ann,Ann,Ann,Ann,Ann",
    "bodyparts,tail,tail,snout,snout,left ear,left ear",
    "coords,x,y,x,y,x,y",
]
TABLES = {
    "a": [
        *HEADS,
        "labeled-data/a/img0.png,,,,,,",
        "labeled-data/a/img1.png,10,11.5,20,21,,",
        r"labeled-data\a\img2.png,1,2,3,4,5,6",
        "/home/ann/reach/labeled-data/a/img3.png,70,50,79.4,3,90,4",
    ],
    "b": [
        "scorer,,,Ann,Ann",
        "bodyparts,,,snout,snout",
        "coords,,,x,y",
        "labeled-data,b,img0.png,7,8",
        "labeled-data,b,img1.png,9,8",
    ],
}


def table(video, *lines):
    return placed(f"labeled-data/{video}/CollectedData_Ann.csv", "\n".join(lines) + "\n")


def write_project(folder):
    """Points are in the order of the config; a frame without any label stays, and a point beyond
    the border.
    """
    placed(
        "config.yaml",
        "scorer: Ann\nbodyparts: [snout, left ear, tail]\nskeleton:\n- [snout, left ear]\n"
        "- [snout, tail]\n",
    )(folder)
    for video, (width, height) in (("a", (80, 60)), ("b", (32, 40))):
        for number in range(len(TABLES[video]) - 3):
            write_image(
                folder / "labeled-data" / video / f"img{number}.png", width + number, height
            )
        table(video, *TABLES[video])(folder)

    def label(*points, size):
        points = np.array(points)
        seen = points[points.any(1)]
        return Label(points, points.any(1), diagonal(seen) if len(seen) > 1 else None, size=size)

    return {
        "train": {
            "a/img0.png": label([0, 0], [0, 0], [0, 0], size=(60, 80)),
            "a/img1.png": label([20, 21], [0, 0], [10, 11.5], size=(60, 81)),
            "b/img0.png": label([7, 8], [0, 0], [0, 0], size=(40, 32)),
        },
        "tune": {"a/img2.png": label([3, 4], [5, 6], [1, 2], size=(60, 82))},
        "test": {
            "a/img3.png": label([79.4, 3], [90, 4], [70, 50], size=(60, 83)),
            "b/img1.png": label([9, 8], [0, 0], [0, 0], size=(40, 33)),
        },
    }


def copied(folder):
    splits = deeplabcut.read(folder, [])
    splits["test"][0].image.write_bytes(splits["train"][0].image.read_bytes())


SAMPLES = [
    Sample(
        atrw.DATASET,
        write_atrw,
        damages=[
            (
                placed("pose_tiger02_test.json", tigers((7, 8, 9), labelled=False)[0]),
                ["the one in ATRWEvalScript"],
            ),
            (
                placed("keypoint_train.json", tigers(range(4), id=2, name="horse")[0]),
                ["keypoint_train.json categories entry 0: expected category 1 (tiger)"],
            ),
        ],
    ),
    Sample(
        cub200_2011.DATASET,
        write_cub,
        unit=lambda name: name.partition("/")[0],
        damages=[
            (
                placed(
                    f"{CUB}/bounding_boxes.txt",
                    "".join(
                        f"{image} 1.0 8.0 {'x' if image == 3 else '9.0'} 7.0\n" for image in CLASSES
                    ),
                ),
                ["bounding_boxes.txt line 3: expected a number, found 'x'"],
            )
        ],
    ),
    Sample(
        ut_zappos50k.DATASET,
        write_shoes,
        constants={"ut_zappos50k.TESTING": 2},
        unit=shoe_of,
        damages=[
            (
                lambda folder: [path.unlink() for path in folder.rglob("*.jpg")],
                ["has no .jpg in any subfolder"],
            )
        ],
    ),
    Sample(
        cephalometric.DATASET,
        write_heads,
        constants={
            "cephalometric.TRAINING": (1, 2),
            "cephalometric.TESTING": (151, 301),
            "cephalometric.SIZE": (96, 120),
        },
        damages=[
            (without("AnnotationsByMD/400_junior/151.txt"), ["400_junior/151.txt is missing"])
        ],
    ),
    *(
        Sample(
            cephalometric_2023.DATASET,
            writer_of_stacks(packed),
            sizes={"train": 6, "validation": 1, "test": 1},
            damages=[
                (
                    lambda folder: (folder / TRUTH).write_text(
                        (folder / TRUTH).read_text().replace('"0.11"', '"0"', 1)
                    ),
                    [
                        f"{TRUTH} points entry 0 (landmark 1): expected a positive scale",
                        "image 1 lacks 1 of 38",
                    ],
                ),
                (
                    lambda folder: (folder / STACK).write_bytes(
                        (folder / STACK).read_bytes()[:-50]
                    ),
                    ["the file is cut off"],
                ),
                (placed(STACK, bytes(300)), ["this is not a .mha file"]),
            ],
        )
        for packed in (False, True)
    ),
    Sample(
        chest.DATASET,
        write_chests,
        constants={"chest.TRAINING": 2, "chest.VALIDATION": 1},
        damages=[
            (
                fractions("CHNCXR_0001_0", 100)[1],
                ["labels/CHNCXR_0001_0.txt line 2: expected fractions"],
            )
        ],
    ),
    Sample(
        deeplabcut.DATASET,
        write_project,
        damages=[
            (copied, ["is the same image as"]),
            (
                table("a", *HEADS, "labeled-data/a/img1.png,1,2,three,4,5,6"),
                ["Ann.csv line 4, snout: 'three'"],
            ),
        ],
    ),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=ids)
def test_a_set_is_prepared_as_its_files_say(sample, tmp_path, monkeypatch):
    found = keeps_the_contract(sample, tmp_path, monkeypatch)
    prepared, name = tmp_path / "prepared", sample.dataset.name
    if name == "cephalometric":
        example = open_source(sample.dataset, "test", data_dir=prepared, transform=Letterbox(60))[0]
        assert example.scale == 5  # at half the size a millimetre is 5 px
        # From BMP to PNG without loss.
        assert found["test"]["151"]["image"][0, 0].tolist() == [
            len("151.bmp"),
            sum(b"151.bmp") % 256,
            0,
        ]
    elif name == "cephalometric_2023":
        for title, record in (one for of in found.values() for one in of.items()):
            height, width = record["image"].shape[:2]
            np.testing.assert_array_equal(
                record["image"], stack_of()[int(title) - 1, :height, :width]
            )
        monkeypatch.setattr(metaimage, "CHUNK", 100)  # small reads give the same images
        images = dict(
            metaimage.images(metaimage.read_stack(tmp_path / "downloaded" / STACK, []), {1, 5, 7})
        )
        assert list(images) == [1, 5, 7]
        np.testing.assert_array_equal(list(images.values()), stack_of()[[1, 5, 7]])
    elif name == "chest":
        source = open_source(sample.dataset, "train", data_dir=prepared, transform=Stretch(64))
        # of any image
        np.testing.assert_allclose([source[0].scale, source[1].scale], 64 / 512, rtol=1e-6)
    elif name == "ut_zappos50k":
        # squared with white
        assert all(record["image"][:8].min() > 245 for record in found["test"].values())


def test_tigers_without_a_label_train_without_one(tmp_path):
    """As in the paper, whose terms of images without labels read all 3,610."""
    downloaded = tmp_path / "downloaded"
    downloaded.mkdir()
    write_atrw(downloaded)
    prepare(atrw.DATASET, downloaded, tmp_path)
    stored = open_source(
        "atrw",
        PRESETS["atrw"].data.train.partition("/")[2],
        data_dir=tmp_path,
        transform=Letterbox(8),
    )
    assert sorted(zip(identities(stored), has_label(stored), strict=True)) == [
        (f"{number:06d}", number > 0) for number in range(4)
    ]
    config = replace_fields(
        PRESETS["atrw"], image_size=32, heatmap_size=8, labelled=2, augmentation="none"
    )
    job, drawn = Job(EXPERIMENT, config, "atrw", "sskl", 0, tmp_path, tmp_path), set()
    for seed in range(6):
        data = open_data(job._replace(seed=seed))
        assert sorted(identities(data.everything)) == ["000001", "000002", "000003"]
        labelled, unlabelled = identities(data.labelled), identities(data.unlabelled)
        assert sorted(labelled + unlabelled) == [f"{number:06d}" for number in range(4)]
        assert "000000" in unlabelled
        drawn.add(labelled)
    assert len(drawn) > 1
    half = open_data(job._replace(config=replace_fields(config, unlabelled_share=0.5)))
    assert len(half.unlabelled) == 1


def test_a_video_whose_frames_have_unpadded_numbers_is_cut_in_the_order_of_time(tmp_path):
    """img10 came before img2, so that neighbours trained and tested."""
    lines = [
        *TABLES["a"][:3],
        *(f"labeled-data/a/img{number}.png,1,2,3,4,5,6" for number in range(20)),
    ]
    placed("config.yaml", "scorer: Ann\nbodyparts: [snout, left ear, tail]\n")(tmp_path)
    table("a", *lines)(tmp_path)
    for number in range(20):
        write_image(tmp_path / "labeled-data" / "a" / f"img{number}.png", 40 + number, 30)
    faults = []
    parts = deeplabcut.read(tmp_path, faults)
    assert faults == []
    assert [frame.name for frame in parts["train"]] == [
        f"a/img{number}.png" for number in range(10)
    ]
    assert parts["test"][-1].name == "a/img19.png"


def test_the_split_of_stacks_is_that_of_the_baseline():
    order = list(range(400))
    random.seed(2023)
    random.shuffle(order)
    assert random_split(400) == {
        "train": order[:300],
        "validation": order[300:350],
        "test": order[350:],
    }
    assert without_padding(np.zeros((4, 5, 3), np.uint8)).shape == (4, 5, 3)
