"""Rows about RegDA, imports, larger problems, and every method on the demo."""
import subprocess
import sys
from collections.abc import Iterator, Mapping

from experiments.benchmark.multiply_adds import multiply_adds, regda_bound
from experiments.benchmark.row import Effort, Row, Samples, compared, milliseconds, ratio, spread
from experiments.benchmark.steps import DEMO, LAPTOP, Step, regda_step, skeleton, supervised_step
from experiments.engine.configs import changed, network_of
from experiments.regda.presets import Config
from experiments.regda.variants import VARIANTS, build


def regda_rows(effort: Effort) -> Iterator[Row]:
    """An iteration of RegDA over one of supervised training."""
    for name, config in (("demo", DEMO), ("laptop", LAPTOP)):
        times = effort.times({"regda": regda_step(config), "supervised": supervised_step(config)})
        yield regda_row(name, config, 10, times)
        if name == "demo":
            yield compared(f"regda / supervised, {name}", times, "regda", "supervised", bar=2.3,
                           note="the demo's own bar")


def regda_row(name: str, config: Config, keypoints: int, times: Mapping[str, Samples]) -> Row:
    """The ratio of `regda` to `supervised` in some times; the bar is 1.10 of the ratio of their multiply-adds."""
    bound = regda_bound(multiply_adds(network_of(config, keypoints), config.data.image_size))
    return compared(f"regda / supervised, {name}", times, "regda", "supervised", bar=1.10 * bound,
                    note=f"1.10 x bound {bound:.2f}")


def import_rows(effort: Effort) -> Iterator[Row]:
    """The time of an import statement in fresh processes, after the interpreter has started."""
    for modules, bar in (("kpjax", 2.0), ("kpjax.methods.regda_family.regda, kpjax.models.unet", None),
                         ("kpjax.training.fit", None)):
        code = f"import time; began = time.perf_counter(); import {modules}; print(time.perf_counter() - began)"
        times = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
                 for _ in range(min(effort.rounds, 3))]
        yield Row(f"import {modules}", spread(times), "s", bar)


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
    times = effort.times({name: regda_step(*case) for name, case in cases.items()}, most=5)
    for name in cases:
        base = "base, batch / 4" if name.startswith("side") else "base"
        if not name.startswith("base"):
            yield Row(f"regda step, {name}", ratio(times[name], times[base]),
                      note=f"over {milliseconds(times[base])} of {base}")


def methods_rows(effort: Effort) -> Iterator[Row]:
    """Steps and images per second of every method on the demo. Ablations run the same passes and are left out."""
    methods = {name: build(DEMO, skeleton(10), name) for name, variant in VARIANTS.items()
               if variant.kind in ("method", "baseline") or name == "adabn"}
    times = effort.times({name: Step(method, DEMO.batch_size, DEMO.data.image_size)
                          for name, method in methods.items()}, most=5)
    for name, method in methods.items():
        rate = spread(1 / seconds for seconds in times[name].wall)
        images = rate.median * DEMO.batch_size * len(method.streams)
        yield Row(f"{name}, demo", rate, "steps/s", note=f"{images:.0f} images/s, streams: {', '.join(method.streams)}")
