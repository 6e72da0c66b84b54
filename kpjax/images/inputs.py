"""What a network is to look at: videos, and images from files and folders, in the order in which they are told of."""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kpjax.errors import InputError
from kpjax.images.reading import read_image
from kpjax.images.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Video, frames_of_one_size, open_video

ENDINGS = (*IMAGE_SUFFIXES, ".gif")
IMAGES = "points"  # what results on images are called; those on a video are called as the video


@dataclass(frozen=True, eq=False)
class Footage:
    """The frames of one video, or images that go into one table.

    Iterating gives one function for each row, in order, that returns the image (H, W, 3) uint8 as a viewer shows it,
    or raises InputError if it does not decode. The functions of images do the reading, so that several threads can;
    those of a video only hand out what was decoded on the way.
    """

    stem: str  # what results are called, without an ending; perhaps with folders
    path: Path  # the video, or the first folder or image that was named
    names: tuple[str, ...]  # (N,) of the images, or that of the video for each frame
    numbers: np.ndarray  # (N,) int64, those of the frames in their video; of images from 0
    files: tuple[Path, ...] = ()  # (N,) of the images; none for a video
    video: Video | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def times(self) -> np.ndarray | None:
        """(N,) float64: when each frame is shown, in seconds; None for images."""
        return None if self.video is None or self.video.times is None else self.video.times[self.numbers]

    def __iter__(self) -> Iterator[Callable[[], np.ndarray]]:
        if self.video is None:
            yield from (partial(read_image, file) for file in self.files)
            return
        wanted, last = set(self.numbers.tolist()), int(self.numbers[-1])
        for number, image in frames_of_one_size(self.video):
            if number in wanted:
                yield partial(_decoded, self.video, number, image)
            if number == last:
                return


def _decoded(video: Video, number: int, image: np.ndarray | None) -> np.ndarray:
    if image is None:
        raise InputError(f"{video.path}: frame {number} does not decode")
    return image


def find_footage(paths: Sequence[Path], *, out: Path | None = None, frames: slice = slice(None)) -> tuple[Footage, ...]:
    """All images that some files and folders hold as one Footage, then one for each video.

    Folders are searched with all below them, but for names that begin with a dot and for the folder `out`. Names are
    paths below the folder; if several are given, with its own name in front. frames: which frames of each video.
    Raises InputError for a path that is not there or holds neither, a video that cannot be read or has none of the
    frames that are asked for, and two images or videos of one name.
    """
    paths = [Path(path) for path in paths]
    images: dict[str, Path] = {}
    videos: dict[str, Path] = {}
    for root in paths:
        files = _files(root, out)
        if not files:
            raise InputError(f"IN: no image in {root} and no video; it looks for names that end in "
                             f"{', '.join((*ENDINGS, *VIDEO_SUFFIXES))}")
        folder = None if root.is_file() else root.parent if len(paths) > 1 else root
        for file in files:
            name = file.name if folder is None else file.relative_to(folder).as_posix()
            known = images if file.suffix.lower() in ENDINGS else videos
            if name in known:
                raise InputError(f"IN: {file} and {known[name]} are both called {name}; name a folder that holds both")
            known[name] = file
    if not videos and frames != slice(None):
        raise InputError("--frames: it chooses frames of videos, and there are images only; leave it out")
    found = []
    if images:
        found.append(Footage(IMAGES, paths[0], tuple(images), np.arange(len(images)), tuple(images.values())))
    for stem, (name, file) in zip(stems(list(videos)), videos.items(), strict=True):
        found.append(of_video(open_video(file, name), stem, frames))
    return tuple(found)


def of_video(video: Video, stem: str, frames: slice = slice(None)) -> Footage:
    """Some frames of a video. Raises InputError if there is none of them."""
    numbers = np.arange(len(video))[frames]
    if not len(numbers):
        raise InputError(f"--frames: {video.path} has frames 0 to {len(video) - 1}, "
                         "and none of those that are asked for")
    return Footage(stem, video.path, (video.name,) * len(numbers), numbers, video=video)


def stems(names: Sequence[str]) -> list[str]:
    """Names without their endings, but for those that would be the same as another's."""
    short = [str(Path(name).with_suffix("")) for name in names]
    return [stem if short.count(stem) == 1 else name for name, stem in zip(names, short, strict=True)]


def _files(root: Path, out: Path | None) -> list[Path]:
    """The images and videos that a path stands for, sorted. A file that is named is taken whatever its ending."""
    if not root.exists():
        raise InputError(f"IN: {root} does not exist; give images, videos, or folders of them")
    if root.is_file():
        return [root]
    inside = None if out is None else out.resolve()
    return sorted(path for path in root.rglob("*")
                  if path.suffix.lower() in (*ENDINGS, *VIDEO_SUFFIXES) and path.is_file()
                  and not any(part.startswith(".") for part in path.relative_to(root).parts)
                  and inside not in path.resolve().parents)
