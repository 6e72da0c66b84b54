"""The command `convert`: an annotation project in another tool's format, read back and compared."""
from collections.abc import Callable
from pathlib import Path

from kpjax import InputError, RunError
from kpjax.annotations.checking import compare
from kpjax.annotations.reading import read_project
from kpjax.annotations.writing import placed_in, write_project
from kpjax.errors import summarise

FORMATS = {"coco": "coco", "dlc": "deeplabcut", "lp": "lightning_pose", "slp": "sleap", "csv": "csv"}


def convert(path: Path, to: str, out: Path, *, overwrite: bool = False, category: str = "",
            video_root: Path | None = None, pixels_from: int = 0, rescale_labels: bool = False,
            tell: Callable[[str], None] = print) -> list[Path]:
    """Writes an annotation project into a folder in another format and returns the paths of its labels.

    Args:
        path: a project of any known format.
        to: one of FORMATS.
        out: the folder.
        overwrite: replaces an earlier result.
        category, video_root, pixels_from, rescale_labels: as in `read_project`.
        tell: prints a line.
    Raises:
        InputError: as `read_project` and `write_project` do.
        RunError: the result does not read back as it was.
    """
    if to not in FORMATS:
        raise InputError(f"to: {to!r} is unknown; there are {', '.join(FORMATS)}")
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
         f"{f' and {len(labels) - 6} more' if len(labels) > 6 else ''}, {len(copies)} images")
    found = compare(expected, read_project(out))
    if found.wrong:
        raise RunError(f"{out}: what was written does not read back as it was: {summarise(found.wrong)}; keep the "
                       "original and report this")
    tell(f"read back: {len(project.frames)} frames, {len(project.instances)} instances and {found.points} points are "
         "equal")
    if found.lost:
        tell(f"{FORMATS[to]} does not hold: {'; '.join(found.lost)}")
    return labels
