"""Keypoints on images by an exported predictor, with or without kpjax.

`kpjax export` copies this module and those that it imports whole, as the package PACKAGE of the
exported folder; `run.py` there starts `program`. They need numpy and Pillow, and jax or ONNX
Runtime. Points are (x, y) in pixels of the image as it is shown, the centre of the top-left pixel
at (0, 0).
"""

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Relative, since a copy of these modules has another package around it.
from .errors import InputError
from .images.reading import common_depth, read_image
from .images.transforms import AroundBox, BoxOrWhole, Transform

INSTALL = "pip install jax numpy safetensors flatbuffers pillow"
INSTALL_ONNX = "pip install onnxruntime numpy pillow"
FORMAT = 4  # format of predictor.json
DESCRIPTION = "predictor.json"
FUNCTION = "predict.bin"
RUNNER = "run.py"
SUMS = "SHA256SUMS"
RUN = "run"  # folder of the run that it was exported from, without what predictions do not need
WEIGHTS = f"{RUN}/model/trained.safetensors"
ONNX = "predict.onnx"  # in place of the function and the run
FILES = (DESCRIPTION, FUNCTION, WEIGHTS, RUNNER, ONNX)
PACKAGE = "kpjax_predictor"  # folder of the modules below
#: modules of kpjax that are copied whole, by their paths in it
MODULES = (
    "errors.py",
    "images/__init__.py",
    "images/boxes.py",
    "images/reading.py",
    "images/transforms.py",
    "standalone.py",
)
CODE = tuple(f"{PACKAGE}/{name}" for name in MODULES)

Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# (B, S, S, 3) uint8 -> (keypoints (B, K, 2) in pixels of these, scores (B, K)), both float32, for
# any B


class Predictor(NamedTuple):
    """An opened folder."""

    description: dict[str, Any]  # predictor.json
    predict: Predict


def checked_description(folder: Path) -> dict[str, Any]:
    """Reads predictor.json and verifies the sha256 of every file. Raises InputError."""
    folder = Path(folder)
    sums = folder / SUMS
    path = folder / DESCRIPTION
    lines = _bytes(sums).decode(errors="replace").removesuffix("\n").split("\n")
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    always = {DESCRIPTION, RUNNER, *CODE}
    if set(digests) not in (always | {FUNCTION, WEIGHTS}, always | {ONNX}):
        raise InputError(
            f"{sums}: damaged or of another version, it does not list the files of a predictor of "
            f"format {FORMAT}; copy the folder again, or use the {RUNNER} in it"
        )
    for name, digest in digests.items():
        if hashlib.sha256(_bytes(folder / name)).hexdigest() != digest:
            raise InputError(
                f"{folder / name}: damaged: its sha256 is not the one in {sums}; copy the folder again"
            )
    try:
        found = json.loads(_bytes(path))
        made_by = found["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: no description of a predictor ({error}); export the run again"
        ) from None
    if made_by != FORMAT:
        raise InputError(
            f"{path}: format {made_by!r}, this program reads {FORMAT}; use the {RUNNER} in its folder"
        )
    return found


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            # a pipe would be waited for
            raise InputError(f"{path}: is not a file; copy the folder again")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; copy the folder again") from None


def open_predictor(folder: Path) -> Predictor:
    """Opens and verifies a folder.

    Raises InputError for damage, and for a jax that cannot load it.
    """
    folder = Path(folder)
    description = checked_description(folder)
    shape = (1, *description["input"]["shape"][1:])
    return Predictor(
        description,
        (_with_onnx if (folder / ONNX).is_file() else _with_jax)(folder, description, shape),
    )


def _with_jax(folder: Path, description: Mapping[str, Any], shape: tuple[int, ...]) -> Predict:
    try:
        import flatbuffers  # noqa: F401 (jax.export needs it, but does not depend on it)
        import jax
        from jax import export
        from safetensors.numpy import load
    except ImportError as error:
        raise InputError(f"{error}; {INSTALL}") from None
    content = _bytes(folder / WEIGHTS)
    made_by = description["versions"]["jax"]
    try:
        weights = load(content)
    except Exception as error:  # safetensors raises many kinds
        raise InputError(
            f"{folder / WEIGHTS}: cannot be read ({_first_line(error)}); copy the folder again"
        ) from None
    try:
        compiled = jax.jit(export.deserialize(bytearray(_bytes(folder / FUNCTION))).call)
        # some faults appear only here
        compiled.lower(weights, jax.ShapeDtypeStruct(shape, np.uint8))
    # jax raises errors of many kinds for a file that is too old or too new for it
    except Exception as error:
        raise InputError(
            f"{folder / FUNCTION}: made by jax {made_by}, and jax {jax.__version__} does not load it "
            f"({_first_line(error)}); pip install jax=={made_by}, or export it again: kpjax export {folder} "
            "--out NEW"
        ) from error
    weights = jax.device_put(weights)

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled(weights, images)
        return np.asarray(found["keypoints"]), np.asarray(found["scores"])

    return run


def _with_onnx(folder: Path, description: Mapping[str, Any], shape: tuple[int, ...]) -> Predict:
    """Returns a function that ONNX Runtime runs; jax is not imported."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{error}; {INSTALL_ONNX}") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of every constant that no operation reads
    try:
        session = onnxruntime.InferenceSession(
            _bytes(folder / ONNX), options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # its errors have no common class
        raise InputError(
            f"{folder / ONNX}: onnxruntime {onnxruntime.__version__} does not load it "
            f"({_first_line(error)}); pip install --upgrade onnxruntime"
        ) from error

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points, scores = session.run(["keypoints", "scores"], {"images": images})
        return points, scores

    return run


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def transform_of(given: Mapping[str, Any]) -> Transform:
    """Returns the transform that `input` of a predictor.json describes: an image, and perhaps a
    box, to a square.

    box: x, y, width, height of its edges, pixel 0 spanning 0 to 1. The square then has `box_margin`
    times its longer side; without a box the whole image is centred on black.
    """
    return (BoxOrWhole if given["whole_images"] else AroundBox)(
        given["shape"][1], given["box_margin"]
    )


def in_original_pixels(map_: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Returns points (K, 2) of a square in pixels of the original image, float64."""
    moved = (
        np.concatenate([keypoints, np.ones((len(keypoints), 1))], -1)
        @ np.asarray(map_, np.float64).T
    )
    return moved[:, :2] / moved[:, 2:]


def points_on(
    predictor: Predictor,
    images: Sequence[np.ndarray],
    boxes: Sequence[Sequence[float]] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predicts N images (H, W, 3) uint8 of any sizes, or one box of each.

    Returns (keypoints (N, K, 2) float64 in pixels of each image, scores (N, K) float32). Raises
    InputError for missing boxes if the predictor needs them.
    """
    given = predictor.description["input"]
    if boxes is None and not given["whole_images"]:
        raise InputError(
            "boxes: this predictor was trained on crops around boxes; give a box for every image"
        )
    transform = transform_of(given)
    nothing = (np.zeros((0, 2)), np.zeros(0), 1.0)
    squares, *_, maps = zip(
        *(
            transform(image, *nothing, box)
            for image, box in zip(
                images, [None] * len(images) if boxes is None else boxes, strict=True
            )
        ),
        strict=True,
    )
    found, scores = predictor.predict(np.stack(squares))
    points = [in_original_pixels(*pair) for pair in zip(maps, found, strict=True)]
    return np.stack(points), scores


def check_images(side: int) -> np.ndarray:
    """Renders two images (2, side, side, 3) uint8, the same on every machine, for the check in
    predictor.json.
    """
    y, x = np.mgrid[:side, :side]
    waves = np.stack(
        [(x * (3 + channel) + y * (5 + 2 * channel)) % 256 for channel in range(3)], -1
    )
    squares = (x - side // 3) ** 2 + (y - side // 2) ** 2
    disc = (squares < (side // 5) ** 2)[..., None]
    return (
        np.stack([waves // 4 + 160 * disc, np.where(disc, 255 - waves, 90)])
        .clip(0, 255)
        .astype(np.uint8)
    )


def self_test(predictor: Predictor) -> float:
    """Returns how far points on `check_images` lie from those at export, px."""
    side = predictor.description["input"]["shape"][1]
    found, _ = predictor.predict(check_images(side))
    return float(
        np.abs(found - np.array(predictor.description["check"]["keypoints"], np.float32)).max()
    )


def main(folder: Path, arguments: Sequence[str]) -> None:
    """Runs the command line of an exported folder. Raises InputError."""
    parser = argparse.ArgumentParser(
        prog=RUNNER, description="Finds keypoints on images by the predictor in this folder."
    )
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    parser.add_argument(
        "--box",
        nargs=4,
        type=float,
        metavar=("X", "Y", "WIDTH", "HEIGHT"),
        help="predict this part of every image",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write a csv instead of printing it"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="images at a time (default 8)")
    parser.add_argument(
        "--self-test",
        nargs="?",
        const=0.5,
        type=float,
        metavar="PX",
        help="fail if points lie farther than that from those at export (default 0.5)",
    )
    flags = parser.parse_args(arguments)
    if not flags.images and flags.self_test is None:
        parser.error("give images, or --self-test")
    if flags.batch_size < 1:
        parser.error(f"--batch-size: {flags.batch_size}; must be at least 1")
    if flags.out and flags.out.exists():
        raise InputError(f"{flags.out}: is there already; give another file")
    predictor = open_predictor(folder)
    if flags.self_test is not None:
        difference = self_test(predictor)
        if not difference <= flags.self_test:
            raise InputError(
                f"{folder}: points lie up to {difference:.3g} px from those at export; "
                "compare with JAX_PLATFORMS=cpu"
            )
        print(f"self-test: at most {difference:.2g} px from the points at export")
    if not flags.images:
        return
    rows = [("image", "keypoint", "x", "y", "score", "status")]
    depth = common_depth(flags.images)
    unreadable: list[str] = []
    for start in range(0, len(flags.images), flags.batch_size):
        paths = []
        images = []
        for path in flags.images[start : start + flags.batch_size]:
            try:
                images.append(read_image(path, depth))
                paths.append(path)
            except InputError as error:
                unreadable.append(str(error))
        if not images:
            continue
        boxes = [flags.box] * len(paths) if flags.box else None
        for path, image, points, scores in zip(
            paths, images, *points_on(predictor, images, boxes), strict=True
        ):
            height, width = image.shape[:2]
            for name, (x, y), score, cutoff in zip(
                predictor.description["skeleton"]["names"],
                points,
                scores,
                map(float, predictor.description["score"]["cutoffs"]),
                strict=True,
            ):
                inside = -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5
                rows.append(
                    (
                        path,
                        name,
                        f"{x:.3f}",
                        f"{y:.3f}",
                        f"{score:.6g}",
                        "unsure" if score < cutoff else "ok" if inside else "outside",
                    )
                )
    if flags.out:
        try:
            with flags.out.open("x", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        except OSError as error:
            raise InputError(
                f"{flags.out}: cannot be written: {error.strerror or error}; give another file"
            ) from None
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    if unreadable:
        raise InputError(f"{len(unreadable)} images are left out: {'; '.join(unreadable[:3])}")


def program(folder: Path) -> None:
    """Runs the command line of an exported folder as a program, which exits with 2 for an error."""
    try:
        main(folder, sys.argv[1:])
    except InputError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
