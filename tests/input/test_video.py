"""Videos are numbered by their time stamps; what does not decode is named, counted, and shifts
nothing.
"""

import shutil
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from kpjax.errors import InputError
from kpjax.images import video as video_module
from kpjax.images.inputs import find_inputs
from kpjax.images.transforms import Letterbox
from kpjax.images.video import find_videos, open_video, write_video
from kpjax.input import video_source
from kpjax.input.video_source import read_videos

WIDTH, HEIGHT, BLOCK = 64, 48, 16
NOISE = np.random.default_rng(0).integers(0, 40, (60, HEIGHT, WIDTH, 3), np.uint8)


def numbered_frame(number):
    """A noisy image that says its number: eight blocks, black or white, in the upper half."""
    image = 40 + NOISE[number % len(NOISE)]
    for bit in range(8):
        row, column = divmod(bit, 4)
        image[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = 255 * (
            number >> bit & 1
        )
    return image


def encoded(path, suffix_options=None, codec="libx264", rate=30, pixels="yuv420p", **options):
    """60 numbered frames, written with options of the container and of the codec."""
    with av.open(path, "w", options=suffix_options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, pixels, options
        for number in range(60):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24"))
            )
        container.mux(stream.encode())
    return path


def said(image):
    """The number that an image says."""
    middle = image[BLOCK // 2 : 2 * BLOCK : BLOCK, BLOCK // 2 :: BLOCK].mean(-1).ravel() > 128
    return sum(int(white) << bit for bit, white in enumerate(middle))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def clip(folder):
    """60 frames: 40 at 1/30 s, then 20 at 1/10 s; B-frames."""
    times = np.concatenate([np.arange(40) / 30, 40 / 30 + np.arange(20) / 10])
    return write_video(folder / "clip.mp4", map(numbered_frame, range(60)), times=times), times


def test_a_title_that_is_no_utf8_does_not_hide_a_video(tmp_path):
    path = tmp_path / "title.mkv"
    with av.open(path, "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(0), format="rgb24")))
        container.mux(stream.encode())
    written = path.read_bytes()
    assert written.count(b"TITLE") == 1
    path.write_bytes(written.replace(b"TITLE", b"\xe9t\xe9\xff."))
    assert [number for number, _ in open_video(path)] == [0]


def test_a_name_with_a_colon_is_no_protocol(clip, tmp_path, monkeypatch):
    shutil.copy(clip[0], tmp_path / "12:30.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(open_video("12:30.mp4")) == 60


def test_some_frames_are_those_of_all(clip):
    video = open_video(clip[0])
    every = dict(video)
    some = dict(video.only({3, 40, 59}))
    assert list(some) == [3, 40, 59]
    for number, image in some.items():
        np.testing.assert_array_equal(image, every[number])
    assert not dict(video.only(()))
    places = dict(replace(video, stamps="none").only({3, 59}))  # by the order of decoding
    np.testing.assert_array_equal(places[59], every[59])


def test_some_frames_of_a_folder(tmp_path):
    for number in range(5):
        Image.new("RGB", (8, 8), (40 * number,) * 3).save(tmp_path / f"{number}.png")
    found = dict(open_video(tmp_path).only({4, 1, 9}))
    assert [(number, image[0, 0, 0]) for number, image in found.items()] == [(1, 40), (4, 160)]


def test_reading_ends_where_memory_would(clip, monkeypatch):
    seen = []

    def square(*parts):
        seen.append(parts)
        return Letterbox(16)(*parts)

    monkeypatch.setattr(video_source, "LIMIT", 10 * 16 * 16 * 3)
    with pytest.raises(InputError, match="GB of frames; keep fewer with every=2"):
        read_videos([open_video(clip[0])], square)
    assert len(seen) == 11


def test_frames_have_their_numbers_and_times_at_a_variable_rate(clip):
    video = open_video(clip[0])
    assert (len(video), video.size, video.cut_off) == (60, (WIDTH, HEIGHT), 0)
    np.testing.assert_allclose(video.times, clip[1], atol=1e-4)
    read = list(video)
    assert [number for number, _ in read] == list(range(60))
    assert [said(image) for _, image in read] == list(range(60))
    for number in (59, 0, 33, 41, 7):
        np.testing.assert_array_equal(video[number], read[number][1])
    error = np.abs(read[5][1].astype(int) - numbered_frame(5)).mean()
    assert error < 12  # RGB as it was written, but for the codec


@pytest.fixture(scope="module")
def broken(folder):
    """60 frames with a key frame every 12, and zeros over some bytes in the middle."""
    path = encoded(folder / "broken.mp4", g="12")
    content = bytearray(path.read_bytes())
    begin = content.index(b"mdat") + len(content) // 3
    content[begin : begin + 800] = bytes(800)
    path.write_bytes(content)
    return path


def test_broken_frames_are_gaps_or_left_out_and_the_others_keep_their_numbers(
    folder, clip, broken, capsys
):
    video = open_video(broken)
    assert len(video) == 60
    read = list(video)
    bad = [number for number, image in read if image is None]
    assert 0 < len(bad) < 40
    assert 0 not in bad
    # until the next key frame, damage may also show without being noticed
    whole = (max(bad) // 12 + 1) * 12
    assert whole < 60
    assert [said(image) for number, image in read if number >= whole] == list(range(whole, 60))
    assert said(video[59]) == 59
    whole = encoded(folder / "index_first.mp4", {"movflags": "faststart"}).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    cut = open_video(folder / "cut.mp4")
    assert 0 < cut.cut_off == 60 - len(cut) < 60
    with pytest.raises(InputError, match=f"cut.mp4: the file ends {cut.cut_off} frames early"):
        read_videos([cut], Letterbox(16))
    for call in (lambda: video[bad[0]], lambda: read_videos([video], Letterbox(16))):
        with pytest.raises(InputError, match=rf"broken.mp4: frames? {bad[0]}.* not decode"):
            call()
    source = read_videos([video, open_video(clip[0])], Letterbox(64), on_bad_frame="skip")
    assert f"broken.mp4: {len(bad)} do not decode" in capsys.readouterr().err
    assert source.titles == ("broken.mp4", "clip.mp4")
    assert sorted({*range(60)} - {*source.frame[source.video == 0].tolist()}) == bad
    np.testing.assert_array_equal(source.frame[source.video == 1], np.arange(60))
    assert source.identity(len(source) - 1) == "clip.mp4#000059"
    assert said(source[len(source) - 1].image[8:56]) == 59


def test_a_few_frames_of_a_long_video_are_sought(tmp_path, broken, monkeypatch):
    """All frames up to the last one were decoded for them."""
    decode, decoded = video_module._decode, []

    def counted(container, stream):
        for frame in decode(container, stream):
            decoded.append(frame.pts)
            yield frame

    video = open_video(encoded(tmp_path / "clip.mp4", g="12"))
    assert video.key_frames >= 5
    every = dict(video)
    monkeypatch.setattr(video_module, "SOUGHT", 0)
    monkeypatch.setattr(video_module, "_decode", counted)
    some = dict(video.only({58, 30}))
    assert list(some) == [30, 58]
    for number, image in some.items():
        np.testing.assert_array_equal(image, every[number])
    assert len(decoded) < 40
    decoded.clear()
    dict(replace(video, key_frames=1).only({30, 58}))  # to seek each would be to decode more
    assert len(decoded) == 59
    video = open_video(broken)
    bad = [number for number, image in video if image is None]
    some = dict(video.only({bad[0], 59}))
    assert list(some) == [bad[0], 59]
    assert some[bad[0]] is None
    assert said(some[59]) == 59


def copied(source, path, shift=0, cover=False):
    """The packets of a file in another one, `shift` frames earlier (an edit list hides those before
    0).
    """
    with (
        av.open(source) as old,
        av.open(path, "w", options={"avoid_negative_ts": "disabled"}) as new,
    ):
        if cover:
            picture = new.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
        stream = new.add_stream_from_template(old.streams.video[0])
        if cover:
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            new.mux([*picture.encode(frame), *picture.encode()])
        for packet in old.demux(video=0):
            if packet.size:
                offset = round(shift / 30 / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - offset,
                    packet.dts - offset,
                    stream,
                )
                new.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "write", "first", "stamps"),
    [
        ("plain.avi", lambda path: encoded(path, codec="mpeg4"), 0, "apart"),
        ("b_frames.mp4", lambda path: encoded(path, bf="3"), 0, "apart"),
        # AVI's times are those of decoding
        ("b_frames.avi", lambda path: encoded(path, bf="2"), 0, "none"),
        (
            "hidden_frames.webm",
            lambda path: encoded(path, codec="libvpx", **{"auto-alt-ref": "1"}),
            0,
            "apart",
        ),
        ("programme.mpg", lambda path: encoded(path, codec="mpeg2video", bf="2"), 0, "apart"),
        # nothing can be sought before the second key frame
        ("stream.ts", lambda path: encoded(path, bf="3", g="12"), 0, "apart"),
        (
            "camcorder.mts",
            lambda path: encoded(path, {"mpegts_m2ts_mode": "1"}, bf="2", g="40"),
            0,
            "apart",
        ),
        ("no_times.264", lambda path: encoded(path, {}, bf="2"), 0, "none"),
        # its clock: ms
        (
            "fast.mkv",
            lambda path: encoded(path, codec="mjpeg", rate=2400, pixels="yuvj420p"),
            0,
            "shared",
        ),
        (
            "edit_list.mp4",
            lambda path: copied(encoded(path.with_name("all.mp4"), bf="0"), path, shift=10),
            10,
            "apart",
        ),
        (
            "cover.mkv",
            lambda path: copied(encoded(path.with_name("film.mp4")), path, cover=True),
            0,
            "apart",
        ),
    ],
)
def test_a_number_is_the_place_among_the_frames_shown(tmp_path, name, write, first, stamps):
    video = open_video(write(tmp_path / name))
    shown = list(range(first, 60))
    assert (len(video), video.size, video.stamps) == (len(shown), (WIDTH, HEIGHT), stamps)
    assert [said(image) for _, image in video] == shown
    assert [said(video[number]) for number in (0, 31, 7, -1)] == [first, first + 31, first + 7, 59]
    assert (np.diff(video.times) > 0).all()
    assert bool(video.note) == (stamps != "apart")


def test_odd_sizes_are_padded_and_rotation_is_applied(folder):
    image = np.full((31, 45, 3), 90, np.uint8)
    image[:8, :8] = 255
    path = write_video(folder / "odd.mp4", [image] * 3, rate=10)
    video = open_video(path)
    assert video.size == (46, 32)
    np.testing.assert_allclose(video.times, [0, 0.1, 0.2], atol=1e-4)
    turned = folder / "turned.mp4"
    content = path.read_bytes()
    upright = b"".join(
        value.to_bytes(4, "big") for value in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    )
    quarter = b"".join(
        (value % (1 << 32)).to_bytes(4, "big")
        for value in (0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)
    )
    place = content.rindex(upright)  # the matrix of the track comes after that of the film
    turned.write_bytes(content[:place] + quarter + content[place + len(upright) :])
    video = open_video(turned)
    assert video.size == (32, 46)
    shown = video[1]
    assert shown.shape == (46, 32, 3)
    # a quarter turn clockwise takes the upper left corner to the upper right
    assert shown[:6, -6:].min() > 200
    assert shown[:6, :6].max() < 150


def test_a_folder_of_images_is_a_video_in_the_order_of_numbers(folder, clip):
    frames = folder / "frames"
    frames.mkdir()
    for number, name in ((0, "0"), (2, "2"), (10, "10²1"), (9, "9")):  # ² is a digit, and no number
        Image.fromarray(numbered_frame(number)).save(frames / f"img{name}.png")
    video = open_video(frames)
    assert [said(image) for _, image in video] == [0, 2, 9, 10]
    content = (frames / "img9.png").read_bytes()
    (frames / "img9.png").write_bytes(content[: len(content) // 2])
    assert [image is None for _, image in video] == [False, False, True, False]
    Image.fromarray(numbered_frame(9)[:-4]).save(frames / "img9.png")
    with pytest.raises(InputError, match="frames: frame 2 is 64x44, the first is 64x48"):
        read_videos([video], Letterbox(16))
    (frames / "img9.png").unlink()
    video, other = (
        open_video(frames),
        write_video(folder / "other.mp4", [np.zeros((32, 46, 3), np.uint8)] * 3, rate=10),
    )
    with pytest.raises(InputError, match=r"videos of 2 sizes \(frames 64x48; other.mp4 46x32\)"):
        read_videos([video, open_video(other)], Letterbox(16))
    both = read_videos([video, open_video(other)], Letterbox(16), mixed_sizes=True, every=2)
    np.testing.assert_array_equal(both.frame, [0, 2, 0, 2])
    np.testing.assert_array_equal(both.video, [0, 0, 1, 1])


def test_transport_streams_are_found_below_a_folder_and_raw_streams_are_not(tmp_path):
    for name in ("a.mts", "b.TS", "c.m2ts"):
        encoded(tmp_path / name, g="12")
    encoded(tmp_path / "d.h264")  # times of 25 frames a second would be made up
    assert [video.name for video in find_videos(tmp_path)] == ["a.mts", "b.TS", "c.m2ts"]
    assert [one.path.name for one in find_inputs([tmp_path])] == ["a.mts", "b.TS", "c.m2ts"]


def test_videos_are_found_below_a_folder(tmp_path, clip):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.mp4").write_bytes(clip[0].read_bytes())
    (tmp_path / "one.MP4").write_bytes(clip[0].read_bytes())
    (tmp_path / "._one.MP4").write_bytes(b"what a Mac leaves on other discs")
    for name in ("c10", "c2"):
        (tmp_path / name).mkdir()
        Image.fromarray(numbered_frame(0)).save(tmp_path / name / "0.jpg")
    Image.fromarray(numbered_frame(0)).save(tmp_path / "a still beside the videos.png")
    assert [video.name for video in find_videos(tmp_path)] == ["b/two.mp4", "c2", "c10", "one.MP4"]
    assert [video.name for video in find_videos(clip[0], tmp_path / "c2")] == ["clip.mp4", "c2"]
    with pytest.raises(InputError, match="has the same name"):
        find_videos(clip[0], clip[0])


def test_folders_behind_links_are_searched_once(tmp_path, clip):
    """Whoever keeps recordings on another disc has links to them; they were passed over."""
    day = tmp_path / "disc" / "monday"
    day.mkdir(parents=True)
    shutil.copy(clip[0], day / "a.mp4")
    films = tmp_path / "films"
    films.mkdir()
    (films / "monday").symlink_to(day)
    (films / "monday again").symlink_to(day)
    (films / "all").symlink_to(tmp_path)  # holds the folder itself
    (films / "here").symlink_to(films)
    (day / "back").symlink_to(films)
    assert [video.name for video in find_videos(films)] == ["monday/a.mp4"]
    assert [one.stem for one in find_inputs([films])] == ["monday/a"]


def mixed(path, *sides, **options):
    """Writes frames of some widths."""
    write_video(
        path / "mixed.mp4",
        [numbered_frame(number)[:, :side] for number, side in enumerate(sides)],
        **options,
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda path: open_video(path / "text.mp4"),
            r"text.mp4: this is not a video that can be read \(.*\)",
        ),
        (
            lambda path: open_video(path / "codec.mp4"),
            "codec.mp4: no frame of this video can be decoded",
        ),
        (lambda path: find_videos(path / "empty"), "there is no video in this folder"),
        (lambda path: open_video(path / "empty"), "there is no image in this folder"),
        (lambda path: open_video(path / "gone.mp4"), "there is no such file"),
        (lambda path: mixed(path, 64, 60), "frame 1 is 60x48, those before are 64x48"),
        (lambda path: mixed(path, 64, 64, times=[0.5, 0.5]), "times must rise"),
        (lambda path: mixed(path, 64, 64, times=[0.5]), "more frames than the 1 times"),
        (lambda path: mixed(path), "no frame to write"),
    ],
)
def test_what_is_no_video_is_one_line(tmp_path, call, words):
    (tmp_path / "text.mp4").write_text("no video")
    whole = write_video(tmp_path / "codec.mp4", [numbered_frame(0)]).read_bytes()
    (tmp_path / "codec.mp4").write_bytes(whole.replace(b"stsd", b"zzzz"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=words):
        call(tmp_path)
    assert not list(tmp_path.glob("*mixed*"))
    assert not list(tmp_path.glob(".*"))
