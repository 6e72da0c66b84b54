"""Keypoints on images by the predictor in this folder: python run.py IMAGE... [--out points.csv]

Requires Python 3.11 or newer and: pip install jax numpy safetensors flatbuffers pillow
With predict.onnx in place of predict.bin: pip install onnxruntime numpy pillow
As a module: predictor = open_predictor(FOLDER); keypoints, scores = points_on(predictor, [read_image(PATH)]).
Points are (x, y) in pixels of the image as it is shown, the centre of the top-left pixel at (0, 0).
"""
import argparse
import csv
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# An exported folder has the code itself in place of these lines (`kpjax.lab.out.export.writing.runner`).
from kpjax.errors import InputError
from kpjax.images.reading import common_depth, read_image
from kpjax.images.transforms import AroundBox, BoxOrWhole, Transform

INSTALL = "pip install jax numpy safetensors flatbuffers pillow"
INSTALL_ONNX = "pip install onnxruntime numpy pillow"
FORMAT = 2  # of predictor.json
DESCRIPTION, FUNCTION, WEIGHTS, RUNNER = "predictor.json", "predict.bin", "weights.safetensors", "run.py"
ONNX = "predict.onnx"  # in place of the function and the weights
FILES = (DESCRIPTION, FUNCTION, WEIGHTS, RUNNER, ONNX)
LARGEST_SIDE = 8192  # px, of the square images
CHECKSUM = re.compile(rb'("checksum": ")([0-9a-f]{64})(")')  # of predictor.json itself with 64 zeros here


Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# (B, S, S, 3) uint8 -> (keypoints (B, K, 2) in pixels of these, scores (B, K)), both float32, for any B


class Predictor(NamedTuple):
    """An opened folder."""

    description: dict[str, Any]  # predictor.json
    predict: Predict


# The folder

def checked_description(folder: Path) -> dict[str, Any]:
    """Reads predictor.json and verifies the sha256 of every file. Raises InputError."""
    path = Path(folder) / DESCRIPTION
    text = _bytes(path)
    try:
        found = json.loads(text)
        made_by = found["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: damaged, no description of a predictor ({error}); copy the folder again"
                             ) from None
    whole = digest_of_description(text) == str(found.get("checksum"))
    if made_by != FORMAT:
        damage = "" if whole else ", or the file is damaged"
        raise InputError(f"{path}: format {made_by!r}, this program reads format {FORMAT}{damage}; use the "
                             f"{RUNNER} in its folder, or export the run again")
    if not whole:
        raise InputError(f"{path}: damaged: its checksum does not fit its content; copy the folder again")
    if wrong := wrong_field(found):
        raise InputError(f"{path}: {wrong} is not what an export writes; export the run again")
    for name, digest in found["files"].items():
        if hashlib.sha256(_bytes(Path(folder) / name)).hexdigest() != digest:
            raise InputError(f"{Path(folder) / name}: damaged: its sha256 is not the one in {DESCRIPTION}; copy "
                                 "the folder again")
    return found


def wrong_field(found: Mapping[str, Any]) -> str:
    """Returns the first entry of a description that means nothing, "" if all are right.

    A checksum shows damage and not who wrote a file, so names and sizes are looked at before they are used.
    """
    def part(name: str) -> dict[str, Any]:
        return found[name] if isinstance(found.get(name), dict) else {}

    def texts(values: Any) -> bool:
        return all(isinstance(value, str) and value.isprintable() for value in values)

    def number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30

    files, given, run, names = part("files"), part("input"), part("run"), part("skeleton").get("names")
    shape, points = given.get("shape"), part("check").get("keypoints")
    checks = {
        "files": files and set(files) <= {FUNCTION, WEIGHTS, RUNNER, ONNX} and texts(files.values()),
        "versions": texts(map(str, part("versions").values())) and "jax" in part("versions"),
        "input: shape": isinstance(shape, list) and len(shape) == 4 and type(shape[1]) is int
        and 1 <= shape[1] <= LARGEST_SIDE and shape[1:] == [shape[1], shape[1], 3],
        "input": isinstance(given.get("whole_images"), bool) and number(given.get("box_margin"))
        and 0 < given["box_margin"] < 1000,
        "skeleton: names": isinstance(names, list) and names and texts(names) and all(names),
        "score": texts([part("score").get("kind")]) and number(part("score").get("cutoff")),
        "run": texts([run.get(name) for name in ("experiment", "preset", "variant")]) and type(run.get("seed")) is int
        and texts([run.get("digest", "")]),
        "check: keypoints": isinstance(points, list) and len(points) == 2 and all(
            isinstance(image, list) and len(image) == len(names or ()) for image in points)}
    return next((name for name, right in checks.items() if not right), "")


def digest_of_description(text: bytes) -> str:
    """Returns the sha256 of predictor.json with zeros in place of its last checksum."""
    *_, last = [None, *CHECKSUM.finditer(text)]
    blanked = text if last is None else text[:last.start(2)] + b"0" * 64 + text[last.end(2):]
    return hashlib.sha256(blanked).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a file; copy the folder again")  # a pipe would be waited for
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; copy the folder again") from None


def open_predictor(folder: Path) -> Predictor:
    """Opens and verifies a folder. Raises InputError for damage, and for a jax that cannot load it."""
    folder = Path(folder)
    description = checked_description(folder)
    shape = (1, *description["input"]["shape"][1:])
    return Predictor(description, (_with_onnx if ONNX in description["files"] else _with_jax)(
        folder, description, shape))


def _with_jax(folder: Path, description: Mapping[str, Any], shape: tuple[int, ...]) -> Predict:
    try:
        import flatbuffers  # noqa: F401 (jax.export needs it, but does not depend on it)
        import jax
        from jax import export
        from safetensors.numpy import load
    except ImportError as error:
        raise InputError(f"{error}; {INSTALL}") from None
    content, made_by = _bytes(folder / WEIGHTS), description["versions"]["jax"]
    try:
        weights = load(content)
    except Exception as error:  # safetensors raises many kinds
        raise InputError(f"{folder / WEIGHTS}: cannot be read ({_first_line(error)}); copy the folder again"
                             ) from None
    try:
        compiled = jax.jit(export.deserialize(bytearray(_bytes(folder / FUNCTION))).call)
        compiled.lower(weights, jax.ShapeDtypeStruct(shape, np.uint8))  # some faults appear only here
    except Exception as error:  # jax raises errors of many kinds for a file that is too old or too new for it
        raise InputError(
            f"{folder / FUNCTION}: made by jax {made_by}, and jax {jax.__version__} does not load it "
            f"({_first_line(error)}); pip install jax=={made_by}, or export it again: kpjax export {folder} "
            "--out NEW") from error
    weights = jax.device_put(weights)

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled(weights, images)
        return np.asarray(found["keypoints"]), np.asarray(found["scores"])

    return run


def _with_onnx(folder: Path, description: Mapping[str, Any], shape: tuple[int, ...]) -> Predict:
    """Returns a function that ONNX Runtime runs; jax is not imported."""
    session = onnx_session(folder / ONNX)

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [session.run(["keypoints", "scores"], {"images": image[None]}) for image in images]
        return np.concatenate([points for points, _ in found]), np.concatenate([scores for _, scores in found])

    return run


def onnx_session(path: Path) -> Any:
    """Opens a model by ONNX Runtime. Raises InputError if that is not installed, or does not load it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{error}; {INSTALL_ONNX}") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of every constant that no operation reads
    try:
        return onnxruntime.InferenceSession(_bytes(path), options, providers=onnxruntime.get_available_providers())
    except Exception as error:  # its errors have no common class
        raise InputError(f"{path}: onnxruntime {onnxruntime.__version__} does not load it "
                             f"({_first_line(error)}); pip install --upgrade onnxruntime") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


# Images

def transform_of(given: Mapping[str, Any]) -> Transform:
    """Returns the transform that `input` of a predictor.json describes: an image, and perhaps a box, to a square.

    box: x, y, width, height of its edges, pixel 0 spanning 0 to 1. The square then has `box_margin` times its longer
    side; without a box the whole image is centred on black.
    """
    return (BoxOrWhole if given["whole_images"] else AroundBox)(given["shape"][1], given["box_margin"])


def in_original_pixels(map_: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Returns points (K, 2) of a square in pixels of the original image, float64."""
    moved = np.concatenate([keypoints, np.ones((len(keypoints), 1))], -1) @ np.asarray(map_, np.float64).T
    return moved[:, :2] / moved[:, 2:]


def points_on(predictor: Predictor, images: Sequence[np.ndarray], boxes: Sequence[Sequence[float]] | None = None
              ) -> tuple[np.ndarray, np.ndarray]:
    """Predicts N images (H, W, 3) uint8 of any sizes, or one box of each.

    Returns (keypoints (N, K, 2) float64 in pixels of each image, scores (N, K) float32). Raises InputError for
    missing boxes if the predictor needs them.
    """
    given = predictor.description["input"]
    if boxes is None and not given["whole_images"]:
        raise InputError("boxes: this predictor was trained on crops around boxes; give a box for every image")
    transform, nothing = transform_of(given), (np.zeros((0, 2)), np.zeros(0), 1.0)
    squares, *_, maps = zip(*(transform(image, *nothing, box) for image, box in
                              zip(images, boxes or [None] * len(images), strict=True)), strict=True)
    found, scores = predictor.predict(np.stack(squares))
    return np.stack([in_original_pixels(*pair) for pair in zip(maps, found, strict=True)]), scores


# The command

def check_images(side: int) -> np.ndarray:
    """Renders two images (2, side, side, 3) uint8, the same on every machine, for the check in predictor.json."""
    y, x = np.mgrid[:side, :side]
    waves = np.stack([(x * (3 + channel) + y * (5 + 2 * channel)) % 256 for channel in range(3)], -1)
    disc = ((x - side // 3) ** 2 + (y - side // 2) ** 2 < (side // 5) ** 2)[..., None]
    return np.stack([waves // 4 + 160 * disc, np.where(disc, 255 - waves, 90)]).clip(0, 255).astype(np.uint8)


def main(arguments: list[str]) -> None:
    """Runs the command line. Raises InputError."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    parser.add_argument("--box", nargs=4, type=float, metavar=("X", "Y", "WIDTH", "HEIGHT"),
                        help="predict this part of every image")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a csv instead of printing it")
    parser.add_argument("--batch-size", type=int, default=8, help="images at a time (default 8)")
    parser.add_argument("--self-test", nargs="?", const=0.5, type=float, metavar="PX",
                        help="fail if points lie farther than that from those at export (default 0.5)")
    flags = parser.parse_args(arguments)
    if not flags.images and flags.self_test is None:
        parser.error("give images, or --self-test")
    if flags.batch_size < 1:
        parser.error(f"--batch-size: {flags.batch_size}; must be at least 1")
    predictor = open_predictor(Path(__file__).parent)
    if flags.self_test is not None:
        found, _ = predictor.predict(check_images(predictor.description["input"]["shape"][1]))
        difference = float(np.abs(found - np.array(predictor.description["check"]["keypoints"], np.float32)).max())
        if not difference <= flags.self_test:
            raise InputError(f"{Path(__file__).parent}: points lie up to {difference:.3g} px from those at export; "
                                 "compare with JAX_PLATFORMS=cpu")
        print(f"self-test: at most {difference:.2g} px from the points at export")
        return
    rows, depth = [("image", "keypoint", "x", "y", "score", "status")], common_depth(flags.images)
    for start in range(0, len(flags.images), flags.batch_size):
        paths = flags.images[start:start + flags.batch_size]
        images = [read_image(path, depth) for path in paths]
        boxes = [flags.box] * len(paths) if flags.box else None
        for path, image, points, scores in zip(paths, images, *points_on(predictor, images, boxes), strict=True):
            height, width = image.shape[:2]
            for name, (x, y), score in zip(predictor.description["skeleton"]["names"], points, scores, strict=True):
                inside = -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5
                rows.append((path, name, f"{x:.3f}", f"{y:.3f}", f"{score:.6g}", "ok" if inside else "outside"))
    if flags.out:
        try:
            with flags.out.open("x", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        except OSError as error:
            raise InputError(f"{flags.out}: cannot be written: {error.strerror or error}; give another file") from None
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
