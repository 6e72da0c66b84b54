"""Several trained copies of a method, which predict as one."""

from collections.abc import Sequence

import jax.numpy as jnp

from kpjax.structures import Example, Method, Prediction, Trained


def ensemble(method: Method, count: int) -> Method:
    """Returns a method that predicts with `count` trained copies of another one, in one program,
    and trains nothing.

    `predict` reads what `members_of_ensemble` has joined. Each coordinate of a keypoint is the
    median of the members', scores and heatmaps are their means. It takes as long as all members one
    after the other.

    Raises ValueError for a count below 2.
    """
    if count < 2:
        raise ValueError(f"count: {count}; an ensemble has at least 2 members")

    def predict(trained: Trained, example: Example) -> Prediction:
        return joint_prediction(
            [
                method.predict(Trained(trained.variables[name], trained.frozen[name]), example)
                for name in _member_names(len(trained.variables))
            ]
        )

    return Method(None, None, predict, method.streams, method.skeleton)


def joint_prediction(found: Sequence[Prediction]) -> Prediction:
    """Computes the medians of the members' coordinates, and the means of their scores and
    heatmaps."""
    return Prediction(
        jnp.median(jnp.stack([one.keypoints for one in found]), axis=0),
        jnp.stack([one.scores for one in found]).mean(0),
        tuple(
            sum(maps) / len(found) for maps in zip(*(one.heatmaps for one in found), strict=True)
        ),
    )


def members_of_ensemble(members: Sequence[Trained]) -> Trained:
    """Joins what several runs of one method have learnt, for the `predict` of `ensemble`."""
    names = _member_names(len(members))
    parts = ((member.variables, member.frozen) for member in members)
    collections = zip(*parts, strict=True)
    return Trained(*(dict(zip(names, trees, strict=True)) for trees in collections))


def _member_names(count: int) -> list[str]:
    return [f"member_{number}" for number in range(count)]
