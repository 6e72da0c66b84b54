"""`python -m experiments predict RUN IMAGES --out FOLDER`: any finished run on a folder of pictures of any sizes.

Writes points.csv (image, keypoint, x, y, score, status) in pixels of each picture as it is shown, the centre of the
top-left pixel at (0, 0), and the pictures with their points drawn into overlays/. The status is `ok`, `outside` for a
point that lies beyond the picture's edge, or `unreadable` (x and y nan, score 0) for all points of a picture that does
not decode. The score is what the method calls one: it orders points of one run and is no probability.
"""
import argparse
import csv
import importlib
import io
import os
import pkgutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image, ImageOps

import experiments
from kpjax.errors import InputError, RunError, summarise
from kpjax.input.placement import Place, letterbox
from kpjax.structures import Example, Method, Skeleton
from kpjax.training.checkpoints import load_trained
from kpjax.viewing.finished_runs import FinishedRun, read_run
from kpjax.viewing.overlays import draw_keypoints, opacity_of_scores, write_png

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
COLUMNS = ("image", "keypoint", "x", "y", "score", "status")
ON_BAD_IMAGE = ("stop", "skip")


class Points(NamedTuple):
    """What was found on one picture."""

    image: str  # its path below the folder, with forward slashes
    keypoints: np.ndarray  # (K, 2) float64, pixels of the picture; nan if it is unreadable
    scores: np.ndarray  # (K,) float64; 0 if it is unreadable
    status: tuple[str, ...]  # one per keypoint


def read_picture(path: Path) -> np.ndarray:
    """A picture (H, W, 3) uint8 as a viewer shows it: turned as its EXIF says, grey as RGB, 16 bits as the upper 8.

    Raises InputError if it does not decode, or only in part.
    """
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):
                grey = np.clip(np.asarray(picture, np.int64) >> 8, 0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=-1)
            return np.asarray(picture.convert("RGB"))
    # Pillow raises SyntaxError for a broken PNG and ValueError or its own error for sizes that make no sense.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {error}") from None


def pictures_in(folder: Path, out: Path) -> list[Path]:
    """All pictures in a folder and below, sorted, but what is in `out`. Raises InputError if there is none."""
    if not folder.exists():
        raise InputError(f"IMAGES: {folder} does not exist; give a folder of pictures")
    if not folder.is_dir():
        raise InputError(f"IMAGES: {folder} is a file; give the folder that it lies in")
    inside = out.resolve()
    found = sorted(path for path in folder.rglob("*")
                   if path.suffix.lower() in ENDINGS and path.is_file()
                   and not any(part.startswith(".") for part in path.relative_to(folder).parts)
                   and inside not in path.resolve().parents)
    if not found:
        raise InputError(f"IMAGES: no picture in {folder}; it looks for names that end in {', '.join(ENDINGS)}")
    return found


def open_run(folder: Path) -> tuple[FinishedRun, Method, int, Place]:
    """A finished run: its result, its method, the side of the square that it sees, and how pictures get there.

    Raises InputError for a folder that does not exist, is no run, or whose run is not finished.
    """
    if not folder.is_dir():
        raise InputError(f"RUN: {folder} does not exist; give runs/<experiment>/<preset>/<variant>/seed-<n>")
    if not (folder / "results.json").is_file():
        below = sorted(path.parent for path in folder.glob("*/results.json")) or sorted(
            path.parent for path in folder.glob("*/*/results.json"))
        if below:
            raise InputError(f"RUN: {folder} holds several runs; give one of them, for example {below[0]}")
        if (folder / "config.json").is_file():
            raise InputError(f"RUN: {folder} is not finished (no results.json); the command that began it resumes it")
        raise InputError(f"RUN: {folder} is no run's folder (no results.json in it)")
    run = read_run(folder)
    if not (folder / "model").is_dir():
        raise InputError(f"RUN: {folder} has no model/; the variant trains nothing, or the folder was not copied whole")
    known = sorted(module.name for module in pkgutil.iter_modules(experiments.__path__))
    if run.experiment not in known:
        raise InputError(f"{folder / 'results.json'}: experiment {run.experiment!r} is unknown here; there are "
                         f"{', '.join(known)}")
    predictor = getattr(importlib.import_module(f"experiments.{run.experiment}"), "predictor", None)
    if predictor is None:
        raise InputError(f"{folder / 'results.json'}: experiment {run.experiment!r} offers no predictor")
    method, side, place = predictor(folder)
    return run, method, side, place or letterbox(side)


def _placed(picture: np.ndarray, place: Place, index: int, keypoints: int) -> Example:
    """An example without labels, as a method's `predict` gets it."""
    image, points, visible, scale, crop = place(
        picture, np.zeros((keypoints, 2), np.float32), np.zeros(keypoints, np.float32), np.float32(1))
    return Example(image, points, visible, np.float32(scale), np.asarray(crop, np.float32), np.int32(index))


def _read(path: Path) -> np.ndarray | InputError:
    try:
        return read_picture(path)
    except InputError as error:
        return error


def in_original_pixels(crop: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Points (K, 2) of a placed image in pixels of the original, float64, by the (3, 3) map `crop`."""
    moved = np.concatenate([keypoints, np.ones((len(keypoints), 1))], -1) @ np.asarray(crop, np.float64).T
    return moved[:, :2] / moved[:, 2:]


def predicted(
    paths: Sequence[Path], names: Sequence[str], method: Method, trained, place: Place, batch_size: int,
) -> Iterator[list[tuple[Points, np.ndarray | InputError]]]:
    """Points and picture (or why there is none) of every path, in order, a batch at a time.

    Every batch has the same shape, the last one padded with index -1, so that `method.predict` is compiled once.
    Raises RunError if a point is not finite.
    """
    count = len(method.points.names)
    predict = jax.jit(method.predict)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as readers:
        for start in range(0, len(paths), batch_size):
            pictures = list(readers.map(_read, paths[start:start + batch_size]))
            good = [n for n, picture in enumerate(pictures) if not isinstance(picture, InputError)]
            keypoints, scores = np.full((len(pictures), count, 2), np.nan), np.zeros((len(pictures), count))
            if good:
                examples = [_placed(pictures[n], place, start + n, count) for n in good]
                examples += [examples[0]._replace(index=np.int32(-1))] * (batch_size - len(good))
                prediction = predict(trained, Example(*map(np.stack, zip(*examples, strict=True))))
                found, certain = np.asarray(prediction.keypoints, np.float64), np.asarray(prediction.scores, np.float64)
                for row, n in enumerate(good):
                    keypoints[n] = in_original_pixels(examples[row].crop, found[row])
                    scores[n] = certain[row]
                    if not np.isfinite(keypoints[n]).all():
                        raise RunError(f"{paths[start + n]}: the run's network gives a point that is not finite")
            yield [(Points(names[start + n], keypoints[n], scores[n], _status(keypoints[n], picture)), picture)
                   for n, picture in enumerate(pictures)]


def _status(keypoints: np.ndarray, picture: np.ndarray | InputError) -> tuple[str, ...]:
    if isinstance(picture, InputError):
        return ("unreadable",) * len(keypoints)
    height, width = picture.shape[:2]
    inside = ((keypoints >= -0.5) & (keypoints <= [width - 0.5, height - 0.5])).all(-1)
    return tuple("ok" if within else "outside" for within in inside)


def table_text(found: Sequence[Points], skeleton: Skeleton) -> str:
    """points.csv: a row per picture and keypoint, coordinates to a thousandth of a pixel."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for points in found:
        for name, (x, y), score, status in zip(
                skeleton.names, points.keypoints, points.scores, points.status, strict=True):
            writer.writerow([points.image, name, f"{x:.3f}", f"{y:.3f}", f"{score:.6g}", status])
    return file.getvalue()


def overlay_names(names: Sequence[str]) -> list[str]:
    """Where each picture's overlay goes: a.jpg to a_overlay.png, or to a.jpg_overlay.png if there is an a.png too."""
    stems = [str(Path(name).with_suffix("")) for name in names]
    return [f"{stem if stems.count(stem) == 1 else name}_overlay.png" for name, stem in zip(names, stems, strict=True)]


def predict_folder(
    run: Path, images: Path, out: Path, *, batch_size: int = 16, on_bad_image: str = "stop", overlays: bool = True,
    overwrite: bool = False, tell: Callable[[str], None] = print,
) -> Path:
    """Writes points.csv and overlays/ into `out` and returns the path of points.csv.

    on_bad_image: "stop" reads every picture first and raises InputError that names all that do not decode, before
    anything is written; "skip" keeps them as rows that say `unreadable`, and names and counts them.
    Raises InputError for folders that are missing or empty, a run that is not finished, and output that is there
    already (unless `overwrite`) or cannot be written.
    """
    run, images, out = Path(run), Path(images), Path(out)
    if on_bad_image not in ON_BAD_IMAGE:
        raise InputError(f"--on-bad-image: {on_bad_image!r} is neither stop nor skip")
    if batch_size < 1:
        raise InputError(f"--batch-size: {batch_size} is no number of pictures; give 1 or more")
    table = out / "points.csv"
    if table.exists() and not overwrite:
        raise InputError(f"--out: {table} exists already; give --overwrite or another folder")
    paths = pictures_in(images, out)
    names = [path.relative_to(images).as_posix() for path in paths]
    result, method, side, place = open_run(run)
    if on_bad_image == "stop":
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as readers:
            broken = [str(read) for read in readers.map(_fault, paths) if read is not None]
        if broken:
            raise InputError(f"IMAGES: {len(broken)} of {len(paths)} pictures cannot be read: {summarise(broken)}; "
                             "replace them, or go on without them with --on-bad-image skip")
    tell(f"{result.experiment} {result.preset} {result.variant} seed {result.seed}: {len(paths)} pictures at {side} px "
         f"on {jax.devices()[0].device_kind}")
    trained = load_trained(run / "model")
    began = time.monotonic()
    found, broken = [], []
    try:
        overlay = dict(zip(names, overlay_names(names), strict=True))
        usual = None  # the median score of the first pictures sets what counts as low, so that all are drawn alike
        for batch in predicted(paths, names, method, trained, place, batch_size):
            found += [points for points, _ in batch]
            broken += [str(picture) for _, picture in batch if isinstance(picture, InputError)]
            drawn = [pair for pair in batch if overlays and not isinstance(pair[1], InputError)]
            if usual is None and drawn:
                usual = float(np.median([points.scores for points, _ in drawn]))
            for points, picture in drawn:
                write_png(out / "overlays" / overlay[points.image], draw_keypoints(
                    picture, points.keypoints, opacity_of_scores(points.scores, usual), method.points))
        out.mkdir(parents=True, exist_ok=True)
        temporary = out / ".points.csv.writing"
        temporary.write_text(table_text(found, method.points), encoding="utf-8")
        temporary.replace(table)
    except OSError as error:
        raise InputError(f"--out: {out} cannot be written: {error.strerror or error}; free some space or choose "
                         "another folder") from error
    seconds = max(time.monotonic() - began, 1e-9)
    outside = sum(status == "outside" for points in found for status in points.status)
    tell(f"{len(paths)} pictures in {seconds:.1f} s ({len(paths) / seconds:.1f} a second), {len(broken)} unreadable"
         f"{': ' + summarise(broken) if broken else ''}; {outside} points outside their picture")
    tell(f"{table}" + (f" and {out / 'overlays'}" if overlays else ""))
    return table


def _fault(path: Path) -> InputError | None:
    """Why a picture cannot be read. Unlike `_read` it does not keep the picture, so a large folder fits in memory."""
    read = _read(path)
    return read if isinstance(read, InputError) else None


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, one line each."""

    def error(self, message: str):
        raise InputError(f"experiments predict: {message}; see --help")


def main(arguments: Sequence[str]) -> Path:
    """The command. Raises InputError; exits 0 for --help."""
    parser = _Parser(prog="python -m experiments predict", description=__doc__.split("\n\n")[1])
    parser.add_argument("run", metavar="RUN", type=Path, help="a finished run's folder, .../<variant>/seed-<n>")
    parser.add_argument("images", metavar="IMAGES", type=Path, help="a folder of pictures, searched with all below it")
    parser.add_argument("--out", required=True, metavar="FOLDER", type=Path, help="where points.csv and overlays/ go")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures at a time (default 16)")
    parser.add_argument("--on-bad-image", choices=ON_BAD_IMAGE, default="stop",
                        help="what to do about pictures that do not decode (default stop)")
    parser.add_argument("--no-overlays", action="store_true", help="write points.csv only")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier points.csv in FOLDER")
    flags = parser.parse_args(arguments)
    return predict_folder(flags.run, flags.images, flags.out, batch_size=flags.batch_size,
                          on_bad_image=flags.on_bad_image, overlays=not flags.no_overlays, overwrite=flags.overwrite)
