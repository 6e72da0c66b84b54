"""Rows about the semi-supervised method: its step, its product of features and masks, and more keypoints."""
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from experiments.benchmark.row import Effort, Row, compared, exact, milliseconds, ratio
from experiments.benchmark.steps import Step, cases, noise_batch, skeleton
from experiments.configs import changed
from experiments.semi_supervised import build_ours, build_supervised, parts_of
from experiments.semi_supervised_presets import PRESETS, Config
from kpjax import Method
from kpjax.losses import semantic_representation

DEMO = PRESETS["demo"]
LARGE = changed(PRESETS["mpii"], dtype="bfloat16")


def semi_supervised_rows(effort: Effort) -> Iterator[Row]:
    """A step over a supervised one on the same images, memory of the semantic product, and four times the keypoints."""
    separate = {"demo, a pass for each view": changed(DEMO, warped_pass="separate")}
    for name, config in (cases(DEMO, **{"HRNet-W32, 256 px, bfloat16": LARGE}) | separate).items():
        yield step_row(effort, name, config)
    yield from product_rows(effort)
    yield keypoints_row(effort, "demo", DEMO)


def _step(method: Method, config: Config) -> Step:
    """Compiles a step whose streams share the config's batch."""
    rows, side, count = config.batch_size // len(method.streams), config.data.image_size, len(method.skeleton.names)
    return Step(method, {name: noise_batch(rows, side, count, seed=seed) for seed, name in enumerate(method.streams)})


def step_row(effort: Effort, name: str, config: Config, keypoints: int = 16) -> Row:
    """A step of ours over one of supervised training on the same images.

    Ours sees every image twice, so its network alone takes 2, and all else has to fit into a tenth of that.
    """
    parts = parts_of(config, skeleton(keypoints))
    ours, plain = (_step(build(parts), config) for build in (build_ours, build_supervised))
    return compared(f"ours / supervised, {name}", effort.times({"ours": ours, "supervised": plain}), "ours",
                    "supervised", bar=2.2, note=f"{config.batch_size} images; temporaries "
                    f"{ours.temporary_bytes / 1e6:.0f} and {plain.temporary_bytes / 1e6:.0f} MB")


def keypoints_row(effort: Effort, name: str, config: Config, few: int = 16, many: int = 64) -> Row:
    """A step of ours with many keypoints over one with few."""
    times = effort.times({str(count): _step(build_ours(parts_of(config, skeleton(count))), config)
                          for count in (few, many)})
    return compared(f"ours, {few} to {many} points, {name}", times, str(many), str(few), bar=1.5)


def product_rows(effort: Effort, batch: int = 32, side: int = 64, keypoints: int = 16,
                 channels: int = 64) -> Iterator[Row]:
    """Value and gradient of the semantic representation, over those of a product of five axes of the same shapes."""

    def plain(features, masks):
        return (features[:, :, :, None, :] * masks[..., None]).max((1, 2))

    features, masks = (jax.random.normal(jax.random.key(number), (batch, side, side, count))
                       for number, count in enumerate((channels, keypoints)))
    compiled = {name: jax.jit(jax.value_and_grad(
        lambda *inputs, product=product: jnp.square(product(*inputs)).sum(), (0, 1))).lower(features, masks).compile()
        for name, product in (("ours", semantic_representation), ("plain", plain))}
    memory = {name: program.memory_analysis().temp_size_in_bytes for name, program in compiled.items()}
    whole = 4 * batch * side**2 * keypoints * channels
    yield Row("memory of the semantic product / plain", exact(memory["ours"] / whole), bar=0.25, note=(
        f"temporaries {memory['ours'] / 1e6:.1f} MB beside {whole / 1e6:.0f} MB of a product of five axes; the plain "
        f"program has {memory['plain'] / 1e6:.0f} MB"))
    times = effort.times({name: lambda program=program: jax.block_until_ready(program(features, masks))
                          for name, program in compiled.items()}, most=3, warm_up=1)
    yield Row("plain / semantic product", ratio(times["plain"], times["ours"]),
              note=f"value and gradient in {milliseconds(times['ours'])}")
