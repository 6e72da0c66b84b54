"""What a user of optax and Flax types first, and the line that answers."""

import jax
import numpy as np
import optax
import pytest
from flax import linen as nn
from tiny_parts import SETUP, build, start, streams_of

import kpjax
from kpjax.methods import regda, regda_objective, supervised
from kpjax.methods.regda_family.two_regressors import dd
from kpjax.optimization import scale_backbone

RATE = optax.constant_schedule(1e-3)
PLAIN = nn.Conv(3, (3, 3))


def begun(factory, *, streams=None, **changes):
    method = build(factory, **changes)
    given = streams_of(method) if streams is None else streams
    state = jax.eval_shape(method.init, jax.random.key(0), streams_of(method), start())
    jax.eval_shape(method.update, state, given, jax.random.key(0))


def objective(*, of):
    return of(regda_objective())


ROWS = [
    (lambda: build(supervised, optimizer=optax.adam(1e-3)), "would climb; .*scale_by_adam"),
    (lambda: build(supervised, optimizer=optax.sgd(1e-3)), "would climb"),
    (lambda: build(regda, optimizer=optax.adamw(1e-3)), "would climb"),
    (
        lambda: build(supervised, optimizer=scale_backbone(optax.adam(1e-3), 0.1)),
        "would climb",
    ),
    (lambda: begun(regda, streams={"source": None}), "streams: 'target' is missing; .*got source"),
    (lambda: begun(supervised, streams={}), "streams: 'labelled' is missing; .*got none"),
    (lambda: build(regda, objective=objective(of=list)), "objective: a list; give a dict"),
    (
        lambda: build(regda, objective={"supervised": 1.0}),
        r"'supervised' is a float; give kpjax.Term\(",
    ),
    (lambda: begun(regda, model=PLAIN), "model: Conv has no `features` and `head`"),
    (lambda: begun(dd, model=PLAIN), "model: Conv has no `features` and `head`"),
    (
        lambda: kpjax.replaced(regda_objective(), "supervised", len),
        r"by the name of its term: replaced\(objective, supervised=function\)",
    ),
]


@pytest.mark.parametrize(("call", "words"), ROWS)
def test_a_first_mistake_is_told_its_mend(call, words):
    with pytest.raises((kpjax.InputError, TypeError), match=words):
        call()


def weighed(optimizer):
    """Decays weights as the authors of RegDA do, before momentum."""
    return optax.chain(optax.add_decayed_weights(1e-4), optimizer)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.scale_by_adam(),
        optax.identity(),
        weighed(optax.trace(0.9, nesterov=True)),
        scale_backbone(optax.scale_by_adam(), 0.1, ("layer1",)),
        optax.multi_transform({"fast": optax.identity()}, {"head": "fast"}),
    ],
)
def test_an_optimizer_without_its_rate_is_taken(optimizer):
    """The last asks for parameters by name, and is not tried."""
    method = supervised(SETUP._replace(optimizer=optimizer, learning_rate=RATE))
    assert method.rates(0) == pytest.approx({"all parameters": 1e-3}) or "backbone" in (
        method.rates(0)
    )


def test_a_method_may_be_built_while_jax_traces():
    """Each optimizer is tried once, and kept as tried: this one is a new one."""
    optimizer = optax.chain(optax.scale_by_adam(b1=0.3), optax.trace(0.1))

    def built(x):
        supervised(SETUP._replace(optimizer=optimizer, learning_rate=RATE))
        return x

    assert jax.jit(built)(np.float32(1)) == 1


def test_a_step_of_a_refused_optimizer_would_have_climbed():
    """Of x squared at 1: Adam without its rate goes down, with it up."""
    after = {}
    for name, optimizer in (("plain", optax.scale_by_adam()), ("held", optax.adam(1.0))):
        x = {"x": np.ones((), np.float32)}
        moved, _ = kpjax.optimization.descend(
            optimizer, {"x": 2 * x["x"]}, optimizer.init(x), x, RATE, np.int32(0)
        )
        after[name] = float(moved["x"])
    assert after["plain"] < 1 < after["held"]
