"""Whole annotation projects of every format, and what can be wrong with them.

Every damage changes a project in place and may return what a person would name instead of its
folder.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from kpjax.images.video import write_video

COUNT = 6  # labelled frames in each


def black(path: Path, size: tuple[int, int] = (40, 30), **options: object) -> None:
    """Writes a black image, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, **options)


# Whole projects


def _images(folder: Path, stem: str = "") -> None:
    folder.mkdir(parents=True)
    for n in range(COUNT):
        noise = np.random.default_rng(n).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{stem}{n}.png")


def make_coco(root: Path) -> None:
    """One animal with three keypoints on each of six images."""
    _images(root / "images")
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in range(COUNT)
        ],
        "annotations": [
            {
                "id": 10 + n,
                "image_id": n,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [1, 1, 30, 20],
                "keypoints": [5 + n, 6, 2, 20, 9, 1, 0, 0, 0],
            }
            for n in range(COUNT)
        ],
        "categories": [
            {
                "id": 1,
                "name": "mouse",
                "keypoints": ["nose", "left_ear", "right_ear"],
                "skeleton": [[1, 2], [1, 3]],
            }
        ],
    }
    (root / "labels.json").write_text(json.dumps(content))


def make_table(root: Path) -> None:
    """A long table of six images, with a skeleton."""
    _images(root / "images")
    rows = ["image,instance,keypoint,x,y,visible,box_x,box_y,box_w,box_h"]
    rows += [
        f"images/{n}.png,0,{name},{x + n},9,1,1,1,30,20"
        for n in range(COUNT)
        for name, x in (("nose", 4), ("tail", 20))
    ]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "skeleton.json").write_text(
        json.dumps({"names": ["nose", "tail"], "edges": [["nose", "tail"]]})
    )


def _video(root: Path) -> None:
    root.mkdir(parents=True)
    write_video(root / "a day.mp4", [np.full((32, 48, 3), 9 * n, np.uint8) for n in range(8)])


def make_video_table(root: Path) -> None:
    """A long table of three frames of a video of eight."""
    _video(root)
    rows = ["video,frame,keypoint,x,y"]
    rows += [
        f"a day.mp4,{frame},{name},{x},9"
        for frame in (0, 3, 7)
        for name, x in (("nose", 4), ("tail", 20))
    ]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")


def _labelled_folder(root: Path, video: str, table: str) -> None:
    """One animal with two body parts on six images of a video."""
    _images(root / "labeled-data" / video, "img")
    rows = ["scorer,Ann,Ann,Ann,Ann", "bodyparts,nose,nose,tail,tail", "coords,x,y,x,y"]
    rows += [f"labeled-data/{video}/img{n}.png,{n},2,13,4" for n in range(COUNT)]
    (root / table).write_text("\n".join(rows) + "\n")


def make_deeplabcut(root: Path) -> None:
    """One animal with two body parts and a line."""
    _labelled_folder(root, "vid 1", TABLE)
    (root / "config.yaml").write_text(
        "scorer: Ann\nbodyparts:\n- nose\n- tail\nskeleton:\n- - nose\n  - tail\n"
    )


def make_lightning_pose(root: Path) -> None:
    """The same as Lightning Pose keeps it, with boxes."""
    _labelled_folder(root, "vid", "CollectedData.csv")
    boxes = [",x,y,h,w", *(f"labeled-data/vid/img{n}.png,1,1,20,30" for n in range(COUNT))]
    (root / "bbox.csv").write_text("\n".join(boxes) + "\n")


def make_sleap(root: Path) -> None:
    """Three labelled frames of a video of eight."""
    import sleap_io

    _video(root)
    skeleton = sleap_io.Skeleton(["nose", "tail"], [("nose", "tail")])
    video = sleap_io.Video(filename="D:/films/a day.mp4", open_backend=False)
    video.backend_metadata["shape"] = (8, 32, 48, 3)
    frames = [
        sleap_io.LabeledFrame(
            video,
            frame,
            [sleap_io.Instance.from_numpy(np.array([[4.0, 9.0], [20.0, 9.0]]), skeleton=skeleton)],
        )
        for frame in (0, 3, 7)
    ]
    sleap_io.save_slp(
        sleap_io.Labels(frames, videos=[video], skeletons=[skeleton]), str(root / "labels.slp")
    )


def make_ultralytics(root: Path) -> None:
    """Two splits, one animal with a hidden point, and a mirror image of each point."""
    for split, lines in (
        ("train", "0.000000 0.5 0.5 0.5 0.4 0.25 0.5 2 0.75 0.5 1\n"),
        ("val", ""),
    ):
        black(root / "images" / split / "a.png")
        (root / "labels" / split).mkdir(parents=True)
        (root / "labels" / split / "a.txt").write_text(lines)
    (root / "data.yaml").write_text(
        "path: ../elsewhere\ntrain: images/train\nval: images/val\nkpt_shape: [2, 3]\n"
        "flip_idx: [1, 0]\nnames: {0: mouse}\n"
    )


def make_labelme(root: Path) -> None:
    """Two points on each of six images."""
    _images(root)
    for n in range(COUNT):
        shapes = [
            {"label": name, "points": [[n + x, 5]], "group_id": None, "shape_type": "point"}
            for name, x in (("nose", 4), ("tail", 9))
        ]
        (root / f"{n}.json").write_text(
            json.dumps(
                {"shapes": shapes, "imagePath": f"{n}.png", "imageData": None, "imageWidth": 0}
            )
        )


PROJECTS = {
    "coco": make_coco,
    "table": make_table,
    "video table": make_video_table,
    "deeplabcut": make_deeplabcut,
    "lightning pose": make_lightning_pose,
    "sleap": make_sleap,
}


def make_label_studio(root: Path) -> None:
    """Two points in percent on each of six images."""
    _images(root)
    tasks = []
    for n in range(COUNT):
        regions = [
            {
                "id": name,
                "type": "keypointlabels",
                "original_width": 40,
                "original_height": 30,
                "value": {"x": n + x, "y": 5, "keypointlabels": [name]},
            }
            for name, x in (("nose", 4), ("tail", 9))
        ]
        tasks.append({"data": {"image": f"{n}.png"}, "annotations": [{"result": regions}]})
    (root / "tasks.json").write_text(json.dumps(tasks))


ALL = PROJECTS | {
    "ultralytics": make_ultralytics,
    "labelme": make_labelme,
    "label studio": make_label_studio,
}


# Ways to do harm


def _text(name: str, *changes: str, most: int = 1) -> Callable[[Path], None]:
    """Replaces texts of a file, each the first `most` of its kind: old, new, old, new."""

    def harm(root: Path) -> None:
        text = (root / name).read_bytes()
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old.encode() in text
            text = text.replace(old.encode(), new.encode("latin-1"), most)
        (root / name).write_bytes(text)

    return harm


def _bytes(name: str, content: bytes) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        (root / name).write_bytes(content)

    return harm


def _half(name: str) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        whole = (root / name).read_bytes()
        (root / name).write_bytes(whole[: len(whole) // 2])

    return harm


def _gone(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def _named(name: str, harm: Callable[[Path], None]) -> Callable[[Path], Path]:
    """Does harm, and names a file instead of its folder."""
    return lambda root: harm(root) or root / name


def _two_tables(root: Path) -> None:
    shutil.copy(root / "CollectedData.csv", root / "b.csv")
    (root / "CollectedData.csv").rename(root / "a.csv")


def _other_hdf5(name: str) -> Callable[[Path], None]:
    """A file of another tool at a place, and no csv beside it."""

    def harm(root: Path) -> None:
        import h5py

        (root / name).with_suffix(".csv").unlink(missing_ok=True)
        with h5py.File(root / name, "w") as file:
            file["tracks"] = np.zeros((1, 2, 3, 4))

    return harm


TABLE = "labeled-data/vid 1/CollectedData_Ann.csv"
MULTI = (
    "scorer: Ann\nmultianimalproject: true\nbodyparts: MULTI!\nmultianimalbodyparts: [nose, tail]\n"
    "individuals: [anna, carl]\n"
)
PREDICTED = (
    b"scorer,D,D,D\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n"
    b"labeled-data/vid 1/img1.png,1,2,0.9\n"
)
RAT = '{"id": 2, "name": "rat", "keypoints": ["nose", "left_ear", "right_ear"]}'
TWO_OF_EACH = "individuals,a,a,b,b\nbodyparts,nose,nose,nose,nose"
# The kind of a project, what is wrong with it, and words of the error: where it is, or what was
# found.
DAMAGES = (
    ("coco", lambda root: shutil.rmtree(root) or root.mkdir(), "not a known annotation project"),
    ("coco", lambda root: root / "labels", "no such file or folder"),
    # COCO
    ("coco", _half("labels.json"), "labels.json: cannot be read"),
    (
        "coco",
        _named("labels.json", _bytes("labels.json", b'[{"nose": [1, 2]}]')),
        "not a known annotation project",
    ),
    (
        "coco",
        _text("labels.json", '"images":', '"pictures":'),
        "images: None where a list of objects belongs",
    ),
    (
        "coco",
        _text("labels.json", '"categories": [{"id": 1', '"categories": [{"id": 5'),
        "categories: cannot be read (KeyError: 1); add the one",
    ),
    ("coco", _text("labels.json", '"keypoints"', '"points"', most=-1), "'COCO Keypoints' of CVAT"),
    (
        "coco",
        _text(
            "labels.json",
            '"categories": [',
            f'"categories": [{RAT}, ',
            '"category_id": 1',
            '"category_id": 2',
        ),
        "'rat' (1)",
    ),
    (
        "coco",
        _text("labels.json", '"image_id": 1,', '"image_id": 99,'),
        "annotations[1], image_id: no image has the id 99",
    ),
    (
        "coco",
        _text("labels.json", '"id": 1, "file_name"', '"id": 0, "file_name"'),
        "'0.png' has the same id",
    ),
    ("coco", _text("labels.json", '"1.png"', '"0.png"'), "images/0.png: it is listed twice"),
    (
        "coco",
        _text("labels.json", "[7, 6, 2,", "[7, 6, 0.83,"),
        "annotations[2], keypoints, nose: [7.0, 6.0, 0.83]",
    ),
    (
        "coco",
        _text("labels.json", "[7, 6, 2,", "[NaN, 6, 2,"),
        "annotations[2], keypoints, nose: [nan",
    ),
    (
        "coco",
        _text("labels.json", '"annotations": [', '"annotations": [7, '),
        "labels.json, annotations: 7 where a list of objects belongs",
    ),
    (
        "coco",
        _text("labels.json", '"annotations": [', '"annotations": [], "more": ['),
        "no keypoint is labelled",
    ),
    ("coco", _text("labels.json", '"right_ear"', '"nose"'), "'nose' occurs twice"),
    (
        "coco",
        _text("labels.json", '"left_ear", "right_ear"', '"ear"'),
        "9 where 3 x 2 numbers belong",
    ),
    ("coco", _text("labels.json", "[[1, 2], [1, 3]]", "[[1, 2, 3]]"), "pairs of numbers"),
    (
        "coco",
        lambda root: shutil.copy(root / "labels.json", root / "more.json") and None,
        "(labels.json, more.json)",
    ),
    # Images
    ("coco", _gone("images/3.png"), "images/3.png: the image is missing"),
    (
        "coco",
        lambda root: Image.new("RGB", (20, 15)).save(root / "images/3.png"),
        "3.png: the file is 20x15",
    ),
    ("coco", _bytes("images/3.png", b"not found"), "3.png"),
    # Plain tables
    ("table", _text("labels.csv", ",y,visible", ",vy,visible"), "line 1: no column y"),
    ("table", _text("labels.csv", ",1,1,30,20\n", ",1,1,30\n"), "line 2: 9 cells"),
    (
        "table",
        _text("labels.csv", "images/1.png,0,nose", "images/0.png,0,nose"),
        "line 4: nose of instance 0 is in line 2 too",
    ),
    (
        "table",
        _text("labels.csv", "tail", "fl\xe9chie"),
        "labels.csv: cannot be read (UnicodeDecodeError",
    ),
    ("table", _text("labels.csv", ",9,1,1", ",nine,1,1"), "line 2, y: 'nine'"),
    ("table", _text("labels.csv", ",9,1,1", ",1e308,1,1"), "beyond 1e+06 px"),
    ("table", _text("labels.csv", "nose,4,", "nose,,"), "line 2, nose: one of x and y is empty"),
    (
        "table",
        _named("labels.csv", _text("labels.csv", "visible,box_x", "score,status")),
        "are not labels",
    ),
    ("table", _text("labels.csv", "nose,4,9,1", "nose,,,1"), "nose: visible is 1 and x and y are"),
    ("table", _text("labels.csv", ",9,1,1", ",9,maybe,1"), "visible: 'maybe'"),
    (
        "table",
        _text("labels.csv", "1,1,30,20", "1,1,0,20"),
        "images/0.png, box: give x, y and a positive width",
    ),
    ("table", _text("labels.csv", "nose", "eye"), "keypoint 'eye'"),
    # Videos
    ("video table", _text("labels.csv", ",7,", ",8,"), "frames 0 to 7"),
    ("video table", _gone("a day.mp4"), "a day.mp4"),
    # DeepLabCut
    ("deeplabcut", _text("config.yaml", "- nose", "- [n"), "config.yaml"),
    (
        "deeplabcut",
        _bytes("config.yaml", MULTI.encode()),
        "header row individuals: '' where anna, carl belongs",
    ),
    ("deeplabcut", _text(TABLE, "coords,x,y,x,y", "coords,x,y,x"), "x and y"),
    ("deeplabcut", _text(TABLE, ",", ";", most=-1), "bodyparts is missing"),
    (
        "deeplabcut",
        _text(TABLE, "bodyparts,nose,nose,tail,tail", TWO_OF_EACH),
        "individuals: 'a' where",
    ),
    ("deeplabcut", _text(TABLE, "img1.png", "img0.png"), "img0.png: it is listed twice"),
    ("deeplabcut", _bytes(TABLE, PREDICTED), "predictions are not labels"),
    ("deeplabcut", _other_hdf5(TABLE.replace(".csv", ".h5")), "CollectedData_Ann.h5"),
    # Lightning Pose
    ("lightning pose", _text("bbox.csv", ",x,y,h,w", ",x,y,h,v"), "lacks w"),
    ("lightning pose", _two_tables, "2 tables of labels"),
    (
        "lightning pose",
        _text("CollectedData.csv", "bodyparts,", "individuals,a,a,b,b\nbodyparts,"),
        "it names ind",
    ),
    # SLEAP and Ultralytics
    ("sleap", _half("labels.slp"), "labels.slp"),
    ("ultralytics", _text("data.yaml", "[1, 0]", "[1, 1]"), "mirrors two others"),
    ("ultralytics", _text("data.yaml", "[1, 0]", "[0]"), "1 numbers in flip_idx"),
    (
        "ultralytics",
        _text("labels/train/a.txt", " 1\n", "\n"),
        "a.txt line 1: 10 numbers where 5 + 2 x 3",
    ),
    ("ultralytics", _text("labels/train/a.txt", "0.25", "inf"), "'inf' where a number belongs"),
    # LabelMe
    ("labelme", _text("1.json", "tail", "nose"), "1.json: 'nose' occurs twice"),
    ("labelme", _text("1.json", "[[5, 5]]", "[[5, Infinity]]"), "x or y is beyond 1e+06 px"),
    # Label Studio
    (
        "label studio",
        _text("tasks.json", '"original_width": 40', '"original_width": 41'),
        "the file is 40x30 as shown, its labels belong to an image of 41x30",
    ),
    ("label studio", _text("tasks.json", '["tail"]', '["nose"]'), "0.png: 'nose' occurs twice"),
    ("label studio", _text("tasks.json", "2.png", "7.png"), "7.png: the image is missing"),
)
