"""python -m data: its list, and one line and exit code 2 for bad input."""

import io

import numpy as np
import pytest
from PIL import Image

from data import __main__ as command, human36m, human36m_videos, prepared, ut_zappos50k
from data.annotations import Annotation, split_records
from data.prepared import Card, Dataset, at_side, open_source, png, record
from kpjax.errors import InputError
from kpjax.images.transforms import Letterbox, Stretch
from kpjax.structures import Skeleton

SKELETON = Skeleton(("nose", "tail"), ((0, 1),), groups={"all": (0, 1)})


def splits_of_toys(folder):
    """Returns images named in a list, each with two points in the middle."""
    return {
        "train": (
            record(folder / name, [[4, 5], [np.nan, 0]], [1, 0], 7.0, name)
            for name in (folder / "list.txt").read_text().split()
        )
    }


TOYS = Dataset(
    "toy_animals",
    SKELETON,
    Card("Toys.", "from the toy shop", "free", "https://toys.example", "Toymaker, Toys, 2001."),
    splits_of_toys,
    lambda folder: [
        f"{name} is missing" for name in ("list.txt", "licence.txt") if not (folder / name).exists()
    ],
)


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Returns a downloaded folder of four images: RGB and grey JPEG, a PNG with transparency, a
    truncated one.
    """
    folder = tmp_path / "downloaded animals"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    Image.fromarray(noise).save(folder / "a.jpg")
    Image.fromarray(noise[..., 0]).save(folder / "b.jpg")
    Image.fromarray(noise).convert("RGBA").save(folder / "c.jpg", "PNG")
    (folder / "d.jpg").write_bytes((folder / "a.jpg").read_bytes()[:500])
    (folder / "list.txt").write_text("a.jpg b.jpg c.jpg d.jpg")
    (folder / "licence.txt").write_text("free")
    monkeypatch.setattr(prepared, "datasets", lambda: {"toy_animals": TOYS})
    return folder


def run(capsys, *arguments):
    """Returns (exit code, standard output, standard error) of one command."""
    code = command.main([str(argument) for argument in arguments])
    return (code, *capsys.readouterr())


def test_faults_are_one_line_and_exit_code_2(toys, tmp_path, capsys):
    (toys / "list.txt").unlink()
    (toys / "licence.txt").unlink()
    for arguments, said in (
        (["portraits"], "choose among toy_animals"),
        (["toy_animals"], "--manual-dir is missing"),
        (["toy_animals", "--manual-dir", tmp_path / "nowhere"], "nowhere is not a folder"),
        (
            ["toy_animals", "--manual-dir", toys],
            "2 faults: list.txt is missing; licence.txt is missing (from the toy",
        ),
    ):
        code, _, error = run(capsys, *arguments, "--data-dir", tmp_path)
        assert (code, error.count("\n")) == (2, 1)
        assert said in error
    for keypoint, scale, said in (
        (np.inf, 5.0, "keypoint 1 .* not finite"),
        (1, 0.0, ".*a positive reference length"),
    ):
        with pytest.raises(InputError, match=rf"x\.jpg: {said}"):
            record(b"", [[0, 0], [keypoint, 1]], [1, 1], scale, "x.jpg")


def test_broken_images_stop_or_are_left_out(toys, tmp_path, capsys):
    arguments = ["toy_animals", "--manual-dir", toys, "--data-dir", tmp_path / "prepared sets"]
    code, _, error = run(capsys, *arguments)
    assert code == 2
    assert "1 of 4 images cannot be read: d.jpg" in error
    with pytest.raises(InputError, match="nothing prepared"):
        open_source(TOYS, "train", data_dir=tmp_path / "prepared sets", transform=Letterbox(16))
    code, printed, _ = run(capsys, *arguments, "--on-bad-image", "skip")
    assert code == 0
    assert "3 in train" in printed
    assert "skipped 1 unreadable: d.jpg" in printed
    source = open_source(
        TOYS, "train", data_dir=tmp_path / "prepared sets", transform=Letterbox(16)
    )
    assert source.skeleton == SKELETON
    assert sorted(source.identity(index) for index in range(3)) == ["a.jpg", "b.jpg", "c.jpg"]
    assert source[0].visible.tolist() == [1, 0]


def test_a_png_that_is_damaged_within_is_left_to_the_builder(tmp_path):
    """Pillow raises a SyntaxError for the second piece of its pixels."""
    path, points = tmp_path / "broken.png", np.array([[9.0, 9], [99, 99]])
    Image.effect_noise((600, 590), 99).convert("RGB").save(path)
    head, mark, pixels = path.read_bytes().partition(b"IDAT")
    path.write_bytes(head + mark + pixels.replace(b"IDAT", b"\xffDAT", 1))
    one = Annotation(
        "one", path, points, np.ones(2, bool), cut=human36m.cut_person, box=np.array([0, 0, 99, 99])
    )
    for records in (
        split_records({"train": [one]})["train"],
        human36m_videos._records([one]),
        ut_zappos50k._records([path]),
    ):
        assert [found["image"] for found in records] == [path]


def test_a_set_prepared_at_a_size_lies_beside_the_other(toys, tmp_path, capsys):
    """Its shorter side is as asked for; labels move with the pixels, and runs cannot be resumed on
    the other set.
    """
    (toys / "list.txt").write_text("a.jpg c.jpg")  # of 20 x 30 pixels
    arguments = ["toy_animals", "--manual-dir", toys, "--data-dir", tmp_path]
    run(capsys, *arguments)
    code, printed, _ = run(capsys, *arguments, "--side", 10)
    assert code == 0
    assert f"--data-dir {tmp_path / 'side-10'}" in printed
    full, small = (
        open_source(TOYS, "train", data_dir=folder, transform=Stretch(10))
        for folder in (tmp_path, tmp_path / "side-10")
    )
    assert full.digest != small.digest
    for number in range(2):
        with Image.open(io.BytesIO(small.records[number]["image"])) as image:
            assert image.size == (10, 15)
            assert image.format == {"a.jpg": "JPEG", "c.jpg": "PNG"}[small.identity(number)]
        assert small.records[number]["scale"] == 3.5
        np.testing.assert_allclose(small[number].keypoints, full[number].keypoints, atol=1e-5)


def test_an_image_keeps_what_a_crop_shows_and_is_never_enlarged():
    """An object of 40 pixels in an image of 300 x 200, and labels over 60: half is left for crops
    of 20 pixels.
    """
    image = png(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    whole = record(
        image, [[100, 100], [160, 110], [np.nan, 0]], [1, 1, 0], 8.0, "one", box=(99.5, 80, 40, 30)
    )
    small = at_side(whole, 20)
    with Image.open(io.BytesIO(small["image"])) as opened:
        assert opened.size == (150, 100)
    np.testing.assert_allclose(small["keypoints"], [[49.75, 49.75], [79.75, 54.75], [0, 0]])
    np.testing.assert_allclose(small["box"], [49.5, 39.75, 20, 15])
    assert small["scale"] == 4
    assert {name: value.dtype for name, value in small.items() if name not in ("image", "id")} == {
        name: value.dtype for name, value in whole.items() if name not in ("image", "id")
    }
    assert at_side(whole, 40) is whole
