"""Rows about the other systems: a step of their methods over a plain one, and what else they cost."""
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data.figure_videos import figure_videos
from experiments import adaptation, incremental, pyramids, regda, semi_supervised
from experiments.benchmark.row import Effort, Row, Samples, compared, milliseconds, ratio, spread
from experiments.benchmark.steps import Step, cases, noise_batch, noise_streams, read_batches, skeleton
from experiments.engine.configs import changed
from experiments.incremental.builders import build_step, importance_of, setting_of
from experiments.regda import variants as regda_methods
from experiments.semi_supervised.variants import build_ours, build_supervised, setup_of
from kpjax import Method, Skeleton, Start, Trained, methods
from kpjax.images.transforms import Letterbox, Transform
from kpjax.images.video import Video, open_video, write_video
from kpjax.input.pairs import frame_pairs
from kpjax.input.video_source import read_videos
from kpjax.losses import semantic_representation
from kpjax.models.pyramid import Decoder

# Semi-supervised learning


def semi_supervised_rows(effort: Effort) -> Iterator[Row]:
    """A step over a supervised one on the same images, memory of the semantic product, and four times the keypoints."""
    demo = semi_supervised.SYSTEM.presets["demo"]
    separate = {"demo, a pass for each view": changed(demo, warped_pass="separate")}
    for name, config in (cases(semi_supervised.SYSTEM, "mpii", "HRNet-W32, 256 px, bfloat16") | separate).items():
        yield ours_row(effort, name, config)
    yield from product_rows(effort)
    times = effort.times({str(count): _shared_step(
        build_ours(demo, setup_of(demo, skeleton(count))), demo) for count in (16, 64)})
    yield compared("ours, 16 to 64 points, demo", times, "64", "16", bar=1.5)


def _shared_step(method: Method, config: semi_supervised.Config) -> Step:
    """Compiles a step whose streams share the config's batch."""
    loaded = config.data.loaded(config.augment.reach)
    return Step(method, config.batch_size // len(method.streams), loaded.side if loaded else config.data.image_size)


def ours_row(effort: Effort, name: str, config: semi_supervised.Config, keypoints: int = 16) -> Row:
    """A step of ours over one of supervised training on the same images.

    Ours sees every image twice, so its network alone takes 2, and all else has to fit into a tenth of that.
    """
    setup = setup_of(config, skeleton(keypoints))
    ours, plain = (_shared_step(build(config, setup), config) for build in (build_ours, build_supervised))
    return compared(f"ours / supervised, {name}", effort.times({"ours": ours, "supervised": plain}), "ours",
                    "supervised", bar=2.2, note=f"{config.batch_size} images; temporaries "
                    f"{ours.temporary_bytes / 1e6:.0f} and {plain.temporary_bytes / 1e6:.0f} MB")


TEACHERS = {"easy_hard": 2.3}  # a forward pass is a third of a step


def teachers_rows(effort: Effort) -> Iterator[Row]:
    """Steps of networks that teach themselves or each other over supervised steps on as many labelled images."""
    config = semi_supervised.SYSTEM.presets["demo"]
    setup, batch, side = setup_of(config, skeleton(10)), config.batch_size // 2, config.data.image_size
    methods_of = {name: semi_supervised.VARIANTS[name].recipe.build(config, setup)
                  for name in ("supervised", *TEACHERS)}
    times = effort.times({name: Step(method, batch, side) for name, method in methods_of.items()})
    for name, bar in TEACHERS.items():
        yield compared(f"{name} / supervised, demo", times, name, "supervised", bar=1.1 * bar, note=f"1.10 x {bar}")
    adapting, target = regda.SYSTEM.presets["demo"], regda.VARIANTS["teacher_adaptation"].recipe
    domains = regda_methods.setup_of(adapting, skeleton(10))
    times = effort.times({name: Step(method, adapting.batch_size, adapting.data.image_size) for name, method in (
        ("teacher_adaptation", target.build(adapting, domains)),
        ("supervised", regda_methods.build_supervised(adapting, domains, mse=True)))})
    yield compared("teacher_adaptation / supervised, demo", times, "teacher_adaptation", "supervised", bar=1.1 * 2.3,
                   note="1.10 x 2.3")


def product_rows(effort: Effort, batch: int = 32, side: int = 64) -> Iterator[Row]:
    """Value and gradient of the semantic representation, over those of a product of five axes of the same shapes."""

    def plain(features, masks):
        return (features[:, :, :, None, :] * masks[..., None]).max((1, 2))

    features, masks = (jax.random.normal(jax.random.key(number), (batch, side, side, count))
                       for number, count in enumerate((64, 16)))
    compiled = {name: jax.jit(jax.value_and_grad(
        lambda *inputs, product=product: jnp.square(product(*inputs)).sum(), (0, 1))).lower(features, masks).compile()
        for name, product in (("ours", semantic_representation), ("plain", plain))}
    memory = {name: program.memory_analysis().temp_size_in_bytes for name, program in compiled.items()}
    whole = 4 * features.size * masks.shape[-1]
    yield Row("memory of the semantic product / plain", spread([memory["ours"] / whole]), bar=0.25, note=(
        f"temporaries {memory['ours'] / 1e6:.1f} MB beside {whole / 1e6:.0f} MB of a product of five axes; the plain "
        f"program has {memory['plain'] / 1e6:.0f} MB"))
    times = effort.times({name: lambda program=program: jax.block_until_ready(program(features, masks))
                          for name, program in compiled.items()}, most=3, warm_up=1)
    yield Row("plain / semantic product", ratio(times["plain"], times["ours"]),
              note=f"value and gradient in {milliseconds(times['ours'])}")


# Incremental learning

INCREMENTAL_BARS = {
    "ewc": 1.3, "mas": None, "rw": None, "lwf": None, "ksd_only": None, "kamp": 1.8, "kamp_rerendered": 1.8}


def incremental_rows(effort: Effort) -> Iterator[Row]:
    """Steps of several variants over one of finetuning, and the pass after a step that measures importances."""
    for name, config in cases(incremental.SYSTEM, "mpii", "HRNet-W32, 256 px, bfloat16").items():
        yield from finetuning_rows(effort, name, config, 10 if name == "demo" else 16)


def finetuning_rows(effort: Effort, name: str, config: incremental.Config, keypoints: int,
                    bars: Mapping[str, float | None] = INCREMENTAL_BARS) -> Iterator[Row]:
    """A step of each variant, and Fisher information of a batch, over a step of plain finetuning on the same batch.

    Forward passes are a third of a step. KAMP's second stage adds one, the teacher's, and KA-Net's. Fisher information
    takes a gradient for each image.
    """
    setting, side, old = setting_of(config, skeleton(keypoints)), config.data.image_size, keypoints // 2
    batch = noise_batch(config.batch_size, side, keypoints)

    def start_of(variant: str) -> Start:
        """Untrained networks, to which the second half of the keypoints is added, and importances of 1."""
        teacher: dict[str, Any] = jax.jit(lambda key: setting.setup.model.init(
            key, jnp.zeros((1, side, side, 3), jnp.float32), train=False))(jax.random.key(0))
        increment = methods.increment(
            keypoints, old=range(old), new=range(old, keypoints), triples=[(0, old, old + 1)],
            slots=config.association.triples, weights=incremental.VARIANTS[variant].recipe.weights_of(config, old))
        return {"teacher": teacher, "increment": increment, "anchor": teacher["params"],
                "importance": jax.tree.map(jnp.ones_like, teacher["params"]),
                "association": teacher}  # a tree without KA-Nets, which are then initialised afresh

    start, fisher = start_of("finetune"), jax.jit(importance_of(setting, "fisher"))
    trained, weights = Trained(start["teacher"], {"increment": start["increment"]}), jnp.ones(config.batch_size)
    times = effort.times({
        "fisher": lambda: jax.block_until_ready(fisher(trained, batch, weights)),
        **{variant: Step(build_step(setting, incremental.VARIANTS[variant].recipe), config.batch_size, side,
                         start_of(variant)) for variant in ("finetune", *bars)}})
    for variant, bar in bars.items():
        yield compared(f"{variant} / finetune, {name}", times, variant, "finetune", bar=bar)
    yield compared(f"fisher of a batch / finetune, {name}", times, "fisher", "finetune",
                   note="once for each image of a step")


# Keypoint Pyramids


def pyramids_rows(effort: Effort) -> Iterator[Row]:
    """A step beside those of both baselines, a prediction without decoders, and reading video."""
    for name, config in cases(pyramids.SYSTEM, "h36m", "ResNet-18, 128 px, bfloat16").items():
        yield baselines_row(effort, name, config)
        counts = [prediction_operations(config, widening) for widening in (1, 2)]
        yield Row(f"predict, decoders of twice the width, {name}", spread([counts[1] / counts[0]]), bar=1.0,
                  note=f"{counts[0] / 1e6:.1f} and {counts[1] / 1e6:.1f} million operations an image")
    yield from reading_rows(effort, "demo", pyramids.SYSTEM.presets["demo"])


def _pair_step(config: pyramids.Config, variant: str) -> Step:
    return Step(pyramids.build(config, Skeleton(()), variant), config.batch_size, config.data.image_size)


def baselines_row(effort: Effort, name: str, config: pyramids.Config) -> Row:
    """A step over one of KeyNet and one of Transporter together, with the same keypoints, images and parts.

    It renders once more than both.
    """
    times = effort.times({variant: _pair_step(config, variant) for variant in ("pyramids", "keynet", "transporter")})
    each = ", ".join(f"{variant} {milliseconds(samples)}" for variant, samples in times.items())
    both = Samples(*(tuple(map(sum, zip(*parts, strict=True)))
                     for parts in zip(times["keynet"], times["transporter"], strict=True)))
    return compared(f"pyramids / (keynet + transporter), {name}", times | {"both": both}, "pyramids", "both", bar=1.2,
                    note=f"{each}; {config.batch_size} pairs")


def prediction_operations(config: pyramids.Config, widening: int) -> float:
    """Counts the operations of a prediction on one image, with decoders so many times as wide as the config's."""

    def wider(decoder: Decoder) -> Decoder:
        return decoder.clone(widths=tuple(widening * width for width in decoder.widths))

    network = pyramids.variants.network_of(config)
    method = methods.pyramids(
        objective=methods.pyramids_objective(), optimizer=optax.identity(), learning_rate=lambda step: 0.0,
        normalise=methods.imagenet_normalise, network=network.clone(
            decoder=wider(network.decoder), transport_decoders=tuple(map(wider, network.transport_decoders))))
    streams = noise_streams(method, config.batch_size, config.data.image_size)
    state = jax.eval_shape(method.init, jax.random.key(0), streams, {})
    program = jax.jit(method.predict).lower(Trained(state.variables, state.frozen), streams[method.streams[0]])
    return program.compile().cost_analysis()["flops"] / config.batch_size


def reading_rows(effort: Effort, name: str, config: pyramids.Config) -> Iterator[Row]:
    """A batch of pairs as `fit` reads them, and as many frames decoded from a file, over a step."""
    side, needed = config.data.image_size, 2 * config.batch_size
    rendered = figure_videos(2, 100, 2 * side)
    with tempfile.TemporaryDirectory() as folder:
        video = open_video(write_video(
            Path(folder) / "people.mp4", (rendered[n].image for n in range(len(rendered)))))
        streams = frame_pairs(read_videos([video], Letterbox(side)), window=config.data.window,
                              batch_size=config.batch_size, seed=0, crop="own", repeats=True)
        batches = read_batches(list(streams.values()))
        times = effort.times({"pairs": lambda: next(batches), "step": _pair_step(config, "pyramids"),
                              "decoding": lambda: _decode(video, Letterbox(side), needed)})
        batches.close()
    width, height = video.size
    yield compared(f"a batch of pairs / step, {name}", times, "pairs", "step", bar=1.0,
                   note="frames are decoded once and kept")
    yield compared(f"decoding a batch from a file / step, {name}", times, "decoding", "step", bar=1.0,
                   note=f"{needed} frames of {width}x{height}, H.264, one after the other")


def _decode(video: Video, transform: Transform, count: int) -> None:
    for _, image in itertools.islice(video, count):
        transform(image, np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.float32(1))


# Frozen-core adaptation


def adaptation_rows(effort: Effort) -> Iterator[Row]:
    """Gradients and optimizer states of `adapted` and `lora` over those of `finetuned`, and their steps."""
    presets, bars = adaptation.SYSTEM.presets, {"adapted": 1.1, "lora": None}
    for name, config, bar in (("paper's setting", presets["mpii_mafl"], 0.4), ("demo", presets["demo"], None)):
        plain = kept_bytes(config, "finetuned")
        for variant in bars:
            kept = kept_bytes(config, variant)
            yield Row(f"bytes of {variant} / finetuned, {name}", spread([kept / plain]),
                      bar=bar if variant == "adapted" else None, note="gradients and optimizer states of "
                      f"{kept / 1e6:.1f} and {plain / 1e6:.1f} MB, the generator's included")
    for name, config in cases(adaptation.SYSTEM, "mpii_mafl", "hourglass, 128 px, bfloat16").items():
        start = untrained_core(config)
        times = effort.times({variant: Step(
            adaptation.build(config, variant), config.batch_size, config.data.target_side, start)
            for variant in (*bars, "finetuned")})
        for variant, bar in bars.items():  # `adapted` projects its kernels anew in each step
            yield compared(f"{variant} / finetuned, {name}", times, variant, "finetuned", bar=bar,
                           note=f"{config.batch_size} images")


def kept_bytes(config: adaptation.Config, variant: str) -> int:
    """Counts the bytes of gradients and optimizer states of both networks."""
    method = adaptation.build(config, variant)
    streams = noise_streams(method, config.batch_size, config.data.target_side)
    state = jax.eval_shape(method.init, jax.random.key(0), streams, jax.eval_shape(lambda: untrained_core(config)))
    trees = (state.variables["params"], state.generator["params"], state.optimizer_state)  # a gradient is like its tree
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trees))


def untrained_core(config: adaptation.Config) -> Start:
    """Returns an untrained core, and untrained features to compare images by."""
    images = jnp.zeros((1, config.data.image_size, config.data.image_size, 3))
    network = adaptation.network(config, config.landmarks)
    core = jax.jit(lambda key: network.init(key, images, train=False))(jax.random.key(0))
    perceptual = adaptation.variants.perceptual_of(config)["perceptual"]
    return {"core": core, "perceptual": jax.jit(perceptual.init)(jax.random.key(1), images)}
