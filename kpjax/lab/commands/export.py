"""The command `export`: a finished run as a folder that finds keypoints without this library."""
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from kpjax import RunError
from kpjax.files import absolute, check_new
from kpjax.lab.commands import Export
from kpjax.lab.out.export import onnx, standalone
from kpjax.lab.out.export.writing import input_of, write_predictor
from kpjax.lab.own.animals import FOLDER
from kpjax.lab.predictors import open_runs, seeds_below

TOLERANCE = 1e-3  # pixels between a fresh process and this one, on the same machine

# A process without this library and those it is built on.
FRESH = """
import runpy, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'kpjax', 'experiments', 'flax', 'optax', 'orbax', 'grain'}:
            raise ImportError(name + ' is imported, and must not be')
sys.meta_path.insert(0, Refused())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def export(asked: Export, *, tell: Callable[[str], None] = print) -> Path:
    """Exports a finished run, or a folder exported before, and returns the new folder.

    Raises InputError for a source that `open_run` refuses or whose transform run.py does not know, for an `out` that is
    not empty, and for ONNX without its converter; RunError if a fresh process, or ONNX Runtime, does not find the same
    points with the result.
    """
    source, out = absolute(asked.run), asked.out
    check_new(out)
    opened = open_runs(source)
    input_of(opened.transform)  # refuses what run.py cannot do, before the work
    model, versions = None, {}
    if asked.to == "onnx":
        model = onnx.convert(opened.method, opened.trained, opened.side)
        versions = {"jax2onnx": version("jax2onnx"), "opset": onnx.OPSET}
    description = write_predictor(out, opened.method, opened.trained, opened.transform, run=opened.result,
                                  score=opened.score, files=opened.files, model=model, versions=versions)
    for name in standalone.FILES:
        if (out / name).is_file():
            tell(f"{(out / name).stat().st_size:>12,} B  {name}")
    left_out = description.get("left_out")
    tell(f"{len(opened.method.skeleton.names)} points on images of {opened.side} px, score {opened.score['kind']}, for "
         f"{', '.join(description['platforms'])}, by jax {description['versions']['jax']}"
         + (f"; {left_out} arrays that points do not depend on are left out" if left_out else ""))
    if until := description.get("loads_until"):
        tell(f"new releases of jax are promised to load it until {until}; the form that lasts is ONNX (--to onnx)")
    if any((Path(run) / FOLDER).is_dir() for run in (source, *seeds_below(Path(source)))):
        tell("the network that finds several animals stays with the run: what is exported needs their boxes")
    if asked.self_test and model:
        images = onnx.trial_images(opened.side)
        found = onnx.largest_difference(opened.method, opened.trained, out / standalone.ONNX, images)
        tell(said := f"{len(images)} images by ONNX Runtime: heatmaps within {found:.1e} of their peak")
        if not found <= onnx.BOUND:
            raise RunError(f"{out / standalone.ONNX}: {said}; at most {onnx.BOUND:g} is right")
    if asked.self_test:
        tell(in_fresh_process(out / standalone.RUNNER, "--self-test", str(TOLERANCE)))
    tell(f"{out}: python {out / standalone.RUNNER} IMAGE...")
    return out


def in_fresh_process(runner: Path, *arguments: str) -> str:
    """Returns what run.py prints on a CPU without kpjax and Flax. Raises RunError if it fails."""
    done = subprocess.run([sys.executable, "-I", "-c", FRESH, str(runner), *arguments], capture_output=True, text=True,
                          env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=False)
    if done.returncode:
        lines = done.stderr.splitlines() or [f"exit code {done.returncode}"]
        errors = [line for line in lines if "rror" in line] or lines
        raise RunError(f"{runner}: fails in a fresh process: {errors[-1]}")
    return done.stdout.strip()
