"""A made system that finds the brightest pixel, and a second keypoint at a distance that is its
only parameter.

Its folder is put into `kpjax.papers.__path__`, so that `kpjax.papers.brightest` is a system like
others.
"""

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import papers
from kpjax.images.transforms import Letterbox
from kpjax.papers.engine import FORMAT, Predicting
from kpjax.structures import Method, Prediction, Skeleton, Trained
from kpjax.training.trees import save_trained

SIDE = 64
TRACED = []  # shapes of the images for which `predict` was compiled


@dataclasses.dataclass(frozen=True)
class Config:
    """Nothing to choose."""

    summary: str = ""
    steps: int = 1


def predict(trained, example):
    TRACED.append(example.image.shape)
    batch, _, width = example.image.shape[:3]
    grey = example.image.astype(jnp.float32).sum(-1).reshape(batch, -1)
    best = jnp.argmax(grey, -1)
    point = jnp.stack([best % width, best // width], -1).astype(jnp.float32)
    points = jnp.stack([point, point + trained.variables["params"]["offset"][None]], 1)
    return Prediction(points, jnp.stack([grey.max(-1), grey.max(-1) / 2], 1) / 765, ())


PAPER = SimpleNamespace(
    name="brightest",
    summary="",
    template=Config(),
    variants={"spot": None},
    predicting=lambda run: Predicting(
        Method(None, None, predict, (), run.skeleton), Letterbox(SIDE), "peak"
    ),
)


def write_run(folder: Path, offset: tuple[float, float], *, seed: int = 0) -> Path:
    """Writes a finished run below a folder of runs and returns its own folder."""
    run = folder / "brightest" / "demo" / "spot" / f"seed-{seed}"
    run.mkdir(parents=True)
    files = {
        "config.json": {
            "format": FORMAT,
            "variant": "spot",
            "config": dataclasses.asdict(Config()),
        },
        "skeleton.json": dataclasses.asdict(Skeleton(("spot", "beside"), ((0, 1),))),
        "results.json": {
            "experiment": "brightest",
            "preset": "demo",
            "variant": "spot",
            "seed": seed,
            "steps": 1,
            "metrics": {},
        },
    }
    for name, content in files.items():
        (run / name).write_text(json.dumps(content))
    save_trained(run / "model", Trained({"params": {"offset": np.float32(offset)}}, {}))
    return run


def as_system(patch: pytest.MonkeyPatch) -> None:
    """Makes this module a system until the patch is undone."""
    patch.setattr(papers, "__path__", [*papers.__path__, str(Path(__file__).parent)])
    patch.delitem(sys.modules, "kpjax.papers.brightest", raising=False)
