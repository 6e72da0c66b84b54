"""Finished runs of networks that nothing has learnt yet, for what starts from a run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from untrained import drawn, shapes_of, write_safetensors

from experiments import experiment_of
from experiments.semi_supervised import PRESETS
from kpjax.files import write_json
from kpjax.input.source import arrays
from kpjax.models import movenet_lightning, to_torch
from kpjax.papers.configs import config_as_json, replace_fields
from kpjax.papers.engine import Job
from kpjax.papers.semi_supervised.variants import VARIANTS
from kpjax.structures import Skeleton, Trained
from kpjax.training.run_folder import write_config, write_results
from kpjax.training.trees import save_trained


def made_movenet(path: Path) -> Path:
    """Writes a file of made-up weights of all layers of a MoveNet."""
    layers = drawn(shapes_of(movenet_lightning(), np.zeros((1, 32, 32, 3), np.float32), False))
    write_safetensors(path, {name: array for name, array in to_torch(layers).items() if array.ndim})
    return path


def untrained_run(workdir: Path, skeleton: Skeleton, side: int = 32, **values: Any) -> Path:
    """Writes a `supervised` run of semi_supervised with a tiny U-net; returns its folder. values:
    further ones of its config."""
    config = replace_fields(
        PRESETS["demo"],
        image_size=side,
        heatmap_size=side // 4,
        sigma=1.0,
        widths=(4, 4, 4),
        head_layers=1,
        head_width=4,
        batch_size=8,
        steps=1,
        warm_start_steps=0,
        **values,
    )
    job = Job(experiment_of("semi_supervised"), config, "demo", "supervised", 0, workdir, workdir)
    method, count = VARIANTS["supervised"].method(config, skeleton), len(skeleton.names)
    points = np.zeros((8, count, 2))
    batch = arrays(
        np.zeros((8, side, side, 3), np.uint8), points, points[..., 0], skeleton, "blank"
    ).examples
    state = jax.eval_shape(
        method.init, jax.random.key(0), {"labelled": batch, "unlabelled": batch}, {}
    )
    write_config(job.folder, job.record())
    write_json(job.folder / "skeleton.json", asdict(skeleton))
    save_trained(job.folder / "model", Trained(drawn(state.variables), drawn(state.frozen)))
    write_results(
        job.folder,
        experiment="semi_supervised",
        preset="demo",
        variant="supervised",
        seed=0,
        steps=1,
        metrics={"test/pck": 0.5},
        images=0,
        images_per_second=1.0,
        wall_seconds=1.0,
        config=config_as_json(config),
    )
    return Path(job.folder)
