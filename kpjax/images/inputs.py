"""Image and video inputs for prediction, in the order given."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kpjax.errors import InputError
from kpjax.files import check_local, everything_below
from kpjax.images.reading import common_depth, read_image
from kpjax.images.video import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Video,
    frames_of_one_size,
    open_video,
    without_drawn,
)

ENDINGS = (*IMAGE_SUFFIXES, ".gif")
IMAGES = "points"  # the stem of results on images; those on a video have the video's


@dataclass(frozen=True, eq=False)
class ImageSequence:
    """The frames of one video, or images whose results go into one table.

    Iterating yields one function per image, in order, that returns it (H, W, 3) uint8 as a viewer
    shows it, or raises InputError if it does not decode. Functions of image files do the reading,
    so that several threads can; those of a video hand out frames decoded on the way.
    """

    stem: str  # stem of the names of results, perhaps with folders
    path: Path  # the video, or the first of the inputs
    names: tuple[str, ...]  # (N,) of the images, or that of the video for each frame
    numbers: np.ndarray  # (N,) int64, of the frames in their video; of images from 0
    files: tuple[Path, ...] = ()  # (N,) of the images; none for a video
    video: Video | None = None
    depth: int = 0  # bits in use where values have 16, see `kpjax.images.reading`

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def times(self) -> np.ndarray | None:
        """(N,) float64: the time of each frame in seconds; None for images."""
        if self.video is None or self.video.times is None:
            return None
        return self.video.times[self.numbers]

    def __iter__(self) -> Iterator[Callable[[], np.ndarray]]:
        if self.video is None:
            yield from (partial(read_image, file, self.depth) for file in self.files)
            return
        for number, image in frames_of_one_size(self.video, {*self.numbers.tolist()}):
            yield partial(_decode, self.video, number, image)


def _decode(video: Video, number: int, image: np.ndarray | None) -> np.ndarray:
    if image is None:
        raise InputError(f"{video.path}: frame {number} does not decode")
    return image


def find_inputs(
    inputs: Sequence[Path],
    *,
    out: Path | None = None,
    frames: slice = slice(None),
    unreadable: list[str] | None = None,
) -> tuple[ImageSequence, ...]:
    """Finds all images in files and folders as one sequence, followed by one sequence for each
    video.

    Names are paths below the folder; with several inputs the folder's own name comes first.

    Args:
        inputs: images, videos, and folders, which are searched with all below them except names
            that begin with a dot, and files on which points are drawn (`kpjax.images.video.is_drawn`).
        out: a folder that is not searched.
        frames: which frames of each video.
        unreadable: takes what is wrong with videos that cannot be read, which are then left out.

    Raises:
        InputError: for a missing path, one without images and videos, an unreadable video, one
            without the `frames`, and two images or videos of one name.
    """
    inputs = [Path(path) for path in inputs]
    images: dict[str, Path] = {}
    videos: dict[str, Path] = {}
    for root in inputs:
        check_local("inputs", root)
        files = without_drawn(root, _files(root, out))
        if not files:
            raise InputError(
                "inputs",
                f"no image or video in {root}; names must end in "
                f"{', '.join((*ENDINGS, *VIDEO_SUFFIXES))}",
            )
        folder = None if root.is_file() else root.parent if len(inputs) > 1 else root
        for file in files:
            name = file.name if folder is None else file.relative_to(folder).as_posix()
            known = images if file.suffix.lower() in ENDINGS else videos
            if name in known:
                raise InputError(
                    "inputs",
                    f"{file} and {known[name]} are both called {name}; give a folder that holds "
                    "both",
                )
            check_name(file)
            known[name] = file
    if not videos and frames != slice(None):
        raise InputError(
            "frames", "selects frames of videos, and the inputs are images only; leave it out"
        )
    files = tuple(images.values())
    found = (
        [
            ImageSequence(
                IMAGES,
                inputs[0],
                tuple(images),
                np.arange(len(images)),
                files,
                depth=common_depth(files),
            )
        ]
        if images
        else []
    )
    for stem, (name, file) in zip(stems(list(videos)), videos.items(), strict=True):
        try:
            video = open_video(file, name)
        except InputError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
            continue
        found.append(from_video(video, stem, frames))
    return tuple(found)


def from_video(video: Video, stem: str, frames: slice = slice(None)) -> ImageSequence:
    """Returns some frames of a video. Raises InputError if it has none of them."""
    numbers = np.arange(len(video))[frames]
    if not len(numbers):
        raise InputError(
            "frames",
            f"{video.path} has frames 0 to {len(video) - 1}, none of them selected; select some",
        )
    return ImageSequence(
        stem, video.path, (video.name,) * len(numbers), numbers, video=video, depth=video.depth
    )


def check_name(file: Path) -> None:
    """Raises InputError for a name that no table in UTF-8 can hold."""
    if not str(file).isascii():
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise InputError(
                "inputs", f"{str(file)!r}: its name is not UTF-8; rename the file"
            ) from None


def stems(names: Sequence[str]) -> list[str]:
    """Returns names without their endings, except where two would become the same."""
    short = [str(Path(name).with_suffix("")) for name in names]
    times = Counter(short)
    pairs = zip(names, short, strict=True)
    return [stem if times[stem] == 1 else name for name, stem in pairs]


def _files(root: Path, out: Path | None) -> list[Path]:
    """Returns the images and videos at a path, sorted.

    A file given by itself may have any ending.
    """
    if not root.exists():
        alike = [
            path.name
            for path in sorted(root.parent.glob("*"))
            if path.name.casefold() == root.name.casefold()
        ]
        near = (
            f"there is {alike[0]}, spelt otherwise"
            if alike
            else "give images, videos, or folders of them"
        )
        raise InputError("inputs", f"{root} does not exist; {near}")
    if root.is_file():
        return [root]
    inside = None if out is None else out.resolve()
    if inside == root.resolve():
        raise InputError("out", f"{out} holds the inputs; name another folder")
    # results of before are no inputs; below a folder above them, everything would be one
    is_above = inside in root.resolve().parents
    return sorted(
        path
        for path in everything_below(root)
        if path.suffix.lower() in (*ENDINGS, *VIDEO_SUFFIXES)
        and path.is_file()
        and (is_above or inside not in path.resolve().parents)
    )
