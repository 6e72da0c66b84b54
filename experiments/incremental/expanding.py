"""AFEC's second network, which learns the new keypoints alone, one epoch before each of the main one's."""
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from experiments.incremental.config import Config
from experiments.incremental.methods import build, importance_of
from experiments.incremental.parts import Setting
from kpjax.input.source import Source, subset
from kpjax.input.stream import BatchStream
from kpjax.methods.incremental_learning.importance import finished
from kpjax.methods.incremental_learning.memories import expanded_copy, train_expanded
from kpjax.structures import Trained, named_key
from kpjax.training.evaluation import reduce
from kpjax.training.mesh import data_mesh, replicate, shard
from kpjax.training.step import compiled_update


class Expanding(NamedTuple):
    """What `fit` needs for it."""

    copy: Any  # start["expanded"]
    between: tuple[int, Callable[[Any, int], Any]]


def expanding(
    setting: Setting, config: Config, seed: int, source: Source, batches: BatchStream, start: Mapping[str, Any]
) -> Expanding:
    """start: of the main network. The copy goes on from its `expanded_variables`, in the first step from `teacher`."""
    mesh, plain = data_mesh(), build(setting, "finetune")
    key = replicate(named_key(jax.random.key(seed), "expanded copy"), mesh)
    update, _ = compiled_update(plain.update, mesh)
    some = subset(source, range(min(config.afec_images, len(source))))

    def batch_at(step: int):
        return shard({"labelled": batches[step]}, mesh)

    def step_on(state, number: int):
        return update(state, batch_at(number), key)

    def importance(trained: Trained) -> Any:
        return finished(reduce(importance_of(setting, "fisher"), trained, some, batch_size=config.importance_batch))

    begin = {"teacher": start.get("expanded_variables", start["teacher"]), "increment": start["increment"]}
    copy = jax.jit(plain.init)(key, batch_at(0), replicate(begin, mesh))
    epoch_steps = max(1, len(source) // config.batch_size)
    return Expanding(expanded_copy(copy), (epoch_steps, train_expanded(
        step_on, importance, epoch_steps=epoch_steps, every=config.afec_fisher_every)))
