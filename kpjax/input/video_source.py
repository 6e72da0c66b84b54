"""Sources whose examples are frames of videos.

The name of a prepared record is `<video>#<frame>`, see `frame_name`.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.images.transforms import Transform
from kpjax.images.video import Video, frames_of_one_size, unreadable
from kpjax.input.source import Source, TfdsSource, arrays, digest_of, identities
from kpjax.structures import Example, Skeleton

NO_KEYPOINTS = Skeleton(())
LIMIT = 4e9  # bytes of all frames that are read into memory
CROPS_COMPARED = 4  # frames of each video, spread over it


@dataclass(frozen=True, eq=False)
class VideoSource:
    """Frames of videos as examples, in temporal order within each video."""

    source: Source  # has the examples
    order: np.ndarray  # (N,) int64, index of each example in the source
    video: np.ndarray  # (N,) int32, index of its video, rising
    frame: np.ndarray  # (N,) int32, its number within the video, with gaps for omitted frames
    titles: tuple[str, ...]  # name of each video
    name: str
    #: such as {"action": ("waving", ...)}, per video
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def skeleton(self) -> Skeleton:
        return self.source.skeleton

    @cached_property
    def digest(self) -> str:
        return digest_of(self.source.digest, self.order, self.video, self.frame, *self.titles)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Example:
        example = self.source[int(self.order[index])]
        return example._replace(index=np.int32(index))

    def identity(self, index: int) -> str:
        """Returns the name of a frame, made of its video and its number."""
        title = self.titles[self.video[index]]
        return frame_name(title, int(self.frame[index]))

    def box(self, index: int) -> np.ndarray | None:
        """Returns the annotated box (4,) x, y, width, height in pixels of the stored image, None
        without one.
        """
        stored = self.source
        if not isinstance(stored, TfdsSource):
            return None
        return stored.records[int(self.order[index])].get("box")

    def within(self, index: int, box: np.ndarray) -> Example:
        """Returns an example cropped by the source's transform with another box than its own."""
        record = self.source.records[int(self.order[index])]
        return replace(self.source, records=[{**record, "box": box}])[0]._replace(
            index=np.int32(index)
        )

    @cached_property
    def bounds(self) -> np.ndarray:
        """(V, 2) int64: the first example of each video, and one past its last."""
        numbers = np.arange(len(self.titles))
        return np.stack(
            [np.searchsorted(self.video, numbers, side) for side in ("left", "right")], axis=1
        )

    @cached_property
    def cropped_anew(self) -> bool:
        """Whether frames of some video are cropped differently, so that no background stays in its
        place. `CROPS_COMPARED` frames of each video are read.
        """
        for first, end in self.bounds:
            spread = np.linspace(first, end - 1, CROPS_COMPARED).round().astype(int)
            crop, *others = (self[number].crop for number in np.unique(spread))
            if any((other != crop).any() for other in others):
                return True
        return False


def frame_name(title: str, frame: int) -> str:
    """Returns the stored name of a frame of a video."""
    return f"{title}#{frame:06d}"


def in_videos(
    source: Source, facts: Callable[[str], Mapping[str, str]] | None = None
) -> VideoSource:
    """Groups the examples of a prepared source into videos by their names.

    facts: returns facts of a video from its title, with the same keys for all. Raises InputError
    for an example whose name is not that of a frame.
    """
    names = identities(source)
    parsed = [] if names is None else [name.rpartition("#") for name in names]
    if names is None or not all(title and frame.isdecimal() for title, _, frame in parsed):
        raise InputError(
            f"{source.name}: its examples are not frames of videos, called <video>#<number>; choose a "
            "set of videos"
        )
    titles = sorted({title for title, _, _ in parsed})
    number = {title: at for at, title in enumerate(titles)}
    videos = [number[title] for title, _, _ in parsed]
    video = np.array(videos, np.int32)
    frames = [int(frame) for _, _, frame in parsed]
    frame = np.array(frames, np.int32)
    order = np.lexsort((frame, video))
    known = [facts(title) if facts else {} for title in titles]
    return VideoSource(
        source,
        order,
        video[order],
        frame[order],
        tuple(titles),
        source.name,
        {kind: tuple(one[kind] for one in known) for kind in (known[0] if known else ())},
    )


def group_into_videos(
    source: Source,
    lengths: Sequence[int],
    titles: Sequence[str],
    facts: Mapping[str, tuple[str, ...]] | None = None,
) -> VideoSource:
    """Groups examples, the frames of one video after another, by the videos' lengths.

    facts: see `VideoSource`.
    """
    videos = np.arange(len(lengths), dtype=np.int32)
    video = np.repeat(videos, lengths)
    frame = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    return VideoSource(
        source, np.arange(len(source)), video, frame, tuple(titles), source.name, facts or {}
    )


def of_videos(
    source: VideoSource, numbers: Sequence[int] | np.ndarray, name: str | None = None
) -> VideoSource:
    """Returns some videos of a source, in the given order."""
    numbers = [int(number) for number in numbers]
    spans = [np.arange(*source.bounds[number]) for number in numbers]
    rows = np.concatenate(spans)
    video = np.repeat(
        np.arange(len(numbers), dtype=np.int32),
        [np.ptp(source.bounds[number]) for number in numbers],
    )
    return VideoSource(
        source.source,
        source.order[rows],
        video,
        source.frame[rows],
        tuple(source.titles[n] for n in numbers),
        name or source.name,
        {kind: tuple(values[n] for n in numbers) for kind, values in source.facts.items()},
    )


def read_videos(
    videos: Sequence[Video],
    transform: Transform,
    *,
    every: int = 1,
    on_bad_frame: str = "stop",
    mixed_sizes: bool = False,
    name: str = "videos",
) -> VideoSource:
    """Reads videos into memory, made square, without labels; `scale` is the longer side of a frame.

    Args:
        every: Keeps frames 0, every, 2 every ...; their numbers stay those of the video.
        on_bad_frame: "stop" raises for undecodable frames and truncated files, "skip" leaves frames
            out and reports how many on stderr.
        mixed_sizes: Whether videos may differ in size.

    Raises:
        InputError: For these, for frames of several sizes within one video, if no frame is left,
            and for more than `LIMIT` bytes.
    """
    if every < 1:
        raise InputError("every", f"{every}; give at least 1")
    sizes = {video.size: video for video in videos}
    if len(sizes) > 1 and not mixed_sizes:
        listed = summarise(
            [f"{video.name} {width}x{height}" for (width, height), video in sizes.items()]
        )
        raise InputError(
            f"{name}: videos of {len(sizes)} sizes ({listed}); choose their `image_size`, or leave some "
            "out"
        )
    squares = []
    frames = []
    left_out = []
    held = 0
    for video in videos:
        images, numbers, bad = _read(video, transform, every, LIMIT - held)
        if video.cut_off and on_bad_frame == "stop":
            raise InputError(
                f"{video.path}: the file ends {video.cut_off} frames early; fetch it again, or use what "
                "is there with `on_bad_frame`='skip'"
            )
        if bad and on_bad_frame == "stop":
            raise unreadable(video, bad)
        if bad or video.cut_off:
            left_out.append(f"{video.name}: {len(bad)} do not decode, {video.cut_off} cut off")
        if not images:
            raise InputError(f"{video.path}: no frame of this video decodes; leave it out")
        squares += images
        frames.append(np.array(numbers, np.int32))
        held += len(images) * images[0][0].nbytes
        if held > LIMIT:
            raise InputError(
                f"{name}: more than {LIMIT / 1e9:g} GB of frames; keep fewer with every={2 * every}, "
                "make them smaller with `image_size`, or prepare the videos with python -m data videos"
            )
    if left_out:
        print(
            f"{name}: left out frames of {len(left_out)} videos: {summarise(left_out)}",
            file=sys.stderr,
        )
    images, keypoints, visible, scale, crop = map(np.stack, zip(*squares, strict=True))
    source = arrays(images, keypoints, visible, NO_KEYPOINTS, name, scale=scale, crop=crop)
    kept = group_into_videos(
        source, [len(numbers) for numbers in frames], [video.name for video in videos]
    )
    return replace(kept, frame=np.concatenate(frames))


def _read(
    video: Video, transform: Transform, every: int, room: float
) -> tuple[list, list[int], list[int]]:
    """Returns the transformed frames that are kept, their numbers, and those of frames that do not
    decode.

    room: bytes; with the first frame that is beyond them reading ends.
    """
    squares = []
    numbers = []
    bad = []
    for number, image in frames_of_one_size(video, range(0, len(video), every)):
        if image is None:
            bad.append(number)
            continue
        squares.append(
            transform(
                image,
                np.zeros((0, 2), np.float32),
                np.zeros(0, np.float32),
                np.float32(max(video.size)),
            )
        )
        numbers.append(number)
        if len(squares) * squares[0][0].nbytes > room:
            break
    return squares, numbers, bad


def actions_of(source: VideoSource) -> np.ndarray | None:
    """Returns the action of each frame's video, (N,); None if actions are unknown or there is only
    one.
    """
    actions = source.facts.get("action", ())
    if len(set(actions)) < 2 or "" in actions:
        return None
    return np.asarray(actions)[source.video]


def frames_of(source: VideoSource) -> Iterator[np.ndarray]:
    """Yields the images (T, H, W, 3) uint8 of one video after the other."""
    for first, end in source.bounds:
        yield np.stack([source[number].image for number in range(first, end)])
