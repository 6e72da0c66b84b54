"""Rows of `experiments.benchmark` about RegDA, the input, imports, and PyTorch on this CPU."""
import functools
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments.benchmark import steps
from experiments.benchmark.multiply_adds import head_share, multiply_adds, regda_bound
from experiments.benchmark.row import Effort, Row, compared, milliseconds, pytorch_missing, ratio, spread
from experiments.benchmark.steps import DEMO, LAPTOP, Step
from experiments.configs import changed
from experiments.image_sets import open_domain
from experiments.regda import VARIANTS, build, parts_of
from experiments.regda_presets import PRESETS, Config
from kpjax.input.stream import read_ahead, stream


def regda_rows(
    effort: Effort, cases: Sequence[tuple[str, Config, float | None]] = (("demo", DEMO, 2.3), ("laptop", LAPTOP, None))
) -> Iterator[Row]:
    """An iteration of RegDA over one of supervised training. Cases have a bar beside 1.10 of the multiply-adds'."""
    for name, config, bar in cases:
        times = effort.times({"regda": steps.regda_step(config), "supervised": steps.supervised_step(config)})
        network = parts_of(config, steps.skeleton(10)).two_heads
        bound = regda_bound(head_share(multiply_adds(network, config.data.image_size)))
        row = functools.partial(compared, f"regda / supervised, {name}", times, "regda", "supervised")
        yield row(bar=1.10 * bound, note=f"1.10 x bound {bound:.2f}")
        if bar is not None:
            yield row(bar=bar, note="the demo's own bar")


def input_rows(effort: Effort, examples: int = 512) -> Iterator[Row]:
    """The rate of reading batches as `fit` does over the rate of RegDA's steps; neither disturbs the other here."""
    for name, preset in (("demo figures", "demo"), ("small sprites", "dsprites_small_colour_noisy")):
        config = PRESETS[preset]
        sources = [open_domain(domain, side=config.data.image_size, seed=0, data_dir=Path(), train=examples,
                               test=32).train for domain in (config.data.source, config.data.target)]
        streams = [stream(source, batch_size=config.batch_size, seed=0) for source in sources]
        batches = read_ahead(functools.partial(on_device, streams), itertools.count())
        times = effort.times({"input": lambda batches=batches: next(batches),
                              "step": steps.regda_step(config, len(sources[0].skeleton.names))})
        batches.close()
        yield Row(f"input rate / step rate, {name}", ratio(times["step"], times["input"]), bar=2.0, at_most=False,
                  note=f"{milliseconds(times['input'])} a pair of batches, {milliseconds(times['step'])} a step")


def on_device(streams, step: int):
    """Reads a step's batches and waits until they are on the device."""
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
    """PyTorch's time on this CPU for a supervised step with the same network, batch and loss, over ours.

    Ours also normalises images and renders targets, which PyTorch gets ready-made.
    """
    if missing := pytorch_missing("PyTorch / kpjax on this CPU"):
        yield missing
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for name, config in cases:
        sgd = changed(config, optimizer="sgd", learning_rate=1e-3, weight_decay=0.0)
        theirs, parameters = steps.pytorch_pair(sgd, 10, "cpu")
        side = config.data.image_size
        shapes = jax.eval_shape(functools.partial(parts_of(sgd, steps.skeleton(10)).two_heads.init, train=False),
                                jax.random.key(0), jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32))
        ours = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
        if parameters != ours:
            raise RuntimeError(f"the twin of {name} has {parameters} parameters, ours {ours}: they cannot be compared")
        # On a busy machine PyTorch's threads wait for each other, and one alone may be faster: the better one counts.
        candidates = {str(threads): functools.partial(theirs, threads) for threads in sorted({1, cores})}
        times = effort.times(candidates | {"kpjax": steps.supervised_step(sgd)})
        best = min(candidates, key=lambda threads: spread(times[threads].wall).median)
        yield compared(f"PyTorch / kpjax, {name}, batch {config.batch_size}", times, best, "kpjax",
                       note=f"on {best} thread(s); {ours:,} parameters")


def growth_rows(effort: Effort) -> Iterator[Row]:
    """A RegDA step of the demo with a larger batch, more keypoints or larger images, over the plain one."""
    batch, side, heatmap = DEMO.batch_size, DEMO.data.image_size, DEMO.heatmaps.heatmap_size
    small = changed(DEMO, batch_size=batch // 4)
    cases: dict[str, tuple[Config, int]] = {"base": (DEMO, 10), "base, batch / 4": (small, 10)}
    for factor in (2, 4):
        cases[f"batch x{factor} ({factor * batch})"] = changed(DEMO, batch_size=factor * batch), 10
        cases[f"keypoints x{factor} ({factor * 10})"] = DEMO, factor * 10
        cases[f"side x{factor} ({factor * side} px)"] = changed(
            small, image_size=factor * side, heatmap_size=factor * heatmap), 10
    times = effort.times({name: steps.regda_step(config, count) for name, (config, count) in cases.items()}, most=5)
    for name in cases:
        base = "base, batch / 4" if name.startswith("side") else "base"
        if not name.startswith("base"):
            yield Row(f"regda step, {name}", ratio(times[name], times[base]),
                      note=f"over {milliseconds(times[base])} of {base}")


def methods_rows(effort: Effort, config: Config = DEMO) -> Iterator[Row]:
    """Steps and images per second of every method on the demo. Ablations run the same passes and are left out."""
    methods = {name: build(config, steps.skeleton(10), name) for name, variant in VARIANTS.items()
               if variant.kind in ("method", "baseline") or name == "adabn"}
    times = effort.times({name: Step(method, steps.noise_streams(method, config)) for name, method in methods.items()},
                         most=5)
    for name, method in methods.items():
        rate = spread(1 / seconds for seconds in times[name].wall)
        images = rate.median * config.batch_size * len(method.streams)
        yield Row(f"{name}, demo", rate, "steps/s", note=f"{images:.0f} images/s, streams: {', '.join(method.streams)}")
