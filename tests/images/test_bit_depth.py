"""Images and videos of 10, 12 and 16 bits, scaled by what they hold."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from kpjax.errors import InputError
from kpjax.formats.project_source import frames_at, read_frame
from kpjax.formats.reading import read_project
from kpjax.images.inputs import find_inputs
from kpjax.images.reading import common_depth, image_size, is_turned, read_image
from kpjax.images.video import _upright_pixels, open_video

EIGHT = np.random.default_rng(0).integers(0, 200, (20, 30), np.uint8)
EIGHT[3, 4] = 255


def deep(bits, eight=EIGHT):
    return eight.astype(np.uint16) << bits - 8


def write_coloured(path, values, codec="png", pixels="rgb48be"):
    """Writes (H, W, 3) uint16 as FFmpeg does."""
    context = av.codec.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = values.shape[1], values.shape[0], pixels
    context.time_base = Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(values, format="rgb48le").reformat(format=pixels)
    frame.pts = 0
    path.write_bytes(
        b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))
    )


def write_video_of(path, frames, pixels="gray16le"):
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], pixels
        for values in frames:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(values, format="gray16le").reformat(format=pixels)
                )
            )
        container.mux(stream.encode(None))


def test_what_pillow_reads_wrongly_is_refused(tmp_path):
    Image.fromarray(deep(16)).save(path := tmp_path / "grey.tif")
    # the tag, a short, one of them; 0: white is zero
    photometric = b"\x06\x01\x03\x00\x01\x00\x00\x00"
    assert path.read_bytes().count(photometric + b"\1") == 1
    path.write_bytes(path.read_bytes().replace(photometric + b"\1", photometric + b"\0"))
    with pytest.raises(InputError, match="with white as 0, cannot be read"):
        read_image(path)


@pytest.mark.parametrize(("rotation", "a", "d"), [(180, -1, 1), (0, 1, -1)])
def test_mirrored_videos_are_shown_as_players_do(rotation, a, d):
    frame = SimpleNamespace(
        rotation=rotation,
        side_data={"DISPLAYMATRIX": np.int32([a, 0, 0, 0, d, 0, 0, 0, 1])},
        to_ndarray=lambda format: EIGHT,
    )
    np.testing.assert_array_equal(_upright_pixels(frame), EIGHT[::d, ::a])


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_frame_image_and_video_are_the_eight_bits_that_they_hold(tmp_path, bits):
    colours = np.stack([EIGHT, EIGHT[::-1], EIGHT[:, ::-1]], -1)
    Image.fromarray(deep(bits)).save(tmp_path / "grey.png")
    write_coloured(tmp_path / "colours.png", deep(bits, colours))
    write_coloured(tmp_path / "colours.tif", deep(bits, colours), "tiff", "rgb48le")
    grey = np.repeat(EIGHT[..., None], 3, axis=-1)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), grey)
    np.testing.assert_array_equal(read_image(tmp_path / "colours.png"), colours)
    np.testing.assert_array_equal(read_image(tmp_path / "colours.tif"), colours)
    write_video_of(tmp_path / "grey.mkv", [deep(bits)])
    video = open_video(tmp_path / "grey.mkv")
    assert video.depth == bits
    np.testing.assert_array_equal(video[0], grey)
    np.testing.assert_array_equal(next(iter(video))[1], grey)


@pytest.mark.parametrize("bits", [10, 12])
def test_a_video_that_states_its_depth_is_scaled_by_it(tmp_path, bits):
    write_video_of(tmp_path / "grey.mkv", [deep(16)], f"gray{bits}le")
    image = open_video(tmp_path / "grey.mkv")[0]
    assert np.abs(image[..., 0].astype(int) - EIGHT).max() <= 1


def test_all_images_of_a_set_have_one_brightness(tmp_path):
    """A dark frame among bright ones stays dark: as a project, without labels, as input and as a
    folder of frames.
    """
    folder = tmp_path / "day"
    folder.mkdir()
    for name, values in (("0.png", deep(12) >> 4), ("1.png", deep(12))):
        Image.fromarray(values).save(folder / name)
    dark = np.repeat((EIGHT >> 4)[..., None], 3, axis=-1)
    (tmp_path / "labels.csv").write_text(
        "image,keypoint,x,y\nday/0.png,nose,1,2\nday/1.png,nose,1,2\n"
    )
    project = read_project(tmp_path)
    assert "images of 16 bits, values up to 4095 in use: read as 12 bits" in project.notes
    (sequence,) = find_inputs([folder])
    with pytest.raises(InputError, match="holds the inputs; name another folder"):
        find_inputs([folder], out=folder)
    # results into a folder above are no reason to call everything a result
    assert len(find_inputs([folder], out=folder.parent)) == 1
    files = [folder / "0.png", folder / "1.png"]
    for image in (
        read_frame(project.frames[0]),
        read_frame(frames_at([folder])[0]),
        next(iter(sequence))(),
        open_video(folder)[0],
        read_image(files[0], common_depth(files)),
    ):
        np.testing.assert_array_equal(image, dark)
    assert common_depth(files) == 12
    assert (read_image(folder / "0.png") > dark).any()


@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
def test_a_turned_image_has_the_size_of_its_pixels(tmp_path, suffix):
    """Pillow turns a TIFF file by itself, and gives its size as shown before that."""
    turned = Image.Exif()
    turned[0x0112] = 6
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(EIGHT).save(path, exif=turned)
    height, width = EIGHT.shape
    shown = read_image(path)
    assert shown.shape == (width, height, 3)
    if suffix != "jpg":
        np.testing.assert_array_equal(shown[..., 0], np.rot90(EIGHT, -1))
    assert image_size(path) == (height, width)
    assert is_turned(path, (width, height))


def test_an_image_that_is_too_large_is_refused_in_plain_words(tmp_path, monkeypatch):
    Image.new("RGB", (400, 300)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    for read in (read_image, image_size):
        with pytest.raises(
            InputError, match=r"large\.png: 0\.12 megapixels, and at most 0\.1 are read; save"
        ):
            read(tmp_path / "large.png")


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        (
            "stack.tif",
            lambda grey, path: grey.save(path, save_all=True, append_images=[grey] * 19),
            "20 images in one",
        ),
        (
            "float.tif",
            lambda grey, path: grey.convert("F").save(path),
            "floating-point values .*; save it with 8 or 16",
        ),
        (
            "wide.tif",
            lambda grey, path: Image.fromarray(EIGHT.astype(np.int32) << 10).save(path),
            "from 0 to 261120",
        ),
        (
            "signed.tif",
            lambda grey, path: Image.fromarray(EIGHT.astype(np.int32) - 50).save(path),
            "from -50 to 205",
        ),
    ],
)
def test_what_has_no_scale_or_is_not_one_image_is_refused(tmp_path, name, write, words):
    write(Image.fromarray(EIGHT), tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: .*{words}"):
        read_image(tmp_path / name)
    for read in (image_size, open_video) if name == "stack.tif" else ():
        with pytest.raises(InputError, match=words):
            read(tmp_path / name)


def test_every_other_mode_is_read_by_its_rule(tmp_path):
    grey = Image.fromarray(EIGHT)
    for mode, suffix in (
        ("L", "png"),
        ("P", "png"),
        ("LA", "png"),
        ("RGBA", "png"),
        ("I;16", "png"),
        ("I", "tif"),
        ("CMYK", "tif"),
        ("YCbCr", "tif"),
    ):
        path = tmp_path / f"{mode.replace(';', '')}.{suffix}"
        (
            Image.fromarray(deep(16))
            if mode == "I;16"
            else grey.convert("RGB" if mode in ("CMYK", "YCbCr") else "L").convert(mode)
        ).save(path)
        assert np.abs(read_image(path)[..., 0].astype(int) - EIGHT).max() <= 1, mode
    grey.point(lambda value: 255 * (value > 100)).convert("1").save(tmp_path / "two.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "two.png")[..., 1], np.where(EIGHT > 100, 255, 0)
    )
    pages = [grey, grey.resize((15, 10))]
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    grey.save(tmp_path / "preview.tif", save_all=True, append_images=pages[1:], tiffinfo={254: 0})
    np.testing.assert_array_equal(read_image(tmp_path / "preview.tif")[..., 0], EIGHT)
    small = grey.convert("RGB").resize((15, 10))
    grey.convert("RGB").save(
        tmp_path / "camera.jpg", "MPO", save_all=True, append_images=[small], quality=100
    )
    assert image_size(tmp_path / "camera.jpg") == (30, 20)
    assert np.abs(read_image(tmp_path / "camera.jpg")[..., 0].astype(int) - EIGHT).max() <= 4
