"""Rows of the papers' presets on this device: a step on noise, beside the estimate of a plan,
and the memory.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from experiments import experiment_of
from experiments.blank import without_data
from experiments.measure.benchmark.timing import Effort, Row, spread
from kpjax import InputError
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Job
from kpjax.papers.plan import planned_stages
from kpjax.platforms import run_once
from kpjax.training.chips import CHIPS, GIB, Chip
from kpjax.training.fit import compiled_update
from kpjax.training.mesh import data_mesh, replicate, shard
from kpjax.training.planning import Planned, costs_of

PRESETS = {
    "regda": ("rhd_h3d", "regda"),
    "semi_supervised": ("lsp", "sskl"),
    "incremental": ("mpii", "kamp"),
    # with a variant of each
    "pyramids": ("h36m", "pyramids"),
    "adaptation": ("mpii_aflw", "adapted"),
}


def rows(effort: Effort) -> Iterator[Row]:
    """Yields seconds of the last stage's step of each system's paper preset, in bfloat16, on noise.

    The note has that estimate by the chip's peak and bandwidth, where the chip is known, and the memory
    at its peak.
    """
    chip = next(
        (one for one in CHIPS.values() if jax.devices()[0].device_kind.startswith(one.kind)), None
    )
    for name, (preset, variant) in PRESETS.items():
        title = f"{name} {preset}, {variant}, bfloat16"
        experiment = without_data(experiment_of(name))
        config = replace_fields(experiment.presets[preset], dtype="bfloat16")
        job = Job(experiment, config, preset, variant, 0, epath.Path("none"), epath.Path("none"))
        try:
            yield _row(title, planned_stages(job)[-1], effort, chip)
        except InputError as error:  # such as a set whose skeleton is known from its files alone
            yield Row(title, note=str(error))


def _row(title: str, stage: Planned, effort: Effort, chip: Chip | None) -> Row:
    mesh = data_mesh()
    batch = shard(
        {
            name: jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), example)
            for name, example in stage.streams.items()
        },
        mesh,
    )
    key = replicate(jax.random.key(0), mesh)
    state = run_once(lambda: _fill(stage.state))()
    update, _ = compiled_update(stage.method.update, mesh)
    compiled = update.lower(state, batch, key).compile()
    held = [state]

    def step() -> None:
        held[0], values = compiled(held[0], batch, key)
        values.block_until_ready()

    seconds = effort.times({"step": step})["step"].wall
    notes = [f"{stage.images} images"]
    if chip:
        flops, moved = costs_of(compiled)
        estimate = max(flops / chip.peak, moved / chip.bandwidth)
        notes.append(f"estimate {1e3 * estimate:.1f} ms")
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if memory:
        notes.append(f"{memory / GIB:.1f} GiB at the peak so far")
    return Row(title, spread(1e3 * one for one in seconds), "ms", ", ".join(notes))


def _fill(shapes: Any) -> Any:
    """Returns arrays of given shapes: small numbers, whose steps take as long as any."""

    def leaf(shape: jax.ShapeDtypeStruct) -> jax.Array:
        if jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        return jnp.full(
            shape.shape, 0.01 if jnp.issubdtype(shape.dtype, jnp.inexact) else 0, shape.dtype
        )

    return jax.tree.map(leaf, shapes)
