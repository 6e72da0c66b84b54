"""Variants of KAMP's tables: the method, its ablations, controls, and the rivals.

A later step of the paper has two stages. KA-Net learns where the old keypoint of a triple is, from
the labels of the new ones and the old network (`learn_association`). Then the student, a copy of
the old network, learns the new keypoints from their labels, and keeps the old ones by equation 4:
l_GT + alpha (l_KSD + l_KA).
"""

import functools
from collections.abc import Callable, Mapping

from flax import linen as nn

from kpjax import Method, losses
from kpjax.papers.engine import Stages, Variant, built
from kpjax.papers.incremental.association import (
    learn_association,
    over_triples,
    random_triples,
    stated_triples,
)
from kpjax.papers.incremental.config import Weights
from kpjax.papers.incremental.controls import CONTROLS, of_rerendered, short_control
from kpjax.papers.incremental.rivals import RIVALS
from kpjax.papers.incremental.runs import Run, Setting
from kpjax.papers.incremental.stages import (
    Build,
    Choose,
    Factors,
    build_finetuning,
    build_student,
    chosen,
    learn_base,
    objective_of,
    student,
    student_step,
    variant,
    with_predictions,
)
from kpjax.papers.incremental.without_association import learn_without_association

# Methods of the student


def build_kamp(
    setting: Setting,
    steps: int,
    *,
    association: nn.Module,
    left_out: tuple[str, ...] = (),
    rerender: bool = False,
) -> Method:
    """Builds KAMP's student, equation 4.

    left_out: terms. rerender: whether a Gaussian at KA-Net's point takes the place of its map.
    """
    objective = losses.without(objective_of(setting), *left_out)
    return build_student(setting, steps, objective, association=association, rerender=rerender)


def build_distillation(setting: Setting, steps: int) -> Method:
    """Builds KAMP without KA-Net: the distillation of all old keypoints beside the labels."""
    return build_student(setting, steps, losses.without(objective_of(setting), "association"))


# Weights of terms in a step


def alpha(weights: Weights, old: int) -> Mapping[str, float]:
    """Returns equation 4's alpha."""
    del old
    return {"distillation": weights.kamp, "association": weights.kamp}


def of_distillation(weights: Weights, old: int) -> Mapping[str, float]:
    """Returns the weight of the distillation alone."""
    del old
    return {"distillation": weights.ksd_only}


# Stages


def learn_kamp(
    run: Run,
    *,
    build: Build = build_kamp,
    factors: Factors = alpha,
    choose: Choose = stated_triples,
) -> Stages:
    """Learns step 0; then in each later step KA-Net, and its student.

    build: of the student. factors: the weights of its terms. choose: the triples.
    """
    steps = student_step(run.config)
    known = yield from learn_base(run)
    for step in run.later_steps:
        known = yield from with_predictions(run, known, step - 1)
        triples, taught = yield from chosen(run, known, step, choose, factors)
        # Of step 1 the teacher is the base, so variants that begin alike share KA-Net.
        shared = step == 1 and choose is stated_triples
        ka_net = yield from learn_association(run, known, step, triples, taught, shared=shared)
        known = yield student(
            run,
            known,
            step,
            ka_net.taught,
            functools.partial(_student_of, run, build, steps, ka_net.network),
            steps,
            before=ka_net.outcome,
            start={"association": ka_net.outcome.trained.variables},
            parents={"association": ka_net.outcome.digest},
        )
    return known._replace(metrics={**known.metrics, **over_triples(known.metrics)})


def _student_of(run: Run, build: Build, steps: int, network: Callable[[], nn.Module]) -> Method:
    return built(build, run.setting, steps, association=network())


# The table

learn_by_distillation = functools.partial(
    learn_without_association, build=build_distillation, factors=of_distillation
)
VARIANTS: dict[str, Variant] = {
    "kamp": variant(
        "method",
        "distillation of all old keypoints and KA-Net's maps of one, as printed",
        learn_kamp,
        label="KAMP",
    ),
    "kamp_rerendered": variant(
        "method",
        "a Gaussian at KA-Net's point, weighed as one of the old keypoints; not in the paper",
        functools.partial(
            learn_kamp,
            build=functools.partial(build_kamp, rerender=True),
            factors=of_rerendered,
        ),
    ),
    "finetune": variant(
        "baseline",
        "the new labels alone",
        functools.partial(learn_without_association, build=build_finetuning),
        label="Finetune",
    ),
    **RIVALS,
    "ksd_only_short": short_control("distillation alone", learn_by_distillation),
    "ksd_only": variant("ablation", "without KA-Net", learn_by_distillation, label="KSD only"),
    "ka_only": variant(
        "ablation",
        "without distillation",
        functools.partial(
            learn_kamp, build=functools.partial(build_kamp, left_out=("distillation",))
        ),
        label="KA only",
    ),
    "random_triples": variant(
        "ablation",
        "keypoints of the auxiliary task at random",
        functools.partial(learn_kamp, choose=random_triples),
        label="random triples",
    ),
    **CONTROLS,
}
