"""One network for projects that name different keypoints: what a project does not name, the others' networks teach.

Every project is a stream. Its labels teach the keypoints that it names. Of the others it shows nothing, though they are
there; on its images the frozen networks of the projects that name them answer, and their heatmaps are the targets, each
weighted by the teacher's confidence. A keypoint that a project names, and one image of it has no label for, stays
unlearnt there. Without distillation, which is the control, nothing is learnt of what a project does not name.

Mirrored images exchange names. An image of a project that names left points alone shows named right points once it is
mirrored, and no left ones. So what is named is mirrored as the labels are. A network has learnt its project's points on
both sides, and between them the other projects' networks still know all that an image lacks.
"""
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.heatmaps import Codec
from kpjax.losses.distillation import mse_distillation
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods.forward import (
    augmented,
    check_equal_batches,
    checked_views,
    empty_images,
    initial_variables,
    interleave,
    train_pass,
)
from kpjax.methods.gradient_step import State, gradient_step
from kpjax.methods.incremental_family.step_spec import needed
from kpjax.methods.setup import Setup, heatmap_predict
from kpjax.structures import Example, Method, Metrics, Start, Streams, named_key

JOINED = "joined"  # the streams' augmented batches as one
OUTPUTS = ("heatmaps", "teacher")
Named = Sequence[Sequence[bool]]  # (P, K): which keypoints each project names


def stream_of(number: int) -> str:
    """Returns the name of a project's stream and of its network."""
    return f"project_{number}"


def union_objective(codec: Codec, *, supervised_weight: float = 1.0, distillation: float = 1.0) -> Objective:
    """Builds two terms: `labels`, squared errors of what is labelled, and `distillation`, those from teachers' maps.

    Both are (1/2) the mean over all maps of a batch, those of weight 0 included: at equal weights a teacher's map of
    confidence 1 counts as much as a labelled one.
    """

    def labels(outputs, streams):
        return heatmap_mse(outputs["heatmaps"], *codec.encode(streams[JOINED]))

    def distilled(outputs, streams):
        del streams
        believed = outputs["believed"]
        return mse_distillation(outputs["teacher"], outputs["heatmaps"], None, believed) * believed.mean()

    return {"labels": Term(supervised_weight, labels, reads=("heatmaps",)),
            "distillation": Term(distillation, distilled, reads=("heatmaps", "teacher"))}


def peak_height(heatmaps: jax.Array) -> jax.Array:
    """Computes the height of each map's maximum, at least 0 and at most 1, (B, K) float32: a confidence in maps
    (B, h, w, K) that were learnt from Gaussians of height 1."""
    return jnp.clip(heatmaps.astype(jnp.float32).max((1, 2)), 0, 1)


def union(
    setup: Setup, *, objective: Objective, named: Named, mirrored: bool = True
) -> Method:
    """Builds the method; it reads a stream for each project, `stream_of(n)`, in batches of one size.

    Terms get (outputs, {"joined": the augmented batches, examples taken in turn}). Outputs are "heatmaps" (B, h, w, K)
    of the student, and if a term reads "teacher" also "teacher" (B, h, w, K), the teachers' maps, their mean by
    confidence where several know a keypoint, and "believed" (B, K), the largest confidence among them: 0 for what the
    image's own project names.

    The start may have `variables`; it has `teachers` if a term reads "teacher": by `stream_of`, each project's own
    network, of the same layers, in evaluation mode.

    Args:
        setup: its skeleton has the keypoints of all projects, K, and its model a channel for each.
        objective: as of `union_objective`.
        named: which keypoints each project names.
        mirrored: whether the augmentation mirrors images, by the skeleton's flip.

    Raises:
        ValueError: a term reads an unknown output, or `named` does not fit the skeleton.
        InputError: from `init`, if the start lacks the teachers; for batches of different sizes.
    """
    names = np.asarray(named, bool)
    if names.ndim != 2 or names.shape[1] != len(setup.skeleton.names) or len(names) < 2:
        raise ValueError(f"named has shape {names.shape}; give a row of {len(setup.skeleton.names)} for each of two "
                         "projects or more")
    taught = "teacher" in checked_views(objective, OUTPUTS, "union")
    streams_of_projects = tuple(map(stream_of, range(len(names))))
    flip = list(setup.skeleton.flip) if mirrored and setup.skeleton.flip else slice(None)
    known, lacking = names | names[:, flip], ~names | ~names[:, flip]
    teachers = [[other for other in range(len(names)) if other != own and (known[other] & lacking[own]).any()]
                for own in range(len(names))]
    model, normalise = setup.model, setup.normalise

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        check_equal_batches({name: streams[name] for name in streams_of_projects})
        images = empty_images(setup.augment, streams, streams_of_projects[0])
        variables = initial_variables(model, named_key(key, "model"), images, start)
        frozen = {}
        if taught:
            given = needed(start, "teachers")
            frozen["teachers"] = {name: {part: given[name][part] for part in variables} for name in streams_of_projects}
        return State(jnp.int32(0), variables, setup.optimizer.init(variables["params"]), frozen)

    def answered(variables, images: jax.Array) -> jax.Array:
        return model.apply(variables, normalise(images), train=False)

    def answers(own: int, teacher_variables, view: Example, lacks: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the maps of the others' networks on a project's images, and how far each is believed."""
        maps, weights = [], []
        for other in teachers[own] or [own]:  # none has anything to teach: the weights are 0
            found = answered(teacher_variables[stream_of(other)], view.image)
            maps.append(found)
            weights.append(peak_height(found) * lacks * jnp.asarray(known[other] & (other != own), jnp.float32)[None])
        every = jnp.stack(weights)
        shares = every / jnp.maximum(every.sum(0, keepdims=True), 1e-12)
        return sum(share[:, None, None] * found for share, found in zip(shares, maps, strict=True)), every.max(0)

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        seen = {name: streams[name] for name in streams_of_projects}
        views = augmented(setup.augment, seen, key)
        joined = Example(*(interleave(*fields) for fields in zip(*views.values(), strict=True)))
        fixed = {}
        if taught:
            # The same change of labels that are all there; its images are those of `views`, and are not made again.
            every = augmented(setup.augment, {name: example._replace(visible=jnp.broadcast_to(
                jnp.asarray(names[number], jnp.float32)[None], example.visible.shape))
                for number, (name, example) in enumerate(seen.items())}, key)
            found = [answers(number, state.frozen["teachers"], views[name], 1 - every[name].visible)
                     for number, name in enumerate(seen)]
            fixed = {name: jax.lax.stop_gradient(interleave(*parts))
                     for name, parts in zip(("teacher", "believed"), zip(*found, strict=True), strict=True)}

        def objective_of(params):
            heatmaps, statistics = train_pass(
                model, params, state.variables["batch_stats"], normalise(joined.image))
            value, parts = total(objective, {"heatmaps": heatmaps, **fixed}, {JOINED: joined})
            if taught:
                parts["believed"] = fixed["believed"].mean()
            return value, (parts, statistics)

        params, optimizer_state, statistics, metrics = gradient_step(
            objective_of, state.variables["params"], state, setup.optimizer, setup.learning_rate)
        return State(state.step + 1, {"params": params, "batch_stats": statistics}, optimizer_state,
                     state.frozen), metrics

    return Method(init, update, heatmap_predict(setup), streams_of_projects, setup.skeleton)
