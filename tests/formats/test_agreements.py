"""Where a project says one fact twice: each disagreement is named with its mend, and none where both
say the same.
"""

import json

import numpy as np
import pytest
from PIL import Image

from kpjax.formats.project_source import reference_lengths, with_nobody
from kpjax.formats.reading import project_and_faults, read_project
from kpjax.images.video import write_video

NAMES = ("left_ear", "right_ear", "snout")


def picture(path, seed=0, place=10.0):
    """A scene of its own by seed, in which a bright square moves."""
    shades = np.random.default_rng(seed).integers(0, 200, (6, 8)).repeat(10, 0).repeat(10, 1)
    shades[5:12, int(place) : int(place) + 7] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(shades.astype(np.uint8)).save(path)


def points_of(n):
    """Three points of an animal on image n, of 80x60."""
    return np.array([[40.0 + n, 30.0], [48.0 + n, 33.0], [44.0, 40.0 + n]])


def coco(
    root, *, box=lambda low, high: [*low, *(high - low)], ids=(1, 1), names=("mouse", "mouse")
):
    """Two files, of train and val, with four images each."""
    for part, (split, identity, name) in enumerate(zip(("train", "val"), ids, names, strict=True)):
        images, animals = [], []
        for n in range(4):
            points, file = points_of(n + 4 * part), f"{split}{n}.png"
            picture(root / "images" / file, seed=10 * part + n)
            images.append({"id": n, "file_name": file, "width": 80, "height": 60})
            kept = {"id": n, "image_id": n, "category_id": identity}
            kept["keypoints"] = [v for x, y in points.tolist() for v in (x, y, 2)]
            kept["bbox"] = [float(v) for v in box(points.min(0) - 2, points.max(0) + 2)]
            animals.append(kept)
        others = [{"id": 3 - identity, "name": "rat", "keypoints": NAMES}]
        categories = [{"id": identity, "name": name, "keypoints": NAMES}, *others]
        content = {"images": images, "annotations": animals, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(content))


def yolo(root, *, flip="[1, 0, 2]", box=lambda low, high: [*((low + high) / 2), *(high - low)]):
    """A folder of Ultralytics with four images."""
    for n in range(4):
        points, size = points_of(n), np.array([80, 60])
        picture(root / "images" / f"{n}.png", seed=n)
        stated = np.reshape(box(points.min(0) - 2, points.max(0) + 2), (2, 2)) / size
        cells = [0, *stated.ravel(), *(v for x, y in points / size for v in (x, y, 2))]
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{n}.txt").write_text(" ".join(map(str, cells)) + "\n")
    (root / "data.yaml").write_text(
        f"train: images\nkpt_shape: [3, 3]\nflip_idx: {flip}\nnames: {{0: mouse}}\n"
        f"kpt_names: {{0: [{', '.join(NAMES)}]}}\n"
    )


def table(root, names, places, *, header="keypoint", by=1.0, seeds=None):
    """A plain table of images with a split each, as (name, split)."""
    rows = [f"image,split,{header},x,y"]
    for n, (name, split) in enumerate(names):
        picture(root / name, seeds[n] if seeds else 0, places[n])
        for k, (x, y) in enumerate(points_of(n) * by):
            rows.append(f"{name},{split},{NAMES[k]},{x},{y}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")


def split_images(stem, seeds):
    """Returns twelve images of scenes by seed, every third one held out."""
    names = [(f"{stem}{n}.png", "val" if n % 3 == 1 else "train") for n in range(12)]
    return lambda root: table(root, names, [10 + 2 * n for n in range(12)], seeds=seeds)


def deeplabcut(root, *, scorer="A", header="A", parts=NAMES, moved=0.0, rows=4):
    """A table as csv, and the .h5 beside it, which may say otherwise."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    (root / "labeled-data" / "v").mkdir(parents=True)
    (root / "config.yaml").write_text(f"scorer: {scorer}\nbodyparts: [{', '.join(parts)}]\n")
    values = np.stack([points_of(n).ravel() for n in range(4)])
    keys = [("labeled-data", "v", f"{n}.png") for n in range(4)]
    for n, key in enumerate(keys):
        picture(root.joinpath(*key), seed=n)
    columns = pandas.MultiIndex.from_product(
        [[header], NAMES, ["x", "y"]], names=["scorer", "bodyparts", "coords"]
    )
    frame = pandas.DataFrame(values, pandas.MultiIndex.from_tuples(keys), columns)
    frame[:rows].to_csv(root / "labeled-data/v/CollectedData_A.csv")
    (frame + moved).to_hdf(root / "labeled-data/v/CollectedData_A.h5", key="df_with_missing")


def video_table(root, frames):
    write_video(root / "v.mp4", [np.full((60, 80, 3), 9 * n, np.uint8) for n in range(5)])
    rows = ["video,frame,keypoint,x,y", *(f"v.mp4,{n},snout,{n + 3},9" for n in frames)]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")


TWO = [1] * 6 + [2] * 6  # scenes
SPLIT = "4 of 4 held-out images are neighbours of images that train"
CASES = {
    "csv beside h5": (
        lambda root: deeplabcut(root, moved=3.0),
        "differ: 12 of 12 labels lie elsewhere, 4.2 px apart",
    ),
    "rows of h5 alone": (
        lambda root: deeplabcut(root, rows=3),
        "differ: 3 labels on 1 image are in the .h5 alone",
    ),
    "scorer of header": (lambda root: deeplabcut(root, header="B"), "names the scorer B, and"),
    "scorer of config": (lambda root: deeplabcut(root, scorer="B"), "another scorer than B of"),
    "header of table": (
        lambda root: deeplabcut(root, parts=(*NAMES, "tail")),
        "its header lacks tail of config.yaml",
    ),
    "columns": (
        lambda root: table(root, [("a.png", "")], [9], header="keypoint,tail_x"),
        "5 cells where the header has 6",
    ),
    "corners": (
        lambda root: coco(root, box=lambda low, high: [*low, *high]),
        "8 of 8 boxes reach beyond their images, by up to 19 px; are they written as left, top, right",
    ),
    "middles": (
        lambda root: coco(root, box=lambda low, high: [*((low + high) / 2), *(high - low)]),
        "8 of 8 boxes do not hold their points, by up to 6 px; are they written as the middle, width",
    ),
    "corners in shares": (
        lambda root: yolo(root, box=lambda low, high: [*low, *high]),
        "are they written as left, top, right and bottom?",
    ),
    "ids": (lambda root: coco(root, ids=(1, 2)), "the category mouse, with the ids 1 and 2"),
    "names": (
        lambda root: coco(root, names=("mouse", "Mouse")),
        "call the category Mouse and mouse, with the ids 1",
    ),
    "mirror": (
        lambda root: yolo(root, flip="[0, 1, 2]"),
        "left_ear becomes left_ear, and by its name right_ear",
    ),
    "recordings by name": (split_images("rec_", seeds=TWO), f"{SPLIT} (rec_)"),
    "recordings by number": (split_images("", seeds=TWO), f"{SPLIT} (by their pixels)"),
    "frames": (
        lambda root: video_table(root, (2, 5)),
        "stand on 5; do frames count from 1? --frames",
    ),
    "more frames": (lambda root: video_table(root, (0, 5)), "stand on 5; restore the video"),
    "larger images": (
        lambda root: table(root, [("a.png", ""), ("b.png", "")], [9, 20], by=2.0),
        "px: are they of larger images? --rescale-labels",
    ),
}
ALIKE = {
    "tables": deeplabcut,
    "boxes and ids": coco,
    "shares": yolo,
    "photographs": split_images("cat_", seeds=range(12)),
    "frames": lambda root: video_table(root, (0, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_two_statements_that_differ_are_named(tmp_path, case):
    make, words = CASES[case]
    make(tmp_path)
    project, faults = project_and_faults(tmp_path)
    assert words in " | ".join([*faults, *project.doubts])


@pytest.mark.parametrize("case", ALIKE)
def test_nothing_is_said_where_both_say_the_same(tmp_path, case):
    ALIKE[case](tmp_path)
    assert read_project(tmp_path).doubts == ()


def test_what_differs_is_read_as_its_tool_reads_it(tmp_path):
    deeplabcut(tmp_path / "dlc", moved=3.0)
    found = read_project(tmp_path / "dlc")
    np.testing.assert_allclose(found.instances[1].keypoints, points_of(1) + 3)
    coco(tmp_path / "coco", ids=(1, 2))
    found = read_project(tmp_path / "coco", category="mouse")
    assert len(found.instances) == 8
    coco(tmp_path / "corners", box=lambda low, high: [*low, *high])
    lengths = reference_lengths(read_project(tmp_path / "corners"))
    assert lengths.max() < 60  # 100 with what lies beyond the image
    video_table(tmp_path, (1, 5))
    found = read_project(tmp_path / "labels.csv", frames_from="1")
    assert [frame.name for frame in found.frames] == ["v.mp4/0", "v.mp4/4"]
    table(tmp_path / "large", [("a.png", "")], [9], by=2.0)
    found = read_project(tmp_path / "large", labelled_size="160x120")
    np.testing.assert_allclose(found.instances[0].keypoints, (points_of(0) * 2 + 0.5) / 2 - 0.5)


def test_marks_of_frames_without_an_animal_outrank_the_flag(tmp_path):
    sio = pytest.importorskip("sleap_io")
    skeleton = sio.Skeleton(list(NAMES))
    write_video(tmp_path / "v.mp4", [np.full((60, 80, 3), 9 * n, np.uint8) for n in range(7)])
    video = sio.Video(str(tmp_path / "v.mp4"), open_backend=False)  # to open it starts processes

    def frame(number, *animals, kind=sio.Instance, **more):
        instances = [kind.from_numpy(one, skeleton=skeleton) for one in animals]
        return sio.LabeledFrame(video, number, instances, **more)

    frames = [
        frame(0, points_of(0)),
        frame(1, is_negative=True),
        frame(2, np.full((3, 2), np.nan)),
        frame(3, points_of(3), is_negative=True),
        frame(4, points_of(4), kind=sio.PredictedInstance),
        frame(5),
    ]
    labels = sio.Labels(frames, [video], [skeleton], suggestions=[sio.SuggestionFrame(video, 6)])
    sio.save_slp(labels, str(tmp_path / "a.slp"), embed=False, verbose=False)
    found = read_project(tmp_path / "a.slp")
    assert (found.nobody, found.unlisted) == ({1, 2}, {4, 6})
    assert [
        words
        for words, doubt in zip(
            ("no visible point", "no animal, and labelled: v.mp4/3"), found.doubts, strict=True
        )
        if words in doubt
    ] == ["no visible point", "no animal, and labelled: v.mp4/3"]
    assert with_nobody(found).nobody == {1, 2, 5}
