"""The command `export`: a finished run as a folder that finds keypoints without this library."""

from importlib.metadata import version
from pathlib import Path

import jax

from kpjax import RunError, standalone
from kpjax.files import absolute, check_new
from kpjax.images.transforms import needs_box
from kpjax.lab import hub
from kpjax.lab.animals.calibration import table_as_json
from kpjax.lab.commands import Export
from kpjax.lab.out.export import CARD, OPSET, a_cpu, input_of, onnx_model, write_predictor
from kpjax.lab.own.animals import FOLDER
from kpjax.lab.predictors import open_runs, seeds_below

TOLERANCE = 1e-3  # pixels between the run and what was exported, on the same machine


def export(asked: Export) -> Path:
    """Exports a finished run, or a folder exported before, and returns the new folder.

    Raises InputError for a source that `open_run` refuses or whose transform run.py does not know,
    for an `out` that is not empty, and for ONNX without its converter; RunError if the result does
    not find the same points.
    """
    source, out = absolute(hub.folder_of(asked.run)), asked.out
    check_new(out)
    opened = open_runs(source)
    input_of(opened.transform)  # refuses what run.py cannot do, before the work
    model, versions = None, {}
    if asked.to == "onnx":
        model = onnx_model(opened.method, opened.trained, opened.side)
        versions = {"jax2onnx": version("jax2onnx"), "opset": OPSET}
    description = write_predictor(
        out,
        opened.method,
        opened.trained,
        opened.transform,
        run=opened.result,
        score=table_as_json(opened.score),
        files=opened.files,
        licence=asked.licence,
        model=model,
        versions=versions,
    )
    for name in standalone.FILES:
        if (out / name).is_file():
            print(f"{(out / name).stat().st_size:>12,} B  {name}")
    left_out = description.get("left_out")
    print(
        f"{len(opened.method.skeleton.names)} points on images of {opened.side} px, score {opened.score.kind}, "
        f"for {', '.join(description['platforms'])}, by jax {description['versions']['jax']}"
        + (f"; {left_out} arrays that points do not depend on are left out" if left_out else "")
    )
    if until := description.get("loads_until"):
        print(
            f"jax promises that new releases load it until {until}; ONNX lasts longer (--to onnx)"
        )
    if any((Path(run) / FOLDER).is_dir() for run in (source, *seeds_below(Path(source)))):
        print(
            "the network that finds several animals stays with the run: what is exported needs their boxes"
        )
    with jax.default_device(a_cpu()):
        difference = standalone.self_test(standalone.open_predictor(out))
    if not difference <= TOLERANCE:
        raise RunError(
            f"{out}: points lie up to {difference:.3g} px from the run's; at most {TOLERANCE:g} is right"
        )
    box = " --box X Y WIDTH HEIGHT" * needs_box(opened.transform)
    print(f"{out}: python {out / standalone.RUNNER} IMAGE...{box}")
    print(
        f"{out / CARD}: read it before you give the folder away"
        + ("" if asked.licence else "; it states no licence (--licence)")
    )
    return out
