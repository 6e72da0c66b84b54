"""Whole annotation projects of every format, and what can be wrong with them.

Every damage changes a project in place and may return what a person would name instead of its folder.
"""
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kpjax.images.video import write_video

COUNT = 6  # labelled frames in each


class Damage(NamedTuple):
    """Something that is wrong with a project."""

    name: str
    kind: str  # of the project that is damaged
    harm: Callable[[Path], Path | None]
    words: Sequence[str]  # that the error line has: where it is, what was found, the mend


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
        "images": [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in range(COUNT)],
        "annotations": [{"id": 10 + n, "image_id": n, "category_id": 1, "iscrowd": 0, "bbox": [1, 1, 30, 20],
                         "keypoints": [5 + n, 6, 2, 20, 9, 1, 0, 0, 0]} for n in range(COUNT)],
        "categories": [{"id": 1, "name": "mouse", "keypoints": ["nose", "left_ear", "right_ear"],
                        "skeleton": [[1, 2], [1, 3]]}]}
    (root / "labels.json").write_text(json.dumps(content))


def make_table(root: Path) -> None:
    """A long table of six images, with a skeleton."""
    _images(root / "images")
    rows = ["image,instance,keypoint,x,y,visible,box_x,box_y,box_w,box_h"]
    rows += [f"images/{n}.png,0,{name},{x + n},9,1,1,1,30,20" for n in range(COUNT)
             for name, x in (("nose", 4), ("tail", 20))]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "skeleton.json").write_text(json.dumps({"names": ["nose", "tail"], "edges": [["nose", "tail"]]}))


def make_video_table(root: Path) -> None:
    """A long table of three frames of a video of eight."""
    root.mkdir(parents=True)
    write_video(root / "a day.mp4", [np.full((32, 48, 3), 9 * n, np.uint8) for n in range(8)])
    rows = ["video,frame,keypoint,x,y"]
    rows += [f"a day.mp4,{frame},{name},{x},9" for frame in (0, 3, 7) for name, x in (("nose", 4), ("tail", 20))]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")


def make_deeplabcut(root: Path) -> None:
    """One animal with two body parts on six images of a video."""
    _images(root / "labeled-data" / "vid 1", "img")
    (root / "config.yaml").write_text("scorer: Ann\nbodyparts:\n- nose\n- tail\nskeleton:\n- - nose\n  - tail\n")
    rows = ["scorer,Ann,Ann,Ann,Ann", "bodyparts,nose,nose,tail,tail", "coords,x,y,x,y"]
    rows += [f"labeled-data/vid 1/img{n}.png,{n},2,13,4" for n in range(COUNT)]
    (root / "labeled-data" / "vid 1" / "CollectedData_Ann.csv").write_text("\n".join(rows) + "\n")


def make_lightning_pose(root: Path) -> None:
    """The same as Lightning Pose keeps it, with boxes."""
    _images(root / "labeled-data" / "vid", "img")
    rows = ["scorer,Ann,Ann,Ann,Ann", "bodyparts,nose,nose,tail,tail", "coords,x,y,x,y"]
    rows += [f"labeled-data/vid/img{n}.png,{n},2,13,4" for n in range(COUNT)]
    (root / "CollectedData.csv").write_text("\n".join(rows) + "\n")
    boxes = [",x,y,h,w", *(f"labeled-data/vid/img{n}.png,1,1,20,30" for n in range(COUNT))]
    (root / "bbox.csv").write_text("\n".join(boxes) + "\n")


def make_sleap(root: Path) -> None:
    """Three labelled frames of a video of eight."""
    import sleap_io

    root.mkdir(parents=True)
    write_video(root / "a day.mp4", [np.full((32, 48, 3), 9 * n, np.uint8) for n in range(8)])
    skeleton = sleap_io.Skeleton(["nose", "tail"], [("nose", "tail")])
    video = sleap_io.Video(filename="D:/films/a day.mp4", open_backend=False)
    video.backend_metadata["shape"] = (8, 32, 48, 3)
    frames = [sleap_io.LabeledFrame(video, frame, [sleap_io.Instance.from_numpy(
        np.array([[4.0, 9.0], [20.0, 9.0]]), skeleton=skeleton)]) for frame in (0, 3, 7)]
    sleap_io.save_slp(sleap_io.Labels(frames, videos=[video], skeletons=[skeleton]), str(root / "labels.slp"))


PROJECTS = {"coco": make_coco, "table": make_table, "video table": make_video_table, "deeplabcut": make_deeplabcut,
            "lightning pose": make_lightning_pose, "sleap": make_sleap}


# Ways to do harm


def _content(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    """Changes what a COCO file holds."""
    def harm(root: Path) -> None:
        content = json.loads((root / "labels.json").read_text())
        change(content)
        (root / "labels.json").write_text(json.dumps(content))
    return harm


def _field(path: str, value: Any) -> Callable[[Path], None]:
    """Puts a value at a path such as images/0/id of a COCO file."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]

    def change(content: dict) -> None:
        place = content
        for part in way:
            place = place[part]
        place[last] = value
    return _content(change)


def _text(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Replaces the first of some text in a file."""
    def harm(root: Path) -> None:
        text = (root / name).read_text(encoding="utf-8")
        assert old in text
        (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    return harm


def _bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        (root / name).write_bytes(change((root / name).read_bytes()))
    return harm


def _half(name: str) -> Callable[[Path], None]:
    return _bytes(name, lambda whole: whole[:len(whole) // 2])


def _latin(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    return _bytes(name, lambda whole: whole.replace(old, new, 1))


def _gone(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def _resized(name: str) -> Callable[[Path], None]:
    return lambda root: Image.new("RGB", (20, 15)).save(root / name)


def _named(name: str) -> Callable[[Path], Path]:
    return lambda root: root / name


def _both(*harms: Callable[[Path], Path | None]) -> Callable[[Path], Path | None]:
    def harm(root: Path) -> Path | None:
        return [one(root) for one in harms][-1]
    return harm


def _second_file(root: Path) -> None:
    shutil.copy(root / "labels.json", root / "labels (copy).json")


def _emptied(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def _other_h5(root: Path) -> None:
    """An .h5 table of another tool in the place of the csv."""
    import h5py

    table = root / "labeled-data" / "vid 1" / "CollectedData_Ann.csv"
    table.unlink()
    with h5py.File(table.with_suffix(".h5"), "w") as file:
        file["tracks"] = np.zeros((1, 2, 3, 4))


def _other_slp(root: Path) -> None:
    import h5py

    with h5py.File(root / "labels.slp", "w") as file:
        file["tracks"] = np.zeros((1, 2, 3, 4))


def _without_video(root: Path) -> None:
    (root / "a day.mp4").unlink()


def _predicted_only(root: Path) -> None:
    import sleap_io

    labels = sleap_io.load_slp(str(root / "labels.slp"), open_videos=False)
    for frame in labels.labeled_frames:
        frame.instances = [sleap_io.PredictedInstance.from_numpy(
            one.numpy(), skeleton=one.skeleton, point_scores=np.ones(2), score=1.0) for one in frame.instances]
    sleap_io.save_slp(labels, str(root / "labels.slp"))


TABLE = "labeled-data/vid 1/CollectedData_Ann.csv"
DAMAGES = (
    # COCO
    Damage("json cut in half", "coco", _half("labels.json"), ["labels.json", "invalid json", "fetch it again"]),
    Damage("json of no bytes", "coco", _both(_bytes("labels.json", lambda _: b""), _named("labels.json")),
           ["labels.json", "invalid json"]),
    Damage("json in latin-1", "coco", _latin("labels.json", b"mouse", b"souris gris\xe9e"),
           ["labels.json", "invalid json", "utf-8"]),
    Damage("a list of results", "coco", _both(_bytes("labels.json", lambda _: b'[{"keypoints": [1, 2, 0.5]}]'),
                                              _named("labels.json")), ["a list where an object", "as a csv table"]),
    Damage("no images", "coco", _content(lambda content: content.pop("images")), ["images: nothing where a list"]),
    Damage("no annotations", "coco", _field("annotations", None), ["annotations: nothing where a list belongs"]),
    Damage("text for an image", "coco", _field("images/2", "2.png"), ["images number 2", "an object belongs"]),
    Damage("category of no annotation", "coco", _field("categories/0/id", 5), ["id 1", "6 annotations", "add it"]),
    Damage("two categories", "coco", _content(lambda content: (
        content["categories"].append({"id": 2, "name": "rat", "keypoints": ["nose", "left_ear", "right_ear"]}),
        content["annotations"][0].update(category_id=2))), ["'mouse' (5)", "'rat' (1)", "category: 2"]),
    Damage("annotation of no image", "coco", _field("annotations/1/image_id", 99),
           ["id 11, image_id: no image has the id 99", "delete"]),
    Damage("one id for two images", "coco", _field("images/1/id", 0),
           ["image id 0", "'0.png' has the same id", "its own"]),
    Damage("one id for two annotations", "coco", _field("annotations/1/id", 10), ["annotation id 10", "2 times"]),
    Damage("one file for two images", "coco", _field("images/1/file_name", "0.png"), ["'0.png' is listed twice"]),
    Damage("a keypoint lost", "coco", _field("annotations/3/keypoints", [1, 2, 2]),
           ["annotation id 13, keypoints: 3 where 3 x 3 numbers belong", "correct"]),
    Damage("a keypoint in words", "coco", _field("annotations/3/keypoints", "1,2,2"), ["id 13, keypoints", '"1,2,2"']),
    Damage("v of 3", "coco", _field("annotations/2/keypoints/2", 3), ["id 12, keypoints, v of nose: 3", "0 (not"]),
    Damage("scores for v", "coco", _field("annotations/2/keypoints/2", 0.83), ["0.83", "scores are not labels"]),
    Damage("a coordinate of nan", "coco", _field("annotations/2/keypoints/0", float("nan")),
           ["id 12, keypoints, nose: x or y is not finite", "v = 0"]),
    Damage("a box of three numbers", "coco", _field("annotations/0/bbox", [1, 2, 3]),
           ["id 10, bbox", "correct or del"]),
    Damage("a list for an image's id", "coco", _field("annotations/0/image_id", [0]),
           ["id 10, image_id: no image has the id [0]"]),
    Damage("an image without a name", "coco", _field("images/4/file_name", None), ["image id 4, file_name: nothing"]),
    Damage("nothing is labelled", "coco", _content(lambda content: [
        one.update(keypoints=[0] * 9) for one in content["annotations"]]), ["no keypoint is labelled", "label some"]),
    Damage("a name twice", "coco", _field("categories/0/keypoints/2", "nose"), ["'nose' occurs twice", "its own name"]),
    Damage("fewer names than keypoints", "coco", _field("categories/0/keypoints", ["nose", "ear"]),
           ["6 faults", "9 where 3 x 2 numbers belong"]),
    Damage("edges of three", "coco", _field("categories/0/skeleton", [[1, 2, 3]]), ["skeleton", "pairs of numbers"]),
    Damage("two files", "coco", _second_file, ["2 annotation files (labels (copy).json, labels.json)", "name one"]),
    Damage("an empty folder", "coco", _emptied, ["the folder is empty", "which is of DeepLabCut"]),
    Damage("no such folder", "coco", lambda root: root / "labels", ["no such file or folder", "name an annotation"]),
    Damage("an image missing", "coco", _gone("images/3.png"), ["images/3.png: the image is missing", "delete its"]),
    Damage("an image of another size", "coco", _resized("images/3.png"), ["3.png: the file is 20x15 as", "40x30",
                                                                         "set --rescale-labels"]),
    Damage("text in an image file", "coco", _bytes("images/3.png", lambda _: b"not found"), ["3.png", "replace it"]),
    Damage("an image cut in half", "coco", _half("images/3.png"), ["images/3.png", "replace"]),
    # Plain tables
    Damage("a column lost", "table", _text("labels.csv", ",y,visible", ",vy,visible"), ["line 1: no column y", "add"]),
    Damage("a cell lost", "table", _text("labels.csv", ",1,1,30,20\n", ",1,1,30\n"), ["line 2: 9 cells", "10 columns"]),
    Damage("a row twice", "table", _text("labels.csv", "images/1.png,0,nose", "images/0.png,0,nose"),
           ["line 4: nose of instance 0 of images/0.png is in line 2", "delete one"]),
    Damage("a table in latin-1", "table", _latin("labels.csv", b"tail", b"queue fl\xe9chie"), ["line 3: byte 0xe9",
                                                                                          "UTF-8"]),
    Damage("a word for a number", "table", _text("labels.csv", ",9,1,1", ",nine,1,1"), ["line 2, y: 'nine'", "number"]),
    Damage("y without x", "table", _text("labels.csv", "nose,4,", "nose,,"), ["line 2, nose: one of x and y is empty"]),
    Damage("an empty table", "table", _both(_bytes("labels.csv", lambda _: b""), _named("labels.csv")),
           ["labels.csv: the file is empty"]),
    Damage("a header and no row", "table", _bytes("labels.csv", lambda whole: whole[:whole.index(b"\n") + 1]),
           ["there is no frame in it", "label some"]),
    Damage("a quote without end", "table", _text("labels.csv", "nose", '"nose'), ["labels.csv line", "quote"]),
    Damage("predictions", "table", _both(_text("labels.csv", "visible,box_x", "score,status"), _named("labels.csv")),
           ["score and status", "are not labels"]),
    Damage("visible in words", "table", _text("labels.csv", ",9,1,1", ",9,maybe,1"), ["visible: 'maybe'", "0 or 1"]),
    Damage("a box of no width", "table", _text("labels.csv", "1,1,30,20", "1,1,0,20"), ["line 2, box_w, box_h: 0"]),
    Damage("a column twice", "table", _text("labels.csv", "visible", "x"), ["two columns are called 'x'", "rename"]),
    Damage("a skeleton cut in half", "table", _half("skeleton.json"), ["skeleton.json: invalid json"]),
    Damage("a name that the skeleton lacks", "table", _text("labels.csv", "nose", "eye"), ["keypoint 'eye'", "add"]),
    Damage("an image with a slip in its name", "table", _text("labels.csv", "images/2.png", "images/two.png"),
           ["images/two.png: the image is missing"]),
    # Videos
    Damage("a frame past the end", "video table", _text("labels.csv", ",7,", ",8,"), ["frame 8", "frames 0 to 7"]),
    Damage("a frame in words", "video table", _text("labels.csv", ",7,", ",end,"), ["frame: 'end'", "counted from 0"]),
    Damage("a video missing", "video table", _without_video, ["a day.mp4", "is missing", "--video-root"]),
    Damage("a video of no frames", "video table", _bytes("a day.mp4", lambda _: b""), ["a day.mp4", "fetch it again"]),
    Damage("a video cut in half", "video table", _half("a day.mp4"), ["a day.mp4", "again"]),
    # DeepLabCut
    Damage("a config that is not a "
           "yaml", "deeplabcut", _text("config.yaml", "- nose", "- [n"), ["config.yaml", "correct"]),
    Damage("no body parts", "deeplabcut", _text("config.yaml", "bodyparts", "parts"), ["bodyparts is None"]),
    Damage("other names in the table", "deeplabcut", _text(TABLE, "tail,tail", "back,back"), ["'back' is unknown",
                                                                                          "nose, tail"]),
    Damage("half a pair of columns", "deeplabcut", _text(TABLE, "coords,x,y,x,y", "coords,x,y,x"), ["x and y", "anew"]),
    Damage("two individuals where one is meant", "deeplabcut", _both(
        _text(TABLE, "bodyparts,nose,nose,tail,tail", "individuals,a,a,b,b\nbodyparts,nose,nose,nose,nose"),
        ), ["2 individuals", "one animal"]),
    Damage("a row twice in DeepLabCut", "deeplabcut", _text(TABLE, "img1.png", "img0.png"), ["line 5", "line 4"]),
    Damage("x and no y in DeepLabCut", "deeplabcut", _text(TABLE, ",2,13", ",,13"), ["line 4", "one of x and y"]),
    Damage("latin-1 in DeepLabCut", "deeplabcut", _latin(TABLE, b"scorer,Ann", b"scorer,Jos\xe9"), ["0xe9", "UTF-8"]),
    Damage("an image missing in Windows words", "deeplabcut", _text(
        TABLE, "labeled-data/vid 1/img2.png", "labeled-data\\vid 1\\none.png"), ["vid 1/none.png", "missing"]),
    Damage("no table at all", "deeplabcut", _gone(TABLE), ["no keypoint is labelled", "label some"]),
    Damage("h5 of another tool", "deeplabcut", _other_h5, ["CollectedData_Ann.h5", "csv"]),
    # Lightning Pose
    Damage("no row of coords", "lightning pose", _text("CollectedData.csv", "coords,x,y,x,y\n", ""), ["coords"]),
    Damage("boxes without a width", "lightning pose", _text("bbox.csv", ",x,y,h,w", ",x,y,h,v"), ["bbox.csv"]),
    # SLEAP
    Damage("slp cut in half", "sleap", _half("labels.slp"), ["labels.slp", "again"]),
    Damage("slp of another tool", "sleap", _other_slp, ["labels.slp", "again"]),
    Damage("slp without its video", "sleap", _without_video, ["a day.mp4", "--video-root"]),
    Damage("slp with predictions only", "sleap", _predicted_only, ["no keypoint is labelled", "label some"]),
)
