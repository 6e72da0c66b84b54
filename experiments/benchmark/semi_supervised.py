"""Rows about the semi-supervised method: its step, its product of features and masks, and more keypoints."""
from collections.abc import Callable, Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp

from experiments.benchmark.rows import Effort, Row, milliseconds
from experiments.benchmark.steps import made_batch, skeleton
from experiments.benchmark.timing import Spread, interleaved, processor_ratio, ratio
from experiments.semi_supervised.config import PRESETS, Config
from experiments.semi_supervised.variants import build_ours, build_supervised, parts_of
from kpjax.losses.consistency import semantic_representation
from kpjax.structures import Method

DEMO = PRESETS["demo"]
LARGE = replace(PRESETS["mpii"], dtype="bfloat16")


def step_of(method: Method, config: Config, batch_size: int) -> tuple[Callable[[], None], int]:
    """One compiled step of a method on made batches, as a call that returns when it is done, and its temporaries in
    bytes. batch_size: of all streams together, divided evenly among them."""
    each = replace(config, batch_size=batch_size // len(method.streams))
    streams = {name: made_batch(each, len(method.skeleton.names), n) for n, name in enumerate(method.streams)}
    key = jax.random.key(0)
    state = jax.jit(method.init)(key, streams, {})
    update = jax.jit(method.update, donate_argnums=0).lower(state, streams, key).compile()

    def step():
        nonlocal state
        state, metrics = update(state, streams, key)
        jax.block_until_ready(metrics)

    return step, update.memory_analysis().temp_size_in_bytes


def semi_supervised_rows(effort: Effort) -> Iterator[Row]:
    """Ours over supervised training, its semantic product over the plain one, and more keypoints."""
    cases = {"demo": DEMO, "demo, a pass for each view": replace(DEMO, warped_pass="separate")}
    if jax.devices()[0].platform != "cpu":
        cases["HRNet-W32, 256 px, bfloat16"] = LARGE
    for name, config in cases.items():
        yield step_row(effort, name, config)
    yield from product_rows(effort)
    yield keypoints_row(effort, "demo", DEMO)


def step_row(effort: Effort, name: str, config: Config, keypoints: int = 16) -> Row:
    """A step of ours over one of supervised training on the same images. Ours sees every image twice, so its network
    alone takes 2, and all that it has beside it has to fit into a tenth of that."""
    parts = parts_of(config, skeleton(keypoints))
    ours, memory = step_of(build_ours(parts), config, config.batch_size)
    supervised, less = step_of(build_supervised(parts), config, config.batch_size)
    times = interleaved({"ours": ours, "supervised": supervised}, rounds=effort.rounds, seconds=effort.seconds)
    return Row(f"ours / supervised, {name}", ratio(times["ours"], times["supervised"]), bar=2.2, note=(
        f"{milliseconds(times['ours'])} and {milliseconds(times['supervised'])}; processor time "
        f"{processor_ratio(times['ours'], times['supervised']):.2f}; {config.batch_size} images; temporaries "
        f"{memory / 1e6:.0f} and {less / 1e6:.0f} MB"))


def keypoints_row(effort: Effort, name: str, config: Config, few: int = 16, many: int = 64) -> Row:
    """A step of ours with many keypoints over one with few."""
    steps = {count: step_of(build_ours(parts_of(config, skeleton(count))), config, config.batch_size)[0]
             for count in (few, many)}
    times = interleaved(steps, rounds=effort.rounds, seconds=effort.seconds)
    return Row(f"ours, {few} to {many} points, {name}", ratio(times[many], times[few]), bar=1.5, note=(
        f"{milliseconds(times[many])} and {milliseconds(times[few])}; processor time "
        f"{processor_ratio(times[many], times[few]):.2f}"))


def product_rows(
    effort: Effort, batch: int = 32, side: int = 64, keypoints: int = 16, channels: int = 64
) -> Iterator[Row]:
    """Value and gradient of the semantic representation, over those of a product of five axes of the same shapes."""

    def plain(features, masks):
        return (features[:, :, :, None, :] * masks[..., None]).max((1, 2))

    features, masks = (jax.random.normal(jax.random.key(number), (batch, side, side, count))
                       for number, count in enumerate((channels, keypoints)))
    compiled = {name: jax.jit(jax.value_and_grad(
        lambda *inputs, product=product: jnp.square(product(*inputs)).sum(), (0, 1))).lower(features, masks).compile()
        for name, product in (("ours", semantic_representation), ("plain", plain))}
    memory = {name: program.memory_analysis().temp_size_in_bytes for name, program in compiled.items()}
    share = memory["ours"] / (4 * batch * side**2 * keypoints * channels)
    yield Row("memory of the semantic product / plain", Spread(share, share, share), bar=0.25, note=(
        f"temporaries {memory['ours'] / 1e6:.1f} MB beside {4e-6 * batch * side**2 * keypoints * channels:.0f} MB of "
        f"a product of five axes; the plain program has {memory['plain'] / 1e6:.0f} MB"))
    times = interleaved({name: lambda program=program: jax.block_until_ready(program(features, masks))
                         for name, program in compiled.items()}, rounds=min(3, effort.rounds), seconds=effort.seconds,
                        warm_up=1)
    yield Row("plain / semantic product", ratio(times["plain"], times["ours"]),
              note=f"value and gradient in {milliseconds(times['ours'])}")
