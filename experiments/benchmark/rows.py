"""The rows of `experiments.benchmark`: each function measures one question and yields the lines that answer it."""
import functools
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments.benchmark.accelerator import accelerator_rows, hrnet_rows
from experiments.benchmark.multiply_adds import head_share, multiply_adds, regda_bound
from experiments.benchmark.row import Effort, Row, milliseconds, pytorch_missing
from experiments.benchmark.steps import (
    DEMO,
    LAPTOP,
    pytorch_pair,
    regda_step,
    skeleton,
    step_of,
    supervised_step,
    with_threads,
)
from experiments.benchmark.timing import interleaved, processor_ratio, ratio, spread
from experiments.domains import open_domain
from experiments.regda.config import PRESETS, Config
from experiments.regda.variants import RECIPES, VARIANTS, parts_of
from kpjax.input.prefetch import read_ahead
from kpjax.input.stream import stream


def regda_rows(
    effort: Effort, cases: Sequence[tuple[str, Config, float | None]] = (("demo", DEMO, 2.3), ("laptop", LAPTOP, None))
) -> Iterator[Row]:
    """RegDA's iteration over a supervised one. cases: name, config and a bar beside 1.10 of the multiply-adds'."""
    for name, config, bar in cases:
        times = interleaved({"regda": regda_step(config), "supervised": supervised_step(config)},
                            rounds=effort.rounds, seconds=effort.seconds)
        counts = multiply_adds(parts_of(config, skeleton(10)).two_heads, config.image_size)
        bound = regda_bound(head_share(counts))
        note = (f"{milliseconds(times['regda'])} and {milliseconds(times['supervised'])}; processor time "
                f"{processor_ratio(times['regda'], times['supervised']):.2f}; 1.10 x bound {bound:.2f}")
        figure = ratio(times["regda"], times["supervised"])
        yield Row(f"regda / supervised, {name}", figure, bar=1.10 * bound, note=note)
        if bar is not None:
            yield Row(f"regda / supervised, {name}", figure, bar=bar, note="the demo's own bar")


def input_rows(effort: Effort, examples: int = 512) -> Iterator[Row]:
    """Batches of both streams read as `fit` reads them, over steps of RegDA; neither disturbs the other here."""
    for name, preset in (("demo figures", "demo"), ("small sprites", "dsprites_small_colour_noisy")):
        config = PRESETS[preset]
        sources = [open_domain(domain, side=config.image_size, seed=0, data_dir=Path(), train=examples, test=32).train
                   for domain in (config.source, config.target)]
        streams = [stream(source, batch_size=config.batch_size, seed=0) for source in sources]
        batches = read_ahead(functools.partial(_device_batches, streams), itertools.count())
        times = interleaved({"input": lambda batches=batches: next(batches),
                             "step": regda_step(config, len(sources[0].skeleton.names))},
                            rounds=effort.rounds, seconds=effort.seconds)
        batches.close()
        yield Row(f"input rate / step rate, {name}", ratio(times["step"], times["input"]), bar=2.0, at_most=False,
                  note=f"{milliseconds(times['input'])} a pair of batches, {milliseconds(times['step'])} a step")


def _device_batches(streams, step: int):
    return jax.block_until_ready(jax.device_put([batches[step] for batches in streams]))


def import_rows(effort: Effort) -> Iterator[Row]:
    """The time of an import statement in fresh processes, after the interpreter has started."""
    for modules, bar in (("kpjax", 2.0), ("kpjax.methods.domain_adaptation.regda, kpjax.models.unet", None),
                         ("kpjax.training.fit", None)):
        code = f"import time; began = time.perf_counter(); import {modules}; print(time.perf_counter() - began)"
        times = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
                 for _ in range(min(effort.rounds, 3))]
        yield Row(f"import {modules.split(',')[0]}" + (", ..." if "," in modules else ""), spread(times), "s", bar)


def pytorch_rows(
    effort: Effort, cases: Sequence[tuple[str, Config]] = (("demo network", DEMO), ("PoseResNet-18, 64 px", LAPTOP))
) -> Iterator[Row]:
    """PyTorch's time for a supervised step over ours: more than 1 means that ours is faster.

    Ours also normalises the pictures and draws the targets, which PyTorch gets ready-made.
    """
    if missing := pytorch_missing("PyTorch / kpjax on this CPU"):
        yield missing
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for name, config in cases:
        sgd = replace(config, optimizer="sgd", learning_rate=1e-3, weight_decay=0.0)
        theirs, parameters = pytorch_pair(sgd, 10, "cpu")
        parts = parts_of(sgd, skeleton(10))
        shapes = jax.eval_shape(functools.partial(parts.two_heads.init, train=False), jax.random.key(0),
                                jax.ShapeDtypeStruct((1, config.image_size, config.image_size, 3), jnp.float32))
        ours = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
        if parameters != ours:
            raise RuntimeError(f"the twin of {name} has {parameters} parameters, ours {ours}: they cannot be compared")
        # On a busy machine PyTorch's threads wait for each other, and one alone may be faster: the better one counts.
        candidates = {str(threads): with_threads(theirs, threads) for threads in sorted({1, cores})}
        times = interleaved(candidates | {"kpjax": supervised_step(sgd)}, rounds=effort.rounds,
                            seconds=effort.seconds)
        best = min(candidates, key=lambda threads: spread(times[threads].wall).median)
        note = (f"{milliseconds(times[best])} on {best} thread(s) and {milliseconds(times['kpjax'])}; processor time "
                f"{processor_ratio(times[best], times['kpjax']):.2f}; {ours:,} parameters")
        yield Row(f"PyTorch / kpjax, {name}, batch {config.batch_size}", ratio(times[best], times["kpjax"]), note=note)


def growth_rows(effort: Effort) -> Iterator[Row]:
    """A RegDA step of the demo with more of one thing, over the plain one."""
    base = DEMO
    changes: dict[str, tuple[Config, int]] = {"base": (base, 10)}
    for factor in (2, 4):
        changes[f"batch x{factor} ({factor * base.batch_size})"] = (
            replace(base, batch_size=factor * base.batch_size), 10)
    for factor in (2, 4):
        changes[f"keypoints x{factor} ({factor * 10})"] = (base, factor * 10)
    for factor in (2, 4):
        changes[f"side x{factor} ({factor * base.image_size} px)"] = (
            replace(base, image_size=factor * base.image_size, heatmap_size=factor * base.heatmap_size,
                    batch_size=base.batch_size // 4), 10)
    changes["base, batch / 4"] = (replace(base, batch_size=base.batch_size // 4), 10)
    times = interleaved({name: regda_step(config, count) for name, (config, count) in changes.items()},
                        rounds=min(effort.rounds, 5), seconds=effort.seconds)
    for name in changes:
        if name.startswith("base"):
            continue
        beside = "base, batch / 4" if name.startswith("side") else "base"
        yield Row(f"regda step, {name}", ratio(times[name], times[beside]), note=f"over {milliseconds(times[beside])}"
                  + (f" at batch {base.batch_size // 4}" if name.startswith("side") else ""))


def methods_rows(effort: Effort, config: Config = DEMO) -> Iterator[Row]:
    """Steps per second on the demo. Ablations run the same passes as their method and are left out."""
    names = [name for name in RECIPES if VARIANTS[name].kind in ("method", "baseline") or name == "adabn"]
    methods = {name: RECIPES[name].build(parts_of(config, skeleton(10))) for name in names}
    times = interleaved({name: step_of(method, config) for name, method in methods.items()},
                        rounds=min(effort.rounds, 5), seconds=effort.seconds)
    for name, method in methods.items():
        rate = spread(1 / seconds for seconds in times[name].wall)
        images = rate.median * config.batch_size * len(method.streams)
        yield Row(f"{name}, demo", rate, "steps/s", note=f"{images:.0f} images/s, streams: {', '.join(method.streams)}")


ROWS: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "regda": regda_rows, "input": input_rows, "import": import_rows, "pytorch": pytorch_rows,
    "accelerator": accelerator_rows, "hrnet": hrnet_rows, "growth": growth_rows, "methods": methods_rows}
