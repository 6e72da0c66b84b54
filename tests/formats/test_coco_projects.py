"""COCO files: the published conventions, the ones that are met in other sets, and the way back."""

import json
import unicodedata
from urllib.parse import quote

import numpy as np
import pytest
from damaging import black

from kpjax.errors import InputError
from kpjax.formats.reading import format_of, read_project


@pytest.fixture
def project(tmp_path):
    """Writes a COCO project with one image of 40x30, changed by `update`, and returns its file."""

    def write(
        *,
        path="labels.json",
        image="one.png",
        skeleton=(),
        keypoints=(10, 11, 2, 20, 21, 1, 0, 0, 0),
        names=("a", "b", "c"),
        **update,
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        black(tmp_path / image)
        content = {
            "images": [{"id": 7, "file_name": image.rpartition("/")[2], "width": 40, "height": 30}],
            "annotations": [
                {
                    "id": 31,
                    "image_id": 7,
                    "category_id": 3,
                    "keypoints": list(keypoints),
                    "iscrowd": 0,
                    "bbox": [5, 6, 20, 18],
                    "num_keypoints": 2,
                    "area": 360,
                }
            ],
            "categories": [
                {"id": 3, "name": "mouse", "keypoints": list(names), "skeleton": list(skeleton)}
            ],
        }
        (tmp_path / path).write_text(json.dumps(content | update))
        return tmp_path / path

    return write


def test_edges_count_from_one_or_from_zero_and_points_may_be_triples(project):
    for stored, edges in (
        ([[0, 1], [1, 2]], ((0, 1), (1, 2))),
        ([[1, 2], [2, 3]], ((0, 1), (1, 2))),
        ([[1, 2], [2, 4]], ((0, 1),)),
    ):
        assert read_project(project(skeleton=stored)).skeleton.edges == edges
    read = read_project(project(keypoints=([10, 11, 2], [20, 21, 2], [0, 0, 0])))
    np.testing.assert_array_equal(read.instances[0].keypoints[:2], [[10, 11], [20, 21]])
    with pytest.raises(InputError, match=r"'mouse', keypoints: .* where a list of names belongs"):
        read_project(project(names=()))


def test_regions_are_no_instances_and_their_images_stay(project):
    crowd = {"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 1, "keypoints": [1, 1, 2] * 3}
    empty = {"id": 2, "image_id": 7, "category_id": 3, "iscrowd": 0, "keypoints": [0] * 9}
    labelled = {
        "id": 3,
        "image_id": 7,
        "category_id": 3,
        "keypoints": [1, 1, 2] * 3,
        "track": "Ann",
    }
    read = read_project(project(annotations=[crowd, empty, labelled]))
    assert [one.track for one in read.instances] == ["Ann"]
    assert len(read.frames) == 1


def test_images_lie_below_one_folder_and_no_label_lands_on_another(project, tmp_path):
    """A stored path of another machine is shortened for all images alike, and the bare name never
    decides.
    """
    images = [
        {"id": n, "split": "Val", "file_name": f"C:\\data\\set\\{side}\\eye.png"}
        for n, side in enumerate(("left", "right"))
    ]
    path = project(
        path="annotations/labels.json",
        images=images,
        annotations=[
            {"id": n, "image_id": n, "category_id": 3, "keypoints": [n, n, 2] * 3} for n in (0, 1)
        ],
    )
    for side, width in (("left", 8), ("right", 9)):
        black(tmp_path / "images" / side / "eye.png", (width, 5))
        # first by name, with labels in the pixels
        black(tmp_path / "drawn" / side / "eye.png", (7, 5))
    read = read_project(path)
    assert [frame.size for frame in read.frames] == [(8, 5), (9, 5)]
    assert [frame.name for frame in read.frames] == ["images/left/eye.png", "images/right/eye.png"]
    assert [frame.session for frame in read.frames] == ["images/left", "images/right"]
    assert {frame.split for frame in read.frames} == {"validation"}
    for folder in ("drawn", "images"):
        (tmp_path / folder / "right" / "eye.png").unlink()
    with pytest.raises(InputError, match=r"1 fault: images/right/eye.png: the image is missing"):
        read_project(path)


def test_images_of_the_same_names_in_two_folders_are_a_doubt(project, tmp_path):
    """A copy with drawn labels came first by its name, and nobody was told."""
    path = project(image="annotated/one.png")
    black(tmp_path / "frames" / "one.png")
    (tmp_path / "links").symlink_to(tmp_path / "annotated")
    read = read_project(path)
    assert [frame.name for frame in read.frames] == ["annotated/one.png"]
    (doubt,) = read.doubts
    here, there = (f"{tmp_path.name}/{name}" for name in ("annotated", "frames"))
    assert f"images of these names are in {here}, and in {there}; those in {here} are" in doubt
    (tmp_path / "frames").rename(tmp_path / "images")
    read = read_project(path)
    assert [frame.name for frame in read.frames] == ["images/one.png"]
    assert not read.doubts


def test_a_fault_names_the_file_of_its_split(project, tmp_path):
    """Roboflow gives the files of all splits one name."""
    for split, flag in (("train", 2), ("valid", 9)):
        project(
            path=f"{split}/_annotations.coco.json",
            image=f"{split}/{split}.png",
            keypoints=(10, 11, flag) * 3,
        )
    with pytest.raises(InputError, match=r": valid/_annotations\.coco\.json, annotations\[0\]"):
        read_project(tmp_path)


@pytest.mark.parametrize(
    ("files", "images"),
    [
        (
            ["train/_annotations.coco.json", "valid/_annotations.coco.json"],
            ["train/a.jpg", "valid/b.jpg"],
        ),
        (
            ["annotations/people_train2017.json", "annotations/people_val2017.json"],
            ["train2017/a.png", "val2017/b.png"],
        ),
        (
            [
                "annotations/person_keypoints_Train.json",
                "annotations/person_keypoints_Validation.json",
            ],
            ["images/Train/frame_0.PNG", "images/Validation/frame_0.PNG"],
        ),
    ],
)
def test_splits_are_told_by_folders_or_files_and_equal_names_are_two_images(
    project, tmp_path, files, images
):
    """Both files count alike, and have a category without keypoints beside the mouse."""
    mouse = {"id": 3, "name": "mouse", "keypoints": ["nose", "LEar", "REar"]}
    for number, (file, stored) in enumerate(zip(files, images, strict=True)):
        project(
            path=file,
            image=stored,
            keypoints=(number, 6, 2, 20, 9, 2, 8, 8, 2),
            categories=[{"id": 0, "name": "mice"}, mouse],
        )
    assert format_of(tmp_path).name == "coco"
    read = read_project(tmp_path, pixels_from="0")
    assert [(frame.name, frame.split) for frame in read.frames] == list(
        zip(images, ("train", "validation"), strict=True)
    )
    assert [one.keypoints[0, 0] for one in read.instances] == [0, 1]
    assert read.skeleton.flip == (0, 2, 1)


def test_a_split_of_another_name_is_refused_and_no_video_is_no_recording(project):
    image = {"id": 7, "file_name": "one.png", "width": 40, "height": 30, "video_id": None}
    assert read_project(project(images=[image])).frames[0].session == ""
    with pytest.raises(
        InputError, match=r"image 7, split: 'holdout' where train, validation or test"
    ):
        read_project(project(images=[image | {"split": "holdout"}]))


@pytest.mark.parametrize(
    "stored",
    [
        quote("images/jour 1 é.png"),
        "/data/local-files/?d=" + quote("souris/jour 1 é.png"),
        unicodedata.normalize("NFD", "images/jour 1 é.png"),
    ],
)
def test_quoted_names_and_other_forms_of_unicode_are_found_and_hidden_files_are_not(
    project, stored
):
    path = project(
        image=unicodedata.normalize("NFC", "images/jour 1 é.png"),
        images=[{"id": 7, "file_name": stored}],
    )
    (path.parent / "._labels.json").write_bytes(path.read_bytes())
    assert [frame.name for frame in read_project(path.parent).frames] == ["images/jour 1 é.png"]


def test_a_category_is_chosen_by_name(project):
    categories = [
        {"id": n, "name": name, "keypoints": ["p"]} for n, name in enumerate(("cat", "dog"))
    ]
    annotations = [
        {"id": n, "image_id": 7, "category_id": n, "keypoints": [n, n, 2]} for n in (0, 1)
    ]
    path = project(categories=categories, annotations=annotations)
    with pytest.raises(
        InputError, match=r"'cow' is no name of one with keypoints.*'cat' \(1\), 'dog' \(1\)"
    ):
        read_project(path, category="cow")
    read = read_project(path, category="dog")
    np.testing.assert_array_equal(read.instances[0].keypoints, [[1, 1]])


def test_labels_of_a_resized_image_and_of_pixels_from_one(project):
    images = [{"id": 7, "file_name": "one.png", "width": 80, "height": 60}]
    path = project(images=images, keypoints=(79.5, 59.5, 2, 20, 21, 2, 0, 0, 0))
    read = read_project(path, rescale_labels=True)
    # A corner stays a corner: pixel centres are half a pixel inside.
    np.testing.assert_allclose(read.instances[0].keypoints[0], [39.5, 29.5])
    np.testing.assert_allclose(read.instances[0].box, [2.5, 3, 10, 9])
    # So does the first pixel of tools that count from one.
    path = project(keypoints=(40, 30, 2, 1, 1, 2, 0, 0, 0))
    assert any("`pixels_from`: some" in note for note in read_project(path).notes)
    read = read_project(path, pixels_from="1")
    np.testing.assert_array_equal(read.instances[0].keypoints[:2], [[39, 29], [0, 0]])
    np.testing.assert_array_equal(read.instances[0].box, [4, 5, 20, 18])
