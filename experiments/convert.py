"""`python -m experiments convert PROJECT --to coco|dlc|lp|slp|csv --out FOLDER`: annotations for another tool.

Labels are written in that tool's format, with pictures beside them; what was written is read back and compared. What
the format has no place for is named. Predictions are refused: they must not become labels.
"""
import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from kpjax.annotations.checking import compare
from kpjax.annotations.reading import read_project
from kpjax.annotations.writing import placed_in, write_project
from kpjax.errors import InputError, RunError, summarise

FORMATS = {"coco": "coco", "dlc": "deeplabcut", "lp": "lightning_pose", "slp": "sleap", "csv": "csv"}


def convert(
    path: Path, to: str, out: Path, *, overwrite: bool = False, category: str = "", video_root: Path | None = None,
    pixels_from: int = 0, rescale_labels: bool = False, tell: Callable[[str], None] = print,
) -> list[Path]:
    """Writes the project at a path into a folder and returns the paths of its labels.

    to: one of FORMATS. The other options are those of `read_project` and `write_project`. Raises InputError as they do,
    and RunError if what was written does not read back as it was.
    """
    if to not in FORMATS:
        raise InputError(f"--to: {to!r} is unknown; there are {', '.join(FORMATS)}")
    path, out = Path(path), Path(out).absolute()
    project = read_project(path, category=category, video_root=video_root, pixels_from=pixels_from,
                           rescale_labels=rescale_labels)
    tell(f"{path}: {project.format}, {len(project.frames)} frames, {len(project.instances)} instances of "
         f"{len(project.skeleton.names)} keypoints")
    for note in project.notes:
        tell(f"  {note}")
    labels = write_project(project, FORMATS[to], out, overwrite=overwrite)
    expected, copies = placed_in(project, FORMATS[to], out)
    tell(f"{out}: {', '.join(file.relative_to(out).as_posix() for file in labels[:6])}"
         f"{f' and {len(labels) - 6} more' if len(labels) > 6 else ''}, {len(copies)} pictures")
    found = compare(expected, read_project(out))
    if found.wrong:
        raise RunError(f"{out}: what was written does not read back as it was: {summarise(found.wrong)}; keep the "
                       "original and report this")
    tell(f"read back: {len(project.frames)} frames, {len(project.instances)} instances and {found.points} points are "
         "equal")
    if found.lost:
        tell(f"{FORMATS[to]} does not hold: {'; '.join(found.lost)}")
    return labels


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, one line each."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"convert: {message}")


def main(arguments: Sequence[str]) -> None:
    """The command. Raises InputError and RunError."""
    parser = _Parser(prog="python -m experiments convert", description="An annotation project for another tool.")
    parser.add_argument("project", metavar="PROJECT", type=Path, help="a project's folder or file, in any format")
    parser.add_argument("--to", required=True, metavar="FORMAT", help=", ".join(
        f"{short} ({name})" for short, name in FORMATS.items()))
    parser.add_argument("--out", required=True, type=Path, help="the folder that is written")
    parser.add_argument("--overwrite", action="store_true", help="replace what convert wrote there before")
    parser.add_argument("--category", default="", help="of a COCO file with several")
    parser.add_argument("--video-root", type=Path, help="where videos lie that are not where the project says")
    parser.add_argument("--pixels-from", type=int, default=0, help="1 where the top-left pixel is (1, 1)")
    parser.add_argument("--rescale-labels", action="store_true", help="pictures were resized since they were labelled")
    flags = vars(parser.parse_args(list(arguments)))
    convert(flags.pop("project"), flags.pop("to"), flags.pop("out"), **flags)
