"""Videos as numbered images: files that FFmpeg reads, folders with an image for each frame, and
writing.

The number of a frame is its place among those that a player shows, from 0: everywhere, in labels
and results alike. It is found by the sorted presentation times of packets, without those that an
edit list hides, so that a frame that does not decode shifts no other. Where times are missing,
shared or wrong, frames are counted as they are decoded. The rate and frame count in a header are
never used: both are wrong for videos of variable rate and cut ones.
"""

from __future__ import annotations

import importlib.util
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import lazy_loader
import numpy as np

from kpjax.errors import InputError, count_text, say_once
from kpjax.file_names import natural_order
from kpjax.files import atomic, everything_below
from kpjax.images import reading
from kpjax.images.reading import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    common_depth,
    image_size,
    read_image,
)

av = lazy_loader.load("av")  # av of the extra `lab`: nothing but videos needs it
# frames of an AVI file that are tried: are they decoded in the order of their times?
FRAMES_TRIED = 20
# how the names end of files, or DeepLabCut's folders, on which it or `predict` drew points
_DRAWN = ("_labeled", "_overlay", "_sheet")
OUT_OF_ORDER = 8  # frames held back for a missing one
LOOKED_AT = 16  # frames of a video of 16 bits, to find how many are in use
SOUGHT = 100  # frames that are decoded in the time that it takes to open a file and seek in it
_DEEP = {
    "gray16": "gray16le",
    "rgb48": "rgb48le",
    "bgr48": "rgb48le",
    "rgba64": "rgb48le",
    "bgra64": "rgb48le",
    # pixel formats whose values may use fewer bits than they have
    "gbrp16": "rgb48le",
    "gbrap16": "rgb48le",
}


@dataclass(frozen=True, eq=False)
class VideoFile:
    """A video file: `video[n]` is frame n, `for number, image in video` reads all in one pass.

    See `open_video`.
    """

    path: Path
    name: str
    pts: np.ndarray  # (N,) int64, presentation times in units of `time_base`, in order
    time_base: Fraction  # seconds
    size: tuple[int, int]  # width and height as shown
    cut_off: int  # frames announced by the header and missing from the file
    stream: int = 0  # its number in the file
    rotation: int = 0  # degrees by which a player turns it, counter-clockwise
    #: whether times tell frames apart; otherwise they are counted
    stamps: Literal["apart", "shared", "none"] = "apart"
    depth: int = 0  # bits in use where values have 16
    key_frames: int = 1  # at which decoding can begin

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def times(self) -> np.ndarray:
        """(N,) float64: the time of each frame in seconds.

        Frames that share one are spread until the next, evenly.
        """
        stamps, first = np.unique(self.pts, return_index=True)
        duration = np.median(np.diff(stamps)) if len(stamps) > 1 else 1
        last = stamps[-1] + duration
        return np.interp(np.arange(len(self)), [*first, len(self)], [*stamps, last]) * float(
            self.time_base
        )

    @property
    def note(self) -> str:
        """A line about how frames are numbered, where it is unusual; otherwise empty."""
        if self.stamps == "apart":
            return ""
        return "time stamps do not tell frames apart: numbered by order of decoding"

    def __iter__(self) -> Iterator[tuple[int, np.ndarray | None]]:
        """Yields (number, image (H, W, 3) uint8) of every frame in order, None for one that does
        not decode.
        """
        return self.only(range(len(self)))

    def only(self, wanted: Collection[int]) -> Iterator[tuple[int, np.ndarray | None]]:
        """Yields what iterating does, of some frames.

        A few of a long video are sought. Otherwise all up to the last are decoded, and those that
        are not wanted are not turned into images.
        """
        rest = wanted
        spacing = len(self) / self.key_frames  # so many frames are decoded for one that is sought
        one_pass = min(max(wanted, default=0), len(self))
        if self.stamps == "apart" and len(wanted) * (spacing + SOUGHT) < one_pass:
            rest = {number for number in wanted if number < len(self)}
            for number in sorted(rest):
                try:
                    image = self[number]
                except (InputError, av.FFmpegError):
                    break
                yield number, image
                rest.remove(number)
        yield from self._in_one_pass(rest)

    def _in_one_pass(self, wanted: Collection[int]) -> Iterator[tuple[int, np.ndarray | None]]:
        """Yields what `only` does, and decodes all frames up to the last one."""
        due = 0
        end = min(max(wanted, default=-1) + 1, len(self))
        if not end:
            return
        waiting = {}
        with open_container(self.path) as container:
            for place, frame in enumerate(_decode(container, self.stream)):
                number = self._number(frame) if self.stamps == "apart" else place
                if number is not None and number >= due:
                    waiting[number] = frame
                # After a fault some decoders return a few frames before an earlier one.
                while due < end and (due in waiting or len(waiting) > OUT_OF_ORDER):
                    found = waiting.pop(due, None)
                    if due in wanted:
                        yield due, self._image(found)
                    due += 1
                if due == end:
                    return
        for number in range(due, end):
            if number in wanted:
                yield number, self._image(waiting.pop(number, None))

    def _image(self, frame: av.VideoFrame | None) -> np.ndarray | None:
        if frame is None:
            return None
        return _upright_pixels(frame, self.depth)

    def __getitem__(self, number: int) -> np.ndarray:
        """Reads frame `number` as (H, W, 3) uint8 RGB. Raises InputError if it does not decode."""
        return _upright_pixels(self._frame(number), self.depth)

    def _frame(self, number: int) -> av.VideoFrame:
        number = range(len(self))[number]
        wanted = int(self.pts[number])
        earlier = int(np.searchsorted(self.pts, wanted))  # frames before those of this time
        if self.stamps == "apart":
            # Tries again from the file's beginning: some list key frames later than their times, and
            # in MPEG transport streams nothing can be sought before the second key frame.
            starts = (wanted, None)
        else:  # counts from where the time before changes to this one, or else from the first frame
            starts = (int(self.pts[earlier - 1]),) if self.stamps == "shared" and earlier else ()
        for start in starts:
            with open_container(self.path) as container:
                if start is not None:
                    container.seek(start, stream=container.streams[self.stream], backward=True)
                before = self.stamps == "apart"
                skip = number - earlier
                for frame in _decode(container, self.stream):
                    if frame.pts is None or frame.pts < wanted:
                        before = True
                    elif frame.pts > wanted or not before:
                        break
                    elif skip:
                        skip -= 1
                    else:
                        return frame
        if self.stamps != "apart":
            with open_container(self.path) as container:
                for frame in islice(_decode(container, self.stream), number, None):
                    return frame
        raise unreadable(self, [number])

    def _number(self, frame: av.VideoFrame) -> int | None:
        if frame.pts is None:
            return None
        number = int(np.searchsorted(self.pts, frame.pts))
        if number < len(self) and self.pts[number] == frame.pts:
            return number
        return None


@dataclass(frozen=True, eq=False)
class FrameFolder:
    """A folder with an image for each frame, ordered by the numbers in their names; read as a
    `VideoFile`.
    """

    path: Path
    name: str
    files: tuple[Path, ...]
    size: tuple[int, int]  # width and height of the first
    cut_off: int = 0
    depth: int = 0  # depth of its images, see `common_depth`
    times: None = None  # images carry no times
    rotation: int = 0
    note: str = ""

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray | None]]:
        return self.only(range(len(self)))

    def only(self, wanted: Collection[int]) -> Iterator[tuple[int, np.ndarray | None]]:
        """Yields what iterating does, of some frames."""
        for number in sorted(wanted):
            if number >= len(self):
                return
            try:
                image = self[number]
            except InputError:
                image = None
            yield number, image

    def __getitem__(self, number: int) -> np.ndarray:
        try:
            return read_image(self.files[number], self.depth)
        except InputError as error:
            raise unreadable(self, [number]) from error


Video = VideoFile | FrameFolder


def open_container(path: Path) -> av.container.InputContainer:
    """Opens a video file with PyAV, whatever bytes its title and other texts have."""
    # PyAV 19 reads texts that are no UTF-8 by itself and has no such argument; earlier ones refuse
    # the whole file without it.
    before_19 = int(av.__version__.partition(".")[0]) < 19
    # of 12:30.mp4, FFmpeg would take 12 for a protocol
    return av.open(path.absolute(), **({"metadata_errors": "replace"} if before_19 else {}))


def open_video(path: Path, name: str | None = None) -> Video:
    """Opens a video file or a folder of images; files take one pass over their packets.

    name: in messages and results, by default that of the file. Of several streams, covers and
    previews are no video. Raises InputError for a path that is no video, or has no frame that
    decodes, and for any video file if PyAV is not installed.
    """
    path = Path(path)
    name = name or path.name
    if path.is_dir():
        files = tuple(sorted(_images(path), key=lambda file: natural_order(file.name)))
        if not files:
            raise InputError(
                f"{path}: there is no image in this folder; give a video file or a folder of frames"
            )
        return FrameFolder(path, name, files, _first_size(path, files), depth=common_depth(files))
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give a video file or a folder of frames")
    if path.suffix.lower() in IMAGE_SUFFIXES:  # FFmpeg would read the first page of a stack
        image_size(path)
    if importlib.util.find_spec("av") is None:
        raise InputError(f"{path}: reading a video file needs PyAV; pip install 'kpjax[lab]'")
    try:
        with open_container(path) as container:
            if not container.streams.video:
                raise InputError(f"{path}: there is no video in this file; give another one")
            stream, pts, stored, key_frames = _times(container)
            index = stream.index
            time_base = stream.time_base
            announced = stream.frames
            rate = stream.average_rate
        with open_container(path) as container:
            tried = FRAMES_TRIED if container.format.name == "avi" else 1
            first = None
            order = []
            for frame in islice(_decode(container, index), tried):
                first = first or frame
                order.append(frame.pts)
        stamps = "apart"
        if pts is None or None in order or order != sorted(order):
            with open_container(path) as container:
                shown = [frame.pts for frame in _decode(container, index)]
            stamps = "none" if None in shown or shown != sorted(shown) else "shared"
            if stamps == "none":
                shown = list(range(len(shown)))
                time_base = 1 / (rate or Fraction(25))
            pts = np.array(shown, np.int64)
    except (av.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(
            f"{path}: this is not a video that can be read ({getattr(error, 'strerror', error)}); leave "
            "it out or fetch it again"
        ) from error
    if not len(pts) or first is None:
        raise InputError(
            f"{path}: no frame of this video can be decoded; leave it out or fetch it again"
        )
    height, width = _upright_pixels(first).shape[:2]
    video = VideoFile(
        path,
        name,
        pts,
        time_base,
        (width, height),
        max(announced - stored, 0),
        index,
        round(first.rotation) % 360,
        stamps,
        key_frames=max(key_frames, 1),
    )
    if _deep_values(first) is None:
        return video
    return replace(video, depth=_depth(video))


def find_videos(*paths: Path) -> tuple[Video, ...]:
    """Opens all videos in files and folders, sorted.

    A folder stands for the video files and folders of images in and below it, without those on which
    points are drawn (`is_drawn`); a folder with images and no video file is a video itself. Names
    are paths below the folder. Raises InputError for a path without a video, and two videos of one
    name.
    """
    found: dict[str, Video] = {}
    for root in (Path(path) for path in paths):
        files = _below(root) if root.is_dir() else [root]
        if not files:
            raise InputError(
                f"{root}: there is no video in this folder ({', '.join(VIDEO_SUFFIXES)}, or a folder of "
                "images); give another one"
            )
        for file in files:
            name = root.name if file == root else file.relative_to(root).as_posix()
            if name in found:
                raise InputError(
                    f"{file}: {found[name].path} has the same name; rename one of the two"
                )
            found[name] = open_video(file, name)
    if not found:
        raise InputError("videos", "none is given; give files or folders of videos")
    return tuple(found.values())


def frames_of_one_size(
    video: Video, wanted: Collection[int]
) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yields some frames of a video. Raises InputError for one of another size than the first."""
    for number, image in video.only(wanted):
        if image is not None and image.shape[1::-1] != video.size:
            raise InputError(
                f"{video.path}: frame {number} is {image.shape[1]}x{image.shape[0]}, the first is "
                f"{video.size[0]}x{video.size[1]}; bring the frames of a video to one size"
            )
        yield number, image


def unreadable(
    video: Video, numbers: list[int], option: str = "`on_bad_frame`='skip'"
) -> InputError:
    """Returns the error that lists the frames of a video that do not decode, and the option that
    leaves them out.
    """
    shown = ", ".join(str(number) for number in numbers[:5])
    if len(numbers) > 5:
        shown += ", ..."
    which = f"frame {shown} does" if len(numbers) == 1 else f"frames {shown} do"
    return InputError(
        f"{video.path}: {which} not decode ({len(numbers)} of {len(video)}); fetch the video again, or "
        f"leave such frames out with {option}"
    )


def _times(
    container: av.container.InputContainer,
) -> tuple[av.VideoStream, np.ndarray | None, int, int]:
    """Returns the stream that is the video, the sorted presentation times of the frames shown, and
    how many packets and key frames it has.

    The times are None where one is missing or two frames share one.
    """
    times = defaultdict(partial(array, "q"))
    untimed = set()
    stored = Counter()
    key_frames = Counter()
    for packet in container.demux(video=list(range(len(container.streams.video)))):
        if packet.size:  # the last packet is empty: it flushes the decoder
            stored[packet.stream_index] += 1
            key_frames[packet.stream_index] += packet.is_keyframe
            if packet.is_discard:
                continue
            if packet.pts is None:
                untimed.add(packet.stream_index)
            else:
                times[packet.stream_index].append(packet.pts)
    best = container.streams.best("video")
    stream = max(
        container.streams.video,
        key=lambda one: (
            not one.disposition & av.stream.Disposition.attached_pic,
            stored[one.index] > 1,
            one is best,
            -one.index,
        ),
    )
    found = np.sort(np.array(times[stream.index], np.int64))
    counted = stream.index in untimed or not np.diff(found).all()
    times_of_frames = None if counted else found
    return stream, times_of_frames, stored[stream.index], key_frames[stream.index]


def _decode(container: av.container.InputContainer, stream: int) -> Iterator[av.VideoFrame]:
    """Yields every decoded frame of a stream; packets that do not decode are skipped."""
    packets = container.demux(container.streams[stream])
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError:
            continue
        yield from frames


def _upright_pixels(frame: av.VideoFrame, depth: int = 0) -> np.ndarray:
    """Returns (H, W, 3) uint8 RGB at full size, rotated as a player shows it."""
    values = _deep_values(frame) if depth else None
    image = (
        frame.to_ndarray(format="rgb24") if values is None else reading.eight_bits(values, depth)
    )
    if (matrix := frame.side_data.get("DISPLAYMATRIX")) is not None:
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
        image = image[::-1] if a * d < b * c else image  # mirrored
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


def _deep_values(frame: av.VideoFrame) -> np.ndarray | None:
    """Returns (H, W) or (H, W, 3) uint16; None for formats of 8 bits, and those that state how many
    they use.
    """
    form = _DEEP.get(frame.format.name.removesuffix("le").removesuffix("be"))
    if form is None:
        return None
    return frame.to_ndarray(format=form)


def _depth(video: VideoFile) -> int:
    """Returns the bits that a video of 16 bits uses, from the highest value of frames spread over
    it.
    """
    peak = 0
    for number in reading.spread(range(len(video)), LOOKED_AT):
        try:
            peak = max(peak, int(_deep_values(video._frame(number)).max()))
        except (InputError, av.FFmpegError):
            continue
    return reading.depth_of(peak)


def _first_size(path: Path, files: tuple[Path, ...]) -> tuple[int, int]:
    for file in files:
        try:
            return image_size(file)
        except InputError:
            continue
    raise InputError(
        f"{path}: none of its {len(files)} images can be read; leave it out or fetch it again"
    )


def _images(folder: Path) -> list[Path]:
    return [
        file
        for file in folder.glob("[!.]*")
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    ]


def _below(root: Path) -> list[Path]:
    """Returns video files, and folders that hold images and no video file."""
    shown = list(everything_below(root))
    of_videos = [file for file in shown if file.suffix.lower() in VIDEO_SUFFIXES]
    files = without_drawn(root, [file for file in of_videos if file.is_file()])
    with_videos = {file.parent for file in files}
    folders = [
        folder
        for folder in (root, *(path for path in shown if path.is_dir()))
        if folder not in with_videos and any(not is_drawn(file) for file in _images(folder))
    ]
    return sorted([*files, *folders], key=lambda path: natural_order(path.as_posix()))


def is_drawn(file: Path) -> bool:
    """Returns whether a file is called as those on which DeepLabCut, or `kpjax predict`, drew points,
    or lies in a folder of DeepLabCut's drawings."""
    return file.stem.endswith(_DRAWN) or file.parent.name.endswith(_DRAWN[0])


def without_drawn(root: Path, files: Sequence[Path]) -> list[Path]:
    """Leaves out the files found in a folder on which a program drew points, and says so once; a
    file that is named itself stays, and so does a folder, whatever it is called."""
    kept = []
    for file in files:
        drawn = file.stem.endswith(_DRAWN) if file.parent == root else is_drawn(file)
        if file == root or not drawn:
            kept.append(file)
    if len(kept) < len(files):
        count = count_text(len(files) - len(kept), "file")
        say_once(f"{root}: left out {count} with points drawn on them")
    return kept


# Writing, as a video that browsers play

CLOCK = 90_000  # time stamps a second; every usual rate is a whole number of them


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    rate: float = 25.0,
    times: Sequence[float] | np.ndarray | None = None,
) -> Path:
    """Writes a video as H.264 (yuv420p), whole or not at all, and returns its path.

    Args:
        frames: (H, W, 3) uint8. An odd side is padded by one black column or row, since H.264 has
            none.
        rate: frames a second.
        times: rising, one for each frame, in seconds; replaces `rate` for videos of variable rate.

    Raises:
        InputError: without frames, for frames of several sizes, and for times that do not rise or
            match the frames.
    """
    path = Path(path)
    clock = Fraction(1, CLOCK)
    last = None
    with (
        atomic(path) as partial,
        av.open(partial, "w", format=None if path.suffix else "mp4") as container,
    ):
        stream = None
        for number, image in enumerate(frames):
            if stream is None:
                size = image.shape
                stream = container.add_stream(
                    "libx264", rate=Fraction(rate).limit_denominator(1001)
                )
                stream.width = size[1] + size[1] % 2
                stream.height = size[0] + size[0] % 2
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = clock
                stream.options = {"crf": "18", "preset": "veryfast"}
            if image.shape != size:
                raise InputError(
                    f"{path}: frame {number} is {image.shape[1]}x{image.shape[0]}, those before are "
                    f"{size[1]}x{size[0]}; a video has one size"
                )
            last = _stamp(path, number, rate, times, last)
            padded = np.pad(
                image, [(0, stream.height - size[0]), (0, stream.width - size[1]), (0, 0)]
            )
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
            frame.pts = last
            frame.time_base = clock
            container.mux(stream.encode(frame))
        if stream is None:
            raise InputError(f"{path}: there is no frame to write; give at least one")
        if times is not None and number + 1 != len(times):
            raise InputError(
                f"{path}: {number + 1} frames and {len(times)} times; give each frame its time"
            )
        container.mux(stream.encode())
    return path


def _stamp(path: Path, number: int, rate: float, times, last: int | None) -> int:
    if times is not None and number >= len(times):
        raise InputError(
            f"{path}: more frames than the {len(times)} times; give each frame its time"
        )
    seconds = number / rate if times is None else float(times[number])
    stamp = round(seconds * CLOCK)
    if last is not None and stamp <= last:
        raise InputError(
            f"{path}: frame {number} is shown at {stamp / CLOCK:g} s, the one before at {last / CLOCK:g} "
            "s; times must rise"
        )
    return stamp
