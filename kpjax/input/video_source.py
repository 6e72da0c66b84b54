"""Sources whose examples are frames: which video each is of, and where in it.

A prepared record says so by its name, `<video>#<frame>`, as `frame_name` makes it.
"""
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.images.transforms import Transform
from kpjax.images.video import Video, frames_of_one_size, unreadable
from kpjax.input.source import ArraySource, Source, TfdsSource, arrays, digest_of, identities, stacked
from kpjax.structures import Example, Skeleton

NO_KEYPOINTS = Skeleton(())


@dataclass(frozen=True, eq=False)
class VideoSource:
    """Frames of videos as examples; the frames of a video follow one another in the order of time.

    source: where the examples are. order: (N,) int64, the number there of each example here. video: (N,) int32, the
    number of its video, rising. frame: (N,) int32, its number within the video; frames that were left out are gaps.
    titles: the name of each video. facts: what is known of each video, by its kind, for example
    {"action": ("waving", ...)}: a value for each video.
    """

    source: Source
    order: np.ndarray
    video: np.ndarray
    frame: np.ndarray
    titles: tuple[str, ...]
    name: str
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self):
        for kind, values in self.facts.items():
            if len(values) != len(self.titles):
                raise InputError(f"{self.name}: {len(values)} values of {kind} for {len(self.titles)} videos")

    @property
    def skeleton(self) -> Skeleton:
        return self.source.skeleton

    @cached_property
    def digest(self) -> str:
        return digest_of(self.source.digest, self.order, self.video, self.frame, *self.titles)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Example:
        return self.source[int(self.order[index])]._replace(index=np.int32(index))

    def identity(self, index: int) -> str:
        """The name of a frame: that of its video and its number."""
        return frame_name(self.titles[self.video[index]], int(self.frame[index]))

    def box(self, index: int) -> np.ndarray | None:
        """The annotated box (4,) x, y, width, height of a frame in pixels of the stored image, None without one."""
        if not isinstance(self.source, TfdsSource):
            return None
        return self.source.records[int(self.order[index])].get("box")

    def within(self, index: int, box: np.ndarray) -> Example:
        """An example as the source's transform crops it with another box than its own."""
        record = self.source.records[int(self.order[index])]
        return replace(self.source, records=[{**record, "box": box}])[0]._replace(index=np.int32(index))

    @cached_property
    def bounds(self) -> np.ndarray:
        """(V, 2) int64: the first example of each video, and the one after its last."""
        numbers = np.arange(len(self.titles))
        return np.stack([np.searchsorted(self.video, numbers, side) for side in ("left", "right")], axis=1)


def frame_name(title: str, frame: int) -> str:
    """The name under which a frame of a video is stored."""
    return f"{title}#{frame:06d}"


def in_videos(source: Source, facts: Callable[[str], Mapping[str, str]] | None = None) -> VideoSource:
    """The videos of a prepared source, from the names of its examples.

    facts: what is known of a video, from its title; of the same kinds for all. Raises InputError for an example whose
    name is not that of a frame.
    """
    names = identities(source)
    parsed = [] if names is None else [name.rpartition("#") for name in names]
    if names is None or not all(title and frame.isdigit() for title, _, frame in parsed):
        raise InputError(f"{source.name}: its examples are no frames of videos (a frame is called <video>#<number>); "
                         "choose a set of videos")
    titles = sorted({title for title, _, _ in parsed})
    number = {title: place for place, title in enumerate(titles)}
    video = np.array([number[title] for title, _, _ in parsed], np.int32)
    frame = np.array([int(frame) for _, _, frame in parsed], np.int32)
    order = np.lexsort((frame, video))
    known = [facts(title) if facts else {} for title in titles]
    return VideoSource(source, order, video[order], frame[order], tuple(titles), source.name,
                       {kind: tuple(one[kind] for one in known) for kind in (known[0] if known else ())})


def videos_in_memory(source: VideoSource) -> VideoSource:
    """The same videos, every frame decoded once and kept."""
    examples = stacked([source[index] for index in range(len(source))])
    return replace(source, source=ArraySource(examples, source.skeleton, source.name), order=np.arange(len(source)))


def numbered(
    source: Source, lengths: Sequence[int], titles: Sequence[str], facts: Mapping[str, tuple[str, ...]] | None = None,
) -> VideoSource:
    """A source whose examples are the frames of videos one after the other, with the length of each.

    facts: see `VideoSource`. Raises InputError for lengths or titles that do not belong to the source.
    """
    if sum(lengths) != len(source) or len(titles) != len(lengths):
        raise InputError(f"{source.name}: {len(source)} examples, but {len(lengths)} videos of {sum(lengths)} frames "
                         f"under {len(titles)} titles")
    video = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    frame = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    return VideoSource(source, np.arange(len(source)), video, frame, tuple(titles), source.name, facts or {})


def of_videos(source: VideoSource, numbers: Sequence[int] | np.ndarray, name: str | None = None) -> VideoSource:
    """Some videos of a source, in the given order. Raises InputError for a number that there is not, or for none."""
    numbers = [int(number) for number in numbers]
    if not numbers or not all(0 <= number < len(source.titles) for number in numbers):
        raise InputError(f"{source.name} has {len(source.titles)} videos; videos {numbers} are asked for")
    rows = np.concatenate([np.arange(*source.bounds[number]) for number in numbers])
    video = np.repeat(np.arange(len(numbers), dtype=np.int32), [np.ptp(source.bounds[number]) for number in numbers])
    return VideoSource(
        source.source, source.order[rows], video, source.frame[rows], tuple(source.titles[n] for n in numbers),
        name or source.name, {kind: tuple(values[n] for n in numbers) for kind, values in source.facts.items()})


def split_by_video(source: VideoSource, share: float, seed: int) -> tuple[VideoSource, VideoSource]:
    """(the rest, a drawn `share` of the videos): no frame of one side has a neighbour on the other.

    At least one video goes to each side. Raises InputError with fewer than two videos.
    """
    count = len(source.titles)
    if count < 2:
        raise InputError(f"{source.name}: {count} video cannot be split into two sides; give at least two videos")
    drawn = np.random.default_rng(seed).permutation(count)
    held_out = min(max(round(share * count), 1), count - 1)
    return of_videos(source, np.sort(drawn[held_out:])), of_videos(source, np.sort(drawn[:held_out]))


def read_videos(
    videos: Sequence[Video], transform: Transform, *, every: int = 1, on_bad_frame: str = "stop",
    mixed_sizes: bool = False, limit: float = 4e9, name: str = "videos",
) -> VideoSource:
    """All frames of some videos, resized, decoded once and kept in memory, without labels.

    every: keeps frames 0, every, 2 every ...; their numbers stay those of the video. `scale` is the longer side of the
    image. on_bad_frame: "stop" raises for frames that do not decode and for files that are cut off, "skip" leaves
    them out and says how many. mixed_sizes: whether videos may differ in size. limit: bytes, of all frames.
    Raises InputError for these, for frames of several sizes within one video, and where no frame is left.
    """
    if on_bad_frame not in ("stop", "skip"):
        raise InputError(f"on_bad_frame is {on_bad_frame!r}; choose stop or skip")
    if every < 1:
        raise InputError(f"{name}: every {every}th frame is asked for; give at least 1")
    sizes = {video.size: video for video in videos}
    if len(sizes) > 1 and not mixed_sizes:
        listed = summarise([f"{video.name} {width}x{height}" for (width, height), video in sizes.items()])
        raise InputError(f"{name}: videos of {len(sizes)} sizes ({listed}); say with --size to which all are brought")
    placed, frames, left_out = [], [], []
    for video in videos:
        images, numbers, bad = _read(video, transform, every)
        if video.cut_off and on_bad_frame == "stop":
            raise InputError(f"{video.path}: the file ends {video.cut_off} frames early; fetch it again, or use what "
                             "is there with on_bad_frame='skip'")
        if bad and on_bad_frame == "stop":
            raise unreadable(video, bad)
        if bad or video.cut_off:
            left_out.append(f"{video.name}: {len(bad)} do not decode, {video.cut_off} cut off")
        if not images:
            raise InputError(f"{video.path}: no frame of this video can be decoded; leave it out")
        placed.append(images)
        frames.append(np.array(numbers, np.int32))
        total = sum(len(one) for one in placed) * images[0][0].nbytes
        if total > limit:
            raise InputError(f"{name}: more than {limit / 1e9:g} GB of frames; keep fewer (every {2 * every}th), make "
                             "them smaller, or prepare the videos with python -m data videos")
    if left_out:
        print(f"{name}: left out frames of {len(left_out)} videos: {summarise(left_out)}", file=sys.stderr)
    fields = [np.stack(column) for column in zip(*(row for images in placed for row in images), strict=True)]
    images, keypoints, visible, scale, crop = fields
    source = arrays(images, keypoints, visible, NO_KEYPOINTS, name, scale=scale, crop=crop)
    kept = numbered(source, [len(numbers) for numbers in frames], [video.name for video in videos])
    return replace(kept, frame=np.concatenate(frames))


def _read(video: Video, transform: Transform, every: int) -> tuple[list, list[int], list[int]]:
    """Returns the transformed frames that are kept, their numbers, and those of frames that do not decode."""
    squares, numbers, bad = [], [], []
    for number, image in frames_of_one_size(video):
        if number % every:
            continue
        if image is None:
            bad.append(number)
            continue
        squares.append(transform(
            image, np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.float32(max(video.size))))
        numbers.append(number)
    return squares, numbers, bad
