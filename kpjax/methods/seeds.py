"""Several seeds of a method: trained as one, where a network is too small to fill its device, or
predicting as one.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from kpjax.structures import Example, Method, Metrics, Prediction, Start, Streams, Trained


def over_seeds(method: Method, count: int) -> Method:
    """Returns a method that trains `count` seeds of another one in one program, by `vmap` over
    stacked states.

    Seed n is `with_seed(method, n)`: it has weights and augmentations of its own. All seeds read
    the same batches, which are loaded and moved to the devices once; so streams, meshes and `fit`
    need to know nothing of seeds. Runs whose data differ, such as in their labelled images, are
    runs of their own.

    Every leaf of a state has a first axis of length `count`, except `step`. Metrics are means over
    the seeds, with each seed's value as `<metric>/seed_<n>`. `predict` returns keypoints (B, count,
    K, 2), scores (B, count, K) and heatmaps (B, count, h, w, k). `trained_of` takes out one seed.

    Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count: {count}; must be at least 1")
    numbers = jnp.arange(count)

    def init(key: jax.Array, streams: Streams, start: Start):
        def of_seed(number):
            return with_seed(method, number).init(key, streams, start)

        states = jax.vmap(of_seed)(numbers)
        return states._replace(step=states.step[0])

    def update(states, streams: Streams, key: jax.Array) -> tuple[tuple, Metrics]:
        axes = type(states)(*(None if name == "step" else 0 for name in states._fields))

        def of_seed(state, number):
            return with_seed(method, number).update(state, streams, key)

        of_all = jax.vmap(of_seed, in_axes=(axes, 0), out_axes=(axes, 0))
        states, metrics = of_all(states, numbers)
        found = {name: values.mean() for name, values in metrics.items()}
        for name, values in metrics.items():
            for number in range(count):
                found[f"{name}/seed_{number}"] = values[number]
        return states, found

    def predict(states, example: Example) -> Prediction:
        def of_seed(trained):
            return method.predict(trained, example)

        trained = Trained(states.variables, states.frozen)
        return jax.vmap(of_seed, out_axes=1)(trained)

    return Method(init, update, predict, method.streams, method.skeleton, method.rates)


def with_seed(method: Method, number: int | jax.Array) -> Method:
    """Returns a method whose keys are `fold_in(key, number)` of those that it is given."""

    def init(key: jax.Array, streams: Streams, start: Start):
        return method.init(jax.random.fold_in(key, number), streams, start)

    def update(state, streams: Streams, key: jax.Array):
        return method.update(state, streams, jax.random.fold_in(key, number))

    return method._replace(init=init, update=update)


def trained_of(states, number: int) -> Trained:
    """Returns one seed of what `over_seeds` has trained, a State or a Trained, for the method's own
    `predict`.
    """

    def of_seed(leaf):
        return leaf[range(len(leaf))[number]]

    return jax.tree.map(of_seed, Trained(states.variables, states.frozen))


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
