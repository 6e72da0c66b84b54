"""`python -m experiments predict RUN IN... --out FOLDER`: a finished run, or an exported predictor, on own pictures.

Points on pictures, folders of them and videos of any size. Writes points.csv for all pictures together and
<video>.csv for each video, with a row for every keypoint of every frame; with --formats dlc,slp,coco also the files of
DeepLabCut, SLEAP and COCO; overlays/ with the pictures drawn on, a sheet of a few frames, and with --overlay
<video>_overlay.mp4. Coordinates are pixels of each picture as it is shown, the centre of the top-left pixel at (0, 0).
The status of a point is ok, outside (beyond the edge), unreadable (the frame does not decode: x and y nan, score 0) or
no_box. The score is what the method calls one: it orders points of one run and is no probability.
"""
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from experiments.predict.command import predict_inputs
from experiments.predict.options import Options, read_flags
from kpjax.training.malloc import keep_freed_memory


def predict_folder(
    run: Path, images: Path, out: Path, *, batch_size: int = 16, on_bad_frame: str = "stop", overlays: bool = True,
    overwrite: bool = False, tell: Callable[[str], None] = print,
) -> Path:
    """Writes points.csv and overlays/ of all pictures in a folder into `out` and returns the path of points.csv.

    Raises as `predict_inputs` does.
    """
    options = Options(overlay=None if overlays else False, on_bad_frame=on_bad_frame, batch_size=batch_size,
                      overwrite=overwrite)
    return predict_inputs(run, [images], out, options, tell=tell)[0]


def main(arguments: Sequence[str]) -> list[Path]:
    """The command. Raises InputError and RunError; exits 0 for --help."""
    run, inputs, out, options = read_flags(arguments, __doc__)
    if jax.default_backend() == "cpu":
        keep_freed_memory()
    return predict_inputs(run, inputs, out, options)
