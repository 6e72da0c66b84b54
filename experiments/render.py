"""Renders what the tutorials learn from, in place of a person's own images and labels.

Command   python -m experiments render regda --out FOLDER     what the tutorial on RegDA learns from
"""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from tyro.conf import Positional, arg

from data.figure_categories import PEOPLE, render_category
from data.figure_faces import FACES
from data.figure_four_legged import FOUR_LEGGED
from data.figure_poses import skeleton as of_people
from data.figure_videos import figure_videos
from data.figures import DOMAINS, figures, target
from kpjax.errors import InputError
from kpjax.files import atomic, partial_path, remove, remove_partials
from kpjax.formats.plain_csv import write
from kpjax.formats.project import Frame, Instance, Project
from kpjax.images.video import write_video
from kpjax.input.source import Source
from kpjax.papers.parsing import exit_code_of, parse

SIDE = 128  # px of the images
# keypoints of the clinic's first network
OLD = ("head", "neck", "right_elbow", "left_elbow", "right_knee", "left_knee")
NEW = ("right_hand", "left_hand")


def write_images(source: Source, folder: Path, rows: Collection[int] | None = None) -> list[Frame]:
    """Writes the images of a source, or some of them by number, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [
        folder / f"{number:04d}.png" for number in (range(len(source)) if rows is None else rows)
    ]
    for path in paths:
        Image.fromarray(np.asarray(source[int(path.stem)].image)).save(path)
    return [
        Frame(f"{folder.name}/{path.name}", path, None, (SIDE, SIDE), folder.name) for path in paths
    ]


def write_labels(
    source: Source, folder: Path, *, recordings: int = 4, keypoints: Sequence[str] = ()
) -> None:
    """Writes a project: a table of labels, and its images as those of some recordings.

    keypoints: those with labels.
    """
    whole = source.skeleton
    skeleton = of_people(tuple(keypoints)) if keypoints else whole
    places = [whole.names.index(name) for name in skeleton.names]
    parts = np.array_split(np.arange(len(source)), recordings)
    frames = [
        frame
        for number, rows in enumerate(parts)
        for frame in write_images(source, folder / f"recording_{number}", rows)
    ]
    instances = tuple(
        Instance(
            number,
            np.asarray(source[number].keypoints, np.float64)[places],
            np.ones(len(places), np.float32),
            np.zeros(len(places), bool),
            np.full(4, np.nan),
        )
        for number in range(len(source))
    )
    write(Project(folder, "csv", skeleton, tuple(frames), instances), folder)


def regda(folder: Path, share: float) -> None:
    """Renders people in one colour, with labels, and people as a camera might see them, without."""
    camera = DOMAINS["target"]
    write_labels(figures(share_of(320, share), DOMAINS["source"], 0, SIDE), folder / "rendered")
    write_images(figures(share_of(400, share), camera, 0, SIDE, first=1000), folder / "camera")
    write_labels(
        figures(share_of(100, share), camera, 0, SIDE, first=5000), folder / "camera_labelled"
    )


def semi_supervised(folder: Path, share: float) -> None:
    """Renders animals: twenty with labels, hundreds without, and some with labels that are kept for
    the end.
    """

    def animals(count: int, first: int) -> Source:
        return render_category(FOUR_LEGGED, count, 0, SIDE, first=first)

    write_labels(animals(20, 0), folder / "animals")
    write_images(animals(share_of(500, share), 1000), folder / "unlabelled")
    write_labels(animals(share_of(100, share), 5000), folder / "later")


def incremental(folder: Path, share: float) -> None:
    """Renders people: the old images with labels of some keypoints, and new images with labels of
    others.
    """
    people = DOMAINS["target"]
    write_labels(
        figures(share_of(320, share), people, 0, SIDE), folder / "old_labels", keypoints=OLD
    )
    write_labels(
        figures(share_of(200, share), people, 0, SIDE, first=1000),
        folder / "new_labels",
        keypoints=NEW,
    )
    write_images(figures(6, people, 0, SIDE, first=5000), folder / "patients")


def pyramids(folder: Path, share: float) -> None:
    """Renders videos of people who do exercises, each before a still background."""
    count, frames = max(round(16 * share), 2), 60
    videos = figure_videos(count, frames, SIDE, domain=replace(target(0.0), noise=0.01))
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write_video(
            folder / "videos" / f"athlete_{number}.mp4",
            [np.asarray(videos[frames * number + row].image) for row in range(frames)],
            rate=25.0,
        )


def adaptation(folder: Path, share: float) -> None:
    """Renders people with labels, and faces without; some faces have labels that measure the
    result.
    """

    def faces(count: int, first: int) -> Source:
        return render_category(FACES, count, 0, SIDE, first=first)

    write_labels(render_category(PEOPLE, share_of(400, share), 0, SIDE), folder / "people")
    write_images(faces(share_of(600, share), 1000), folder / "faces")
    write_labels(faces(share_of(100, share), 5000), folder / "faces_labelled")


def share_of(number: int, share: float) -> int:
    """Returns a share of a number of images, but enough for every command: sixty."""
    return max(round(number * share), 60)


TUTORIALS: dict[str, Callable[[Path, float], None]] = {
    one.__name__: one for one in (regda, semi_supervised, incremental, pyramids, adaptation)
}


@dataclass(frozen=True, kw_only=True)
class Render:
    """Renders the images, videos and labels that a tutorial of the documentation learns from.

    They stand in for a person's own, and nothing is downloaded. Poses are known exactly, so that a
    tutorial can also measure what a person cannot.
    """

    # which tutorial
    tutorial: Positional[
        Literal["regda", "semi_supervised", "incremental", "pyramids", "adaptation"]
    ]
    out: Annotated[Path, arg(metavar="FOLDER")]  # where its folders go
    share: float = 1.0  # share of the number of images, for a quick look
    overwrite: bool = False  # replace folders of their names


def main(arguments: Sequence[str]) -> None:
    """Renders what a tutorial learns from."""
    asked = parse(Render, arguments, prog="python -m experiments render")
    remove_partials(asked.out)
    stage = partial_path(asked.out / asked.tutorial)
    try:
        TUTORIALS[asked.tutorial](stage, asked.share)
        made = sorted(stage.iterdir())
        if not asked.overwrite and (
            there := [path.name for path in made if (asked.out / path.name).exists()]
        ):
            raise InputError(
                "out",
                f"{asked.out} has {', '.join(there)} already; give another folder, or --overwrite",
            )
        for path in made:
            with atomic(asked.out / path.name) as partial:
                path.rename(partial)
    finally:
        remove(stage)
    print(f"{asked.out.resolve()} has {', '.join(path.name for path in made)}")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
