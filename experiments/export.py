"""`python -m experiments export RUN --out FOLDER`: a finished run as a folder that finds points without this library.

The folder holds predict.bin (the compiled function: CPU, CUDA and TPU, any batch size), weights.safetensors,
predictor.json (keypoints, sizes, coordinates, scores, versions, sha256 of every file) and run.py, which needs jax,
numpy, safetensors, flatbuffers and pillow. It loads for about six months of new jax releases; after that, or before,
`python -m experiments export --from FOLDER --out NEW` makes it again from itself.
"""
import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.predictors import OpenedRun, open_run
from kpjax.errors import InputError, RunError
from kpjax.export import standalone
from kpjax.export.placement import placement_told
from kpjax.export.reading import is_exported
from kpjax.export.writing import Provenance, check_free, write_predictor

TOLERANCE = 1e-3  # pixels between a fresh process and this one, on the same machine

# A process in which neither this library nor what it is built of can be imported.
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


def export_run(
    source: Path, out: Path, *, overwrite: bool = False, self_test: bool = True, tell: Callable[[str], None] = print,
) -> Path:
    """Exports a finished run, or a folder exported before, into `out`, and returns it.

    Raises InputError for a source that `open_run` refuses, a placement that run.py does not know, and an `out` that
    holds something; RunError if the exported folder does not find the same points in a fresh process.
    """
    source, out = Path(source), Path(out)
    check_free(out, overwrite)
    if out.resolve() == source.resolve():
        raise InputError(f"--out: {out} is where it comes from; give a new folder")
    opened = open_run(source)
    write_opened(opened, out, overwrite=overwrite, tell=tell)
    if self_test:
        tell(in_fresh_process(out / standalone.RUNNER, "--self-test", str(TOLERANCE)))
    tell(f"{out}: python {out / standalone.RUNNER} IMAGE...")
    return out


def write_opened(opened: OpenedRun, out: Path, *, overwrite: bool, tell: Callable[[str], None]) -> None:
    """Writes the folder and says what is in it."""
    provenance = Provenance(opened.result, opened.score, opened.files)
    told = write_predictor(out, opened.method, opened.trained, placement_told(opened.place, opened.side), opened.side,
                           provenance, overwrite=overwrite)
    for name, digest in told["files"].items():
        tell(f"{(out / name).stat().st_size:>12,} B  sha256 {digest[:16]}...  {name}")
    unread = sum(1 for _ in told["rebuild"]["unread"])
    tell(f"{len(told['skeleton']['names'])} points on pictures of {opened.side} px, score {told['score']['kind']}, for "
         f"{', '.join(told['platforms'])}, by jax {told['versions']['jax']}"
         + (f"; {unread} arrays that points do not depend on are left out" if unread else ""))


def in_fresh_process(runner: Path, *arguments: str) -> str:
    """What run.py prints on a CPU, where neither kpjax nor Flax can be imported. Raises RunError if it fails."""
    done = subprocess.run([sys.executable, "-I", "-c", FRESH, str(runner), *arguments], capture_output=True, text=True,
                          env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "rror" in line] or done.stderr.splitlines()
        raise RunError(f"{runner}: fails in a fresh process: {told[-1] if told else f'exit code {done.returncode}'}")
    return done.stdout.strip()


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, one line each."""

    def error(self, message: str):
        raise InputError(f"experiments export: {message}; see --help")


def main(arguments: Sequence[str]) -> Path:
    """The command. Raises InputError and RunError; exits 0 for --help."""
    parser = _Parser(prog="python -m experiments export", description=__doc__,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, nargs="?",
                        help="a finished run's folder, .../<variant>/seed-<n>")
    parser.add_argument("--from", dest="earlier", metavar="FOLDER", type=Path,
                        help="a folder exported before, to be made again for this jax")
    parser.add_argument("--out", required=True, metavar="FOLDER", type=Path, help="where the predictor goes")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier predictor in FOLDER")
    parser.add_argument("--no-self-test", action="store_true", help="do not try the result in a fresh process")
    flags = parser.parse_args(arguments)
    if (flags.run is None) == (flags.earlier is None):
        raise InputError("experiments export: give either RUN or --from FOLDER; see --help")
    if flags.earlier is not None and not is_exported(flags.earlier):
        raise InputError(f"--from: {flags.earlier} is no exported predictor (no {standalone.DESCRIPTION} in it)")
    return export_run(flags.run or flags.earlier, flags.out, overwrite=flags.overwrite,
                      self_test=not flags.no_self_test)
