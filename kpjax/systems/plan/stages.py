"""The stages that a run will train, as shapes: methods, batches and first states of all systems, without any data.

A plan needs shapes alone. Sides of images come from the config and skeletons from `System.keypoints`; of people's own
data, which are opened, both are read off the first image. Each function below follows its system's `train`.
"""
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import Example, Method, Skeleton
from kpjax.input.source import chosen_keypoints
from kpjax.systems.image_sets import loaded_domain
from kpjax.systems.system import Job


class Planned(NamedTuple):
    """A stage: what `fit` would be given, as shapes."""

    name: str
    method: Method
    streams: Mapping[str, Example]  # the whole batch
    steps: int
    state: Any  # the first one

    @property
    def images(self) -> int:
        """Images that a step reads on all chips."""
        return sum(example.image.shape[0] for example in self.streams.values())

    def resized(self, factor: float, chips: int) -> "Planned":
        """Returns the stage with batches of another size, at least one example a chip."""
        def sized(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            count = max(round(leaf.shape[0] / chips * factor), 1) * chips
            return jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)

        return self._replace(streams=jax.tree.map(sized, dict(self.streams)))

    def alike(self, other: "Planned") -> bool:
        """Returns whether both compile to one program: later steps of a protocol do."""
        def shapes(planned: Planned) -> Any:
            return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), (dict(planned.streams), planned.state))

        return self.method.update is other.method.update and shapes(self) == shapes(other)


class Images(NamedTuple):
    """What a plan knows of images."""

    skeleton: Skeleton
    side: int  # px, as they are loaded

    def batch(self, count: int) -> Example:
        """Returns the shapes of a batch."""
        def array(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((count, *shape), dtype)

        keypoints = len(self.skeleton.names)
        return Example(array(np.uint8, self.side, self.side, 3), array(np.float32, keypoints, 2),
                       array(np.float32, keypoints), array(np.float32), array(np.float32, 3, 3), array(np.int32))


def key_shape() -> jax.ShapeDtypeStruct:
    """Returns the shape of a random key."""
    return jax.eval_shape(lambda: jax.random.key(0))


def stage_of(name: str, method: Method, images: Images | Mapping[str, Images], batch_size: int, steps: int,
             start: Mapping[str, Any] | None = None) -> Planned:
    """Returns a stage. images: of all streams, or of each. start: shapes or arrays that `init` needs."""
    streams = {stream: (images if isinstance(images, Images) else images[stream]).batch(batch_size)
               for stream in method.streams}
    return Planned(name, method, streams, steps, jax.eval_shape(method.init, key_shape(), streams, dict(start or {})))


def without_points(skeleton: Skeleton, names: Sequence[str]) -> Skeleton:
    """Returns a skeleton without some keypoints, by name."""
    return chosen_keypoints(skeleton, [number for number, name in enumerate(skeleton.names) if name not in names])


def _opened(source: Any) -> Images:
    return Images(source.skeleton, source[0].image.shape[0])


def _of_set(job: Job, reach: Any) -> Images:
    data = job.config.data
    loaded = data.loaded(reach)
    return Images(job.system.keypoints(data.train), loaded.side if loaded else data.image_size)


def planned_stages(job: Job) -> list[Planned]:
    """Returns the stages that a variant of one seed trains, in order, with those of variants that it starts from.

    Raises InputError for a set whose keypoints are only known from its data.
    """
    return list(STAGES[job.system.name](job, job.system.open(job) if job.system.own else None))


def _supervised(job: Job, data: Any) -> Iterator[Planned]:
    from kpjax.systems import supervised

    config = job.config
    images = _opened(data.train) if data else _of_set(job, None)
    yield stage_of(job.variant, supervised.build(config, images.skeleton, job.variant), images, config.batch_size,
                   config.steps)


def _regda(job: Job, data: Any) -> Iterator[Planned]:
    from kpjax.systems import regda

    recipe = regda.VARIANTS[job.variant].recipe
    config, size = recipe.config(job.config), job.config.data.image_size

    def domain(name: str) -> Images:
        loaded = loaded_domain(name, size, job.config.augment.reach)
        return Images(job.system.keypoints(name), loaded.side if loaded else size)

    source, target = (_opened(data.source.train), _opened(data.target.train)) if data else (
        domain(config.data.source), domain(config.data.target))
    images = {"source": source, "target": target, "labelled": source, "unlabelled": target}
    if recipe.start in regda.VARIANTS:
        yield from _regda(job._replace(variant=recipe.start), data)
    if recipe.start.startswith("pretraining"):
        first = regda.build_first(config, source.skeleton, recipe.pretrain, recipe.logits)
        yield stage_of(recipe.start, first, images, config.batch_size, config.pretraining_steps)
    steps = {"adaptation": config.steps, "both stages": config.steps_of_both_stages,
             "equal cost": config.steps_of_equal_cost, "further": config.steps_without_source}
    if recipe.train in steps:  # passes for statistics alone are short
        yield stage_of(job.variant, regda.build(job.config, source.skeleton, job.variant), images, config.batch_size,
                       steps[recipe.train])


def _semi_supervised(job: Job, data: Any) -> Iterator[Planned]:
    from kpjax.losses.pose_subspace import fit_pose_subspace
    from kpjax.methods.incremental_family.union import stream_of
    from kpjax.systems import semi_supervised as system
    from kpjax.systems.configs import perceptual_start

    recipe = system.VARIANTS[job.variant].recipe
    config = recipe.config(job.config)
    images = _opened(data.labelled) if data else _of_set(job, config.augment.reach)

    def stage(name: str, method: Method, steps: int, start: Mapping[str, Any] | None = None) -> Planned:
        return stage_of(name, method, dict.fromkeys(method.streams, images), config.batch_size // len(method.streams),
                        steps, start)

    for before in (recipe.teacher, recipe.of):
        if before:
            yield from _semi_supervised(job._replace(variant=before), data)
    if recipe.untrained or recipe.of:
        return
    if config.warm_start_steps and not recipe.everything:
        warm = system.build_warm_start(job.config, images.skeleton)
        yield stage("warm start", warm, config.warm_start_steps)
    start: dict[str, Any] = {}
    if recipe.videos:
        points = 2 * len(images.skeleton.names)
        start["subspace"] = fit_pose_subspace(np.random.default_rng(0).normal(size=(2 * points, points)))
    if job.variant == "gen":
        start |= perceptual_start(config.baselines.perceptual, system.PERCEPTUAL,
                                  image_size=config.baselines.generator_size)
    if recipe.networks:
        alone = system.build(job.config, images.skeleton, "supervised_warped")
        networks = [stage(f"network of project {number}", alone, config.steps) for number in range(len(data.projects))]
        yield from networks
        start["teachers"] = {stream_of(number): one.state.variables for number, one in enumerate(networks)}
    yield stage(job.variant, system.build(job.config, images.skeleton, job.variant),
                config.steps_of_both_stages if recipe.everything else config.steps, start)


def _incremental(job: Job, data: Any) -> Iterator[Planned]:
    from kpjax.methods.incremental_family import memories
    from kpjax.methods.incremental_family.step_spec import increment
    from kpjax.systems import incremental
    from kpjax.systems.incremental import builders
    from kpjax.systems.incremental.steps import PLAIN

    config, recipe = job.config, incremental.VARIANTS[job.variant].recipe
    images = _opened(data.train) if data else _of_set(job, None)
    if data:
        count, mirrored = len(data.protocol.steps), data.protocol.mirrored
    else:
        protocol = json.loads(config.data.protocol_path().read_text(encoding="utf-8"))
        count, mirrored = len(protocol["steps"]), protocol.get("mirrored", True)
    setting, points = builders.setting_of(config, images.skeleton, mirrored=mirrored), len(images.skeleton.names)

    def stage(name: str, method: Method, steps: int, weights: Mapping[str, float], **start: Any) -> Planned:
        brings = increment(points, old=(), new=range(points), slots=config.association.triples, weights=weights)
        return stage_of(name, method, images, config.batch_size, steps, {"increment": brings, **start})

    joint = recipe.base == "joint"
    entropy = {"entropy": config.weights.cpr_entropy} if recipe.base == "base_cpr" else {}
    steps = config.base_steps + joint * (count - 1) * config.steps
    base = stage("step 0", builders.build_base(setting, recipe.base, steps), steps, entropy)
    if not (data and data.base is not None):
        yield base
    known = base.state.variables
    for step in range(1, 1 if joint or recipe.combined else count):
        start, weights, ka_net = {"teacher": known}, recipe.weights_of(config, 1), ()
        if recipe.memory:
            start |= {"anchor": known["params"], "importance": known["params"]}
        if recipe.memory == "afec":
            plain = stage("expanded", builders.build_step(setting, PLAIN), 1, weights, **start)
            start["expanded"] = jax.eval_shape(memories.expanded_copy, plain.state)
        if recipe.ka_net:
            asked = "distant" if recipe.ka_net == "distant" else config.association.ka_variant
            ka_net = ("paper" if asked == "auto" else asked, 2)  # how far one must see, data decide
            method = builders.build_association(setting, recipe.ka_net, *ka_net)
            associated = stage(f"association {step}", method, config.association_steps, weights, **start)
            yield associated
            start["association"] = associated.state.variables
        yield stage(f"step {step}", builders.build_step(setting, recipe, *ka_net), recipe.increment_steps(config),
                    weights, **start)


def _pyramids(job: Job, data: Any) -> Iterator[Planned]:
    from kpjax.systems import pyramids
    from kpjax.systems.configs import perceptual_start

    config, variant = job.config, job.variant
    if variant in (*pyramids.WITHOUT_NETWORK, "untrained"):
        return
    name = {"figures": "figures:source"}.get(config.data.data, config.data.data)
    images = _opened(data.train) if data else Images(job.system.keypoints(name), config.data.image_size)
    differences = variant == pyramids.BKIND
    compares, network = (config.bkind.bkind_perceptual, pyramids.BKIND_PERCEPTUAL) if differences else (
        config.baselines.perceptual if variant == "keynet" else "", pyramids.PERCEPTUAL)
    start = perceptual_start(compares, network, image_size=config.data.image_size)
    if data and not differences:
        start |= pyramids.still_start(config, data.train)
    per_level = variant in pyramids.BASELINES and config.baselines.baselines_per_level
    for size in (0, *(config.pyramid.level_sizes if per_level else ())):
        yield stage_of(f"{variant}_{size}" if size else variant,
                       pyramids.build(config, images.skeleton, variant, size), images,
                       config.batch_size * (2 if variant == pyramids.ORACLE else 1),
                       pyramids.steps_of(config, variant), start)


def _adaptation(job: Job, data: Any) -> Iterator[Planned]:
    from kpjax.systems import adaptation

    config, recipe = job.config, adaptation.VARIANTS[job.variant].recipe
    if recipe.core == "adapted":
        yield from _adaptation(job._replace(variant="adapted"), data)
    if recipe.core == "trained" and config.core.core_epochs and not data:
        larger = adaptation.loaded_core(config)
        images = Images(without_points(job.system.keypoints(config.core.core), config.core.core_unused_keypoints),
                        larger[1].side if larger else config.data.image_size)
        yield stage_of("core", adaptation.build_core(config, images.skeleton), images, adaptation.CORE_BATCH,
                       config.core.steps)
    if not recipe.trains:
        return
    network, side = adaptation.network(config, config.landmarks), config.data.image_size
    core = jax.eval_shape(lambda key: network.init(key, jnp.zeros((1, side, side, 3)), train=False), key_shape())
    images = _opened(data.target) if data else Images(job.system.keypoints(config.data.target), config.data.target_side)
    yield stage_of(adaptation.STAGE, adaptation.build(config, job.variant), images, config.batch_size, config.steps,
                   {**adaptation.perceptual_start(config), **({} if recipe.core == "none" else {"core": core})})


STAGES: dict[str, Callable[[Job, Any], Iterator[Planned]]] = {
    "regda": _regda, "semi_supervised": _semi_supervised, "incremental": _incremental, "pyramids": _pyramids,
    "adaptation": _adaptation, "supervised": _supervised}
