"""Riemannian walk (Chaudhry et al. 2018): a parameter matters by its Fisher information and by how much it has
lowered the loss on the way that it took.

Two implementations have been published and differ; both are here as trackers of `kpjax.methods.incremental`, each with
a function for the end of a step that gives what the next step starts from:

    tracked, importance = walk.end_of_step(state.tracked, params=..., fisher=...)
    next_start = {"tracked": tracked, "importance": importance, "anchor": params, ...}

The penalty of the next step is sum_i importance_i (parameter_i - anchor_i)², without a factor 1/2.
"""
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpjax.losses.continual import Walk, fuse, path_on, path_score, start_walk, walk_importance, walk_on
from kpjax.methods.incremental import Tracker
from kpjax.structures import Start


class RiemannianWalk(NamedTuple):
    """One form of the walk."""

    tracker: Tracker
    end_of_step: Callable[..., tuple[Any, Any]]  # (tracked, *, params, fisher) -> (tracked, importance)
    needs_fisher: bool  # whether `end_of_step` reads `fisher`, the importance of `kpjax.methods.importance.fisher`


class PathIntegral(NamedTuple):
    """What `walk_by_path` tracks. Trees like the parameters, float32."""

    path: Any  # of this step: minus gradient times movement, summed over updates
    score: Any  # of the steps before
    fisher: Any  # of the steps before
    begin: Any  # the parameters that this step began with


def walk_by_updates(*, decay: float = 0.9, epsilon: float = 0.01, clip: bool = True) -> RiemannianWalk:
    """The form of the code of CPR (Cha et al. 2021) and AFEC: everything is collected while training.

    After every update with the gradient g that was applied, penalties included, and the movement d:
    F <- decay g² + (1 - decay) F and S <- S - g d / (F d² / 2 + epsilon). At the end of a step S is halved.
    clip: negative scores count as 0 in the importance F + S; the walk itself goes on with them.
    """

    def init(params, start: Start) -> Walk:
        return _continued(Walk, start) or start_walk(params)

    def after_update(walk: Walk, *, gradient, plain_gradient, old, new) -> Walk:
        del plain_gradient
        return walk_on(walk, gradient, old, new, decay=decay, epsilon=epsilon)

    def end_of_step(walk: Walk, *, params=None, fisher=None) -> tuple[Walk, Any]:
        del params, fisher
        return walk_importance(walk, clip=clip)

    return RiemannianWalk(Tracker(init, after_update, needs_plain_gradient=False), end_of_step, needs_fisher=False)


def walk_by_path(*, epsilon: float = 0.1) -> RiemannianWalk:
    """The form of FACIL (Masana et al. 2022): Fisher information from a pass at the end of a step, and a path integral.

    After every update w <- w - g d, with g the gradient of the new keypoints' loss alone. At the end of a step
    F <- (F + F_step) / 2, S <- (S + max(0, w / (F m² + epsilon))) / 2, and w <- 0, with m the movement since the
    step began; both means start from zeros. The importance is F + S.
    """

    def init(params, start: Start) -> PathIntegral:
        begun = _continued(PathIntegral, start) or PathIntegral(_zeros(params), _zeros(params), _zeros(params), params)
        return begun._replace(begin=params)

    def after_update(tracked: PathIntegral, *, gradient, plain_gradient, old, new) -> PathIntegral:
        del gradient
        return tracked._replace(path=path_on(tracked.path, plain_gradient, old, new))

    def end_of_step(tracked: PathIntegral, *, params, fisher) -> tuple[PathIntegral, Any]:
        fused = fuse(tracked.fisher, fisher, rule="half")
        score = path_score(tracked.path, tracked.score, fused, params, tracked.begin, epsilon=epsilon)
        return PathIntegral(_zeros(params), score, fused, params), jax.tree.map(jnp.add, fused, score)

    return RiemannianWalk(Tracker(init, after_update, needs_plain_gradient=True), end_of_step, needs_fisher=True)


def _continued(kind: type, start: Start) -> Any:
    """What the step before tracked, which may have become a plain mapping in a file; None in the first step."""
    tracked = start.get("tracked")
    return kind(**tracked) if isinstance(tracked, Mapping) else tracked


def _zeros(params) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
