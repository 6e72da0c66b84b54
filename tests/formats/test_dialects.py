"""One kind of labels as several tools write it: where the first pixel is, how splits are named, who
labelled what, and whether the video is still the one that was labelled.
"""

import json

import numpy as np
import pytest
from damaging import black, make_ultralytics

from kpjax.errors import InputError
from kpjax.formats import deeplabcut, sleap
from kpjax.formats.prediction_reading import read_predictions
from kpjax.formats.project import Report
from kpjax.formats.reading import format_of, project_and_faults, read_project
from kpjax.formats.tables import read_table
from kpjax.images.video import write_video

SIZE = (40, 20)
POINTS = np.array([[10.0, 5.0], [30.0, 15.0]])  # as clicked, from the corner of the image
NAMES = ("nose", "tail")


def region(kind, identity, place, label):
    """A region of Label Studio on an image of `SIZE`."""
    value = {"x": place[0] / SIZE[0] * 100, "y": place[1] / SIZE[1] * 100, kind: [label]}
    return {
        "original_width": SIZE[0],
        "original_height": SIZE[1],
        "id": identity,
        "type": kind,
        "value": value,
    }


def clicked(points, **more):
    """An annotation of Label Studio."""
    regions = (region("keypointlabels", str(k), point, NAMES[k]) for k, point in enumerate(points))
    return {"result": list(regions), **more}


def label_studio(root, *annotations):
    """Writes an export 'JSON' of one image."""
    black(root / "images" / "a.png", SIZE)
    task = {"data": {"image": "/data/upload/4/a.png"}, "annotations": list(annotations)}
    (root / "export.json").write_text(json.dumps([task]))


def coco(root, *, image="a.png", file="labels.json", **more):
    """Writes a COCO file with the points of one animal."""
    black(root / "images" / image, SIZE)
    points = [value for x, y in POINTS.tolist() for value in (x, y, 2)]
    content = {
        "images": [{"id": 1, "file_name": image, "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": points}],
        "categories": [{"id": 1, "name": "mouse", "keypoints": NAMES, "skeleton": []}],
    }
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(json.dumps(content | more))


def yolo(root, yaml, *, image="images/train/a.png", flags=(2, 2), file="data.yaml"):
    """Writes a folder of Ultralytics with the points of one animal."""
    black(root / image, SIZE)
    shares = " ".join(f"{x} {y} {flag}" for (x, y), flag in zip(POINTS / SIZE, flags, strict=True))
    labels = (root / image.replace("images", "labels")).with_suffix(".txt")
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text(f"0 0.5 0.5 0.5 0.5 {shares}\n")
    (root / file).write_text(f"{yaml}\nkpt_shape: [2, 3]\nnames: {{0: mouse}}\n")


def labelme(root, shapes):
    black(root / "a.png", SIZE)
    (root / "a.json").write_text(
        json.dumps(
            {
                "version": "5.5.0",
                "imagePath": "a.png",
                "imageData": None,
                "imageHeight": SIZE[1],
                "imageWidth": SIZE[0],
                "shapes": [
                    {
                        "label": label,
                        "points": np.asarray(points).tolist(),
                        "group_id": group,
                        "shape_type": kind,
                    }
                    for kind, label, points, group in shapes
                ],
            }
        )
    )


def deeplabcut_project(root):
    """Writes a project of one image."""
    black(root / "labeled-data" / "v" / "a.png", SIZE)
    (root / "config.yaml").write_text("scorer: A\nbodyparts: [nose]\n")
    (root / "labeled-data" / "v" / "CollectedData_A.csv").write_text(
        "scorer,A,A\nbodyparts,nose,nose\ncoords,x,y\nlabeled-data/v/a.png,4,5\n"
    )


# Where the first pixel is

FROM_CORNER = {
    "Label Studio": [
        lambda root: label_studio(root, clicked(POINTS)),
        lambda root: coco(root, info={"contributor": "Label Studio"}),
        lambda root: coco(root, image="cb0618f0-a.png"),
    ],
    "CVAT": [
        lambda root: coco(root, file="annotations/person_keypoints_default.json"),
    ],
    "Roboflow": [
        lambda root: coco(root, info={"description": "Exported from roboflow.com"}),
        lambda root: coco(root, image="a_png.rf.0123456789abcdef0123456789abcdef.jpg"),
    ],
    "LabelMe": [
        lambda root: labelme(
            root, [("point", NAMES[k], POINTS[k : k + 1], None) for k in range(2)]
        ),
    ],
}
FROM_CENTRE = [
    lambda root: coco(root),
    lambda root: coco(
        root,
        file="annotations/person_keypoints_val2017.json",
        info={"contributor": "COCO Consortium"},
    ),
    lambda root: coco(root, file="person_keypoints_val2017.json"),
]


@pytest.mark.parametrize(
    ("tool", "make"),
    [(tool, make) for tool, makes in FROM_CORNER.items() for make in makes]
    + [("", make) for make in FROM_CENTRE]
    + [("shares of a width and height", lambda root: yolo(root, "train: images/train"))],
)
def test_the_same_clicks_are_the_same_points_in_all_exports_of_a_tool(tmp_path, tool, make):
    make(tmp_path)
    found = read_project(tmp_path)
    np.testing.assert_allclose(found.instances[0].keypoints, POINTS - (0.5 if tool else 0))
    where = f"the corner of the first, as {tool} do" if tool else "the centre of the first"
    assert any(f"pixels count from {where}" in note for note in found.notes)
    for stated in ("0", "0.5", "1"):  # once, whatever the tool does
        found = read_project(tmp_path, pixels_from=stated)
        np.testing.assert_allclose(found.instances[0].keypoints, POINTS - float(stated))
        assert not any("pixels count" in note for note in found.notes)


def test_labels_clipped_at_an_edge_do_not_count_from_one(tmp_path):
    black(tmp_path / "a.png", SIZE)
    asked = []
    for x in (3, 3.25):
        (tmp_path / "labels.csv").write_text(
            f"image,nose_x,nose_y,tail_x,tail_y\na.png,{x},5,40,6\n"
        )
        asked.append(any("do pixels count from 1?" in one for one in read_project(tmp_path).notes))
    assert asked == [True, False]


# Ultralytics


@pytest.mark.parametrize(
    ("yaml", "image", "lists", "split"),
    [
        (
            "Train: Train.txt\npath: .\nskeleton: [[0, 1], [1]]\ntask: pose",
            "images/Train/a.png",
            {"Train.txt": "data/images/Train/a.png"},
            "train",
        ),
        ("train: ../train/images", "train/images/a.png", {}, "train"),
        ("path: /content/datasets/x\nVALID: valid/images", "valid/images/a.png", {}, "validation"),
        (
            "val: val.txt",
            "valid/images/a.png",
            {"val.txt": "C:\\x\\valid\\images\\a.png"},
            "validation",
        ),
        ("train: [images/train, images/more]", "images/train/a.png", {}, "train"),
        (
            "default: default.txt",
            "images/default/a.png",
            {"default.txt": "images/default/a.png"},
            "",
        ),
    ],
)
def test_each_dialect_of_ultralytics_is_read(tmp_path, yaml, image, lists, split):
    yolo(tmp_path, yaml, image=image, file="tiger.yaml")
    (tmp_path / "images" / "more").mkdir(parents=True, exist_ok=True)
    (tmp_path / "yolov8-pose.yaml").write_text("kpt_shape: [17, 3]\nbackbone:\n  - [-1, 1]\n")
    for name, lines in lists.items():
        (tmp_path / name).write_text(lines + "\n")
    found = read_project(tmp_path)
    assert [(frame.name, frame.split) for frame in found.frames] == [(image, split)]
    np.testing.assert_allclose(found.instances[0].keypoints, POINTS, atol=0.51)


def test_what_ultralytics_names_twice_is_taken_once_and_hidden_points_are_left_out(tmp_path):
    yolo(tmp_path, "train: images/train\nval: images/train", flags=(-1, 2))
    found = read_project(tmp_path)
    assert [frame.split for frame in found.frames] == ["train"]
    assert any(note.startswith("val: 1 image of an earlier split") for note in found.notes)
    np.testing.assert_array_equal(found.instances[0].visible, [0, 1])


def test_a_key_that_was_not_read_is_named(tmp_path):
    yolo(tmp_path, "training_images: gone.txt", image="elsewhere/images/a.png")
    _, faults = project_and_faults(tmp_path)
    assert len(faults) == 1
    assert "no image is found by its keys training_images: gone.txt" in faults[0]
    assert "no frame in it" not in faults[0]


def test_a_listed_image_that_is_missing_is_named(tmp_path):
    make_ultralytics(tmp_path)
    (tmp_path / "train.txt").write_text("images/train/a.png\nimages/train/gone.png\n")
    text = (tmp_path / "data.yaml").read_text().replace("train: images/train", "train: train.txt")
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"gone.png: the image is missing"):
        read_project(tmp_path)


def test_of_several_projects_in_a_folder_none_is_taken(tmp_path):
    for name in ("one", "two"):
        yolo(tmp_path / name, "train: images/train")
    with pytest.raises(InputError, match=r"2 yaml files with kpt_shape .* name one"):
        read_project(tmp_path)
    yolo(tmp_path, "train: images/train", file="mice.yml")
    assert read_project(tmp_path).root == tmp_path


# Names of files in capitals, and in other folders


@pytest.mark.parametrize(
    ("make", "name", "there"),
    [
        (lambda root: coco(root, file="export/labels.json"), "export/labels.json", "."),
        (lambda root: label_studio(root, clicked(POINTS)), "export.json", "."),
        (lambda root: yolo(root, "train: images/train"), "data.yaml", "."),
        (lambda root: labelme(root, [("point", "nose", [[3, 4]], None)]), "a.json", "."),
        (lambda root: deeplabcut_project(root), "labeled-data/v/CollectedData_A.csv", "."),
        (lambda root: deeplabcut_project(root), "", "labeled-data/v"),
        (lambda root: deeplabcut_project(root), "", "labeled-data"),
    ],
)
def test_a_file_in_capitals_is_found_and_a_project_by_its_folders(tmp_path, make, name, there):
    make(tmp_path)
    known, path = format_of(tmp_path), tmp_path / name
    if name:
        path.rename(path.with_suffix(path.suffix.upper()))
    found = read_project(tmp_path / there)
    assert (found.format, len(found.instances)) == (known.name, 1)


def test_a_folder_of_deeplabcut_without_its_config_is_named(tmp_path):
    deeplabcut_project(tmp_path)
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"config.yaml, which DeepLabCut writes beside it, is not"):
        read_project(tmp_path)


def test_images_of_labelme_lie_beside_the_folder_of_its_files(tmp_path):
    labelme(tmp_path / "json" / "day1", [("point", "nose", [[3, 4]], None)])
    file = tmp_path / "json" / "day1" / "a.json"
    file.write_text(file.read_text().replace('"a.png"', r'"..\\..\\images\\day1\\a.png"'))
    (tmp_path / "images" / "day1").mkdir(parents=True)
    file.with_name("a.png").rename(tmp_path / "images" / "day1" / "a.png")
    assert [frame.name for frame in read_project(tmp_path).frames] == ["images/day1/a.png"]
    with pytest.raises(InputError, match=r"outside the project's .*; .* name a folder that holds"):
        read_project(tmp_path / "json")


# Label Studio


def test_a_task_without_an_image_is_named(tmp_path):
    label_studio(tmp_path, clicked(POINTS))
    text = (tmp_path / "export.json").read_text()
    (tmp_path / "export.json").write_text(
        text.replace('"image": "/data/upload/4/a.png"', '"video": "a.mp4"')
    )
    with pytest.raises(InputError, match="task None: there is no image in it, only video"):
        read_project(tmp_path)


def test_of_two_annotators_the_true_one_is_read_or_a_doubt_says_how_far_they_are_apart(tmp_path):
    right, wrong, cancelled = clicked(POINTS), clicked(POINTS + (3, 4)), clicked(POINTS + 1)
    cancelled["was_cancelled"] = True
    label_studio(tmp_path, cancelled, wrong, right | {"ground_truth": True})
    found = read_project(tmp_path)
    np.testing.assert_allclose(found.instances[0].keypoints, POINTS - 0.5)
    assert found.doubts == ()
    assert any("the ground truth is read" in note for note in found.notes)
    label_studio(tmp_path, cancelled, wrong, right)
    found = read_project(tmp_path)
    np.testing.assert_allclose(found.instances[0].keypoints, POINTS + (2.5, 3.5))
    assert "5.0 px apart" in found.doubts[0]
    assert found.doubts[0] in found.notes


# LabelMe, and tools that are not read


def test_labelme_tells_animals_apart_by_groups(tmp_path):
    labelme(
        tmp_path,
        [
            ("point", "nose", [[3, 4]], 0),
            ("point", "tail", [[5, 6]], 1),
            ("rectangle", "mouse", [[9, 9], [1, 2]], 0),
            ("rectangle", "mouse", [[20, 0], [30, 10]], None),
            ("point", "nose", [[21, 2]], None),
            ("polygon", "cage", [[1, 1], [2, 2], [3, 1]], None),
        ],
    )
    found = read_project(tmp_path)
    assert found.format == "labelme"
    np.testing.assert_array_equal(
        [one.keypoints[k] for one, k in zip(found.instances, (0, 1, 0), strict=True)],
        [[2.5, 3.5], [4.5, 5.5], [20.5, 1.5]],
    )
    np.testing.assert_array_equal(found.instances[0].box, [1, 2, 8, 7])
    np.testing.assert_array_equal(found.instances[2].box, [20, 0, 10, 10])
    assert any("left out: 1 polygon" in note for note in found.notes)
    labelme(tmp_path, [("point", "nose", [[3, 4]], None)] * 2)
    with pytest.raises(InputError, match=r"a.json: 'nose' occurs twice; tell animals apart"):
        read_project(tmp_path)
    rectangles = [("rectangle", "mouse", [[at, 0], [at + 9, 10]], None) for at in (0, 20)]
    points = [("point", "nose", [[3, 4]], None), ("point", "tail", [[25, 4]], None)]
    for groups in ((None, None), (1, 2)):
        boxes = [(*one[:3], group) for one, group in zip(rectangles, groups, strict=True)]
        labelme(tmp_path, [*boxes, *points])
        with pytest.raises(InputError, match=r"a.json: several rectangles for the same points"):
            read_project(tmp_path)


def test_a_fault_names_the_folder_of_its_file(tmp_path):
    """Files of two folders often have one name."""
    for day, count in (("day1", 1), ("day2", 2)):
        labelme(tmp_path / "json" / day, [("point", "nose", [[3, 4]], None)] * count)
    with pytest.raises(InputError, match=r"day2/a\.json: 'nose' occurs twice"):
        read_project(tmp_path / "json")
    make_ultralytics(tmp_path / "yolo")
    (tmp_path / "yolo" / "labels" / "val" / "a.txt").write_text("0 0.5 0.5\n")
    with pytest.raises(InputError, match=r"labels/val/a\.txt line 1: 3 numbers where 5 \+ 2 x 3"):
        read_project(tmp_path / "yolo")


def test_two_files_of_labelme_about_one_image_are_refused(tmp_path):
    labelme(tmp_path, [("point", "nose", [[3, 4]], None)])
    (tmp_path / "b.json").write_bytes((tmp_path / "a.json").read_bytes())
    with pytest.raises(InputError, match=r"a.png: it is listed twice, also as a.png; join"):
        read_project(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("annotations.xml", "<annotations><version>1.1</version></annotations>"),
        ("a.pts", "version: 1\nn_points:  1\n{\n4 5\n}\n"),
        ("via.csv", "filename,file_size,file_attributes,region_count\n"),
        ("data.yaml", "train: images\nnames: [mouse]\n"),
    ],
)
def test_labels_of_a_tool_that_is_not_read_are_told_the_way_to_take(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="not a known annotation project"):
        format_of(tmp_path)


# Videos that are others now


def test_a_video_that_was_cut_after_labelling_is_a_doubt(tmp_path):
    sio = pytest.importorskip("sleap_io")
    write_video(tmp_path / "a.mp4", [np.zeros((20, 40, 3), np.uint8)] * 3, rate=10)
    metadata = {"shape": [5, 20, 40, 3], "filename": "a.mp4"}
    video = sio.Video(filename="a.mp4", backend_metadata=metadata, open_backend=False)
    skeleton = sio.Skeleton(list(NAMES))
    frame = sio.LabeledFrame(video, 0, [sio.Instance.from_numpy(POINTS, skeleton=skeleton)])
    labels = sio.Labels([frame], videos=[video], skeletons=[skeleton])
    sio.save_slp(labels, str(tmp_path / "a.slp"), embed=False, verbose=False)
    found = read_project(tmp_path)
    assert found.lengths == {tmp_path / "a.mp4": 5}
    assert found.doubts[0].startswith("a.mp4 has 3 frames, and had 5 when it was labelled")
    write_video(tmp_path / "a.mp4", [np.zeros((20, 40, 3), np.uint8)] * 5, rate=10)
    assert read_project(tmp_path).doubts == ()


def test_two_changed_videos_of_one_name_are_two_doubts(tmp_path):
    sio = pytest.importorskip("sleap_io")
    skeleton, videos = sio.Skeleton(list(NAMES)), []
    for day in ("day1", "day2"):
        (tmp_path / day).mkdir()
        write_video(tmp_path / day / "a.mp4", [np.zeros((20, 40, 3), np.uint8)] * 3, rate=10)
        metadata = {"shape": [5, 20, 40, 3], "filename": f"{day}/a.mp4"}
        videos.append(
            sio.Video(filename=f"{day}/a.mp4", backend_metadata=metadata, open_backend=False)
        )
    frames = [
        sio.LabeledFrame(video, 0, [sio.Instance.from_numpy(POINTS, skeleton=skeleton)])
        for video in videos
    ]
    labels = sio.Labels(frames, videos=videos, skeletons=[skeleton])
    sio.save_slp(labels, str(tmp_path / "a.slp"), embed=False, verbose=False)
    doubts = read_project(tmp_path).doubts
    named = [doubt.split(" has ")[0] for doubt in doubts if "and had" in doubt]
    assert named == ["day1/a.mp4", "day2/a.mp4"]


def test_nwb_states_the_shape_of_its_videos(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        series = file.create_group("acquisition/a")
        series["external_file"], series["dimension"] = ["/films/a.mp4"], [40, 20]
        series["num_samples"] = np.uint32(7)
    assert sleap._shapes_in_nwb(tmp_path / "a.nwb") == {"/films/a.mp4": (7, 20, 40, 3)}


@pytest.mark.parametrize(
    ("crop", "video", "words"),
    [
        (
            "4, 44, 6, 26",
            (48, 64),
            "images are a crop of the video, by config.yaml; predict the video",
        ),
        ("4, 44, 6, 26", None, "--crop 4,44,6,26"),
        ("0, 40, 0, 20", (48, 64), "--crop 0,40,0,20"),
        ("0, 64, 0, 48", (48, 64), "images are 40x20, and the video is 64x48"),
        ("0, 64, 0, 48", (48, 64), "--crop 4,44,6,26 of all"),
        ("0, 40, 0, 20", (20, 40), ""),
        ("", (20, 40), ""),
    ],
)
def test_images_that_are_crops_of_their_video_are_a_doubt(tmp_path, crop, video, words):
    home = tmp_path / "labeled-data" / "a"
    black(home / "img0002.png", SIZE)
    (home / "CollectedData_A.csv").write_text(
        "scorer,,,A,A\nbodyparts,,,nose,nose\ncoords,,,x,y\nlabeled-data,a,img0002.png,3,4\n"
    )
    sets = f"video_sets: {{'C:\\videos\\a.mp4': {{crop: '{crop}'}}}}\n" if crop else ""
    if of_all := words.endswith(" of all"):
        sets += "cropping: true\nx1: 4\nx2: 44\ny1: 6\ny2: 26\n"
    (tmp_path / "config.yaml").write_text(f"{sets}scorer: A\nbodyparts: [nose]\n")
    if video:
        (tmp_path / "videos").mkdir()
        frames = [np.zeros((*video, 3), np.uint8)] * 3
        write_video(tmp_path / "videos" / "a.mp4", frames, rate=10)
    doubts = read_project(tmp_path).doubts
    assert len(doubts) == bool(words)
    assert words.removesuffix(" of all" * of_all) in "".join(doubts)
    if video:
        write_video(tmp_path / "videos" / "a.mp4", frames[:2], rate=10)
        doubts = read_project(tmp_path).doubts
        assert "called after frame 2, and the video has 2 frames" in doubts[-1]


# Tables with DeepLabCut's header


def test_lightning_pose_with_a_config_is_no_project_of_deeplabcut(tmp_path):
    black(tmp_path / "labeled-data" / "a" / "img0.png", SIZE)
    (tmp_path / "CollectedData.csv").write_text(
        "scorer,lp,lp\nbodyparts,nose,nose\ncoords,x,y\nlabeled-data/a/img0.png,3,4\n"
    )
    for more in ("training:\n  seed: 0\n", ""):
        (tmp_path / "config.yaml").write_text(f"data:\n  keypoint_names: [nose]\n{more}")
        for path in (tmp_path, tmp_path / "config.yaml"):
            assert format_of(path).name == "lightning_pose"
    np.testing.assert_array_equal(read_project(tmp_path).instances[0].keypoints, [[3, 4]])
    (tmp_path / "config.yaml").write_text("scorer: A\nbodyparts: [nose]\n")
    assert deeplabcut.projects_at(tmp_path) == [tmp_path]


def test_empty_columns_of_a_spreadsheet_are_no_points(tmp_path):
    path, faults = tmp_path / "a.csv", []
    path.write_text(
        "scorer,A,A,,A,A,,\nbodyparts,nose,nose,,tail,tail,,\ncoords,x,y,,x,y,,\na.png,1,2,,3,4,,\n"
    )
    table = read_table(path, Report("a.csv", faults, []))
    assert (table.points, faults) == ((("", "nose"), ("", "tail")), [])
    np.testing.assert_array_equal(table.values, [[[1, 2], [3, 4]]])
    path.write_text("scorer,A,A,A\nbodyparts,nose,nose,nos\ncoords,x,y,y\na.png,1,2,3\n")
    with pytest.raises(InputError, match="must name x and y of each part"):
        read_table(path, Report("a.csv", faults, []))


def test_the_only_key_of_an_h5_is_the_table_whatever_its_name(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    header = [("A", "nose", "x"), ("A", "nose", "y")]
    columns = pandas.MultiIndex.from_tuples(header, names=["scorer", "bodyparts", "coords"])
    frame = pandas.DataFrame([[1.0, 2.0]], index=["a.png"], columns=columns)
    frame.to_hdf(tmp_path / "a.h5", key="keypoints", mode="w")
    np.testing.assert_array_equal(
        read_table(tmp_path / "a.h5", Report("a.h5", [], [])).values, [[[1, 2]]]
    )
    frame.to_hdf(tmp_path / "a.h5", key="other", mode="a")
    with pytest.raises(InputError, match=r"a\.h5"):
        read_table(tmp_path / "a.h5", Report("a.h5", [], []))


# Predictions of other tools


def table(path, animals, parts, coordinates, frames=3):
    """Writes rows that count up, behind DeepLabCut's header."""
    columns = [(a, p, c) for a, p in zip(animals, parts, strict=True) for c in coordinates]
    rows = [["scorer", *("A" for _ in columns)]]
    rows += [["individuals", *(a for a, *_ in columns)]] * any(animals)
    rows += [["bodyparts", *(p for _, p, _ in columns)], ["coords", *(c for *_, c in columns)]]
    rows += [[n, *(n + k for k in range(len(columns)))] for n in range(frames)]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")


def test_columns_behind_the_likelihood_are_left_out_as_of_eks(tmp_path):
    more = ("x_ens_median", "y_ens_median", "x_ens_var", "y_ens_var")
    table(tmp_path / "a.csv", ("", ""), NAMES, ("x", "y", "likelihood", *more))
    (found,) = read_predictions(tmp_path / "a.csv")
    np.testing.assert_array_equal(found.keypoints[1, 0], [[1, 2], [8, 9]])
    np.testing.assert_array_equal(found.scores[1, 0], [3, 10])


def test_corners_of_a_cage_are_no_predicted_animal(tmp_path):
    path = tmp_path / "aDLC_x_el.csv"
    table(path, ("m1", "m2", "single"), ("nose", "nose", "corner"), ("x", "y", "likelihood"))
    (found,) = read_predictions(path)
    assert (found.instances, found.skeleton.names) == (("m1", "m2"), ("nose",))
    assert "corner" in found.notes[0]


def test_predictions_of_sleap_as_csv(tmp_path):
    pytest.importorskip("sleap_io")
    (tmp_path / "sleap.csv").write_text(
        "track,frame_idx,instance.score,nose.x,nose.y,nose.score,tail.x,tail.y,tail.score\n"
        + "".join(
            f"m{a},{n},0.9,{100 * a + n},{100 * a + n + 1},0.{5 + a},{100 * a + n + 10},"
            f"{100 * a + n + 11},0.{5 + a}\n"
            for n in range(3)
            for a in (1, 2)
        )
    )
    (found,) = read_predictions(tmp_path / "sleap.csv")
    assert (found.instances, found.skeleton.names) == (("m1", "m2"), NAMES)
    np.testing.assert_array_equal(found.numbers, range(3))
    np.testing.assert_array_equal(
        found.keypoints[2], [[[102, 103], [112, 113]], [[202, 203], [212, 213]]]
    )
    np.testing.assert_allclose(found.scores[0], [[0.6, 0.6], [0.7, 0.7]])
    assert found.source == tmp_path / "sleap.mp4"
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"no column keypoint.*EKS or SLEAP, or COCO"):
        read_predictions(tmp_path / "other.csv")
