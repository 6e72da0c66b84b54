"""The rows of the incremental tables: what the loss of a step is made of, and what is kept between steps."""
from collections.abc import Callable
from typing import Literal, NamedTuple

from experiments.command_line import Variant
from experiments.incremental.config import Config
from experiments.incremental.parts import Parts
from kpjax.losses.objective import Term
from kpjax.methods.incremental_learning.objectives import (
    association_term,
    channel_distillation_term,
    entropy_term,
    mse_distillation_term,
    penalty_term,
    self_training_term,
    spatial_distillation_term,
)


class Steps(NamedTuple):
    """How many optimizer steps the stages have."""

    base: int
    association: int  # of each later step; 0 where a row has no KA-Net
    increment: int  # of each later step

    @property
    def later(self) -> int:
        """Of a later step in all."""
        return self.association + self.increment


def steps_of(config: Config, variant: str) -> Steps:
    """Rows without KA-Net train as long as those with it."""
    share = round(config.association_share * config.steps) if RECIPES[variant].association else 0
    share = min(max(share, 1), config.steps - 1) if RECIPES[variant].association else 0
    return Steps(config.base_steps, share, config.steps - share)


# Terms beside that of the new keypoints


def _spatial(config: Config) -> dict:
    return {"reduction": config.reduction, "mode": config.distillation_mode, "temperature": config.temperature}


def _distilled(parts: Parts) -> dict[str, Term]:
    return {"distillation": spatial_distillation_term(**_spatial(parts.config))}


def _associated(parts: Parts) -> dict[str, Term]:
    return {"association": association_term(loss=parts.config.ka_loss, **_spatial(parts.config))}


def _self_trained(parts: Parts) -> dict[str, Term]:
    return {"association": self_training_term(parts.codec, loss=parts.config.ka_loss, **_spatial(parts.config))}


def _penalty(parts: Parts) -> dict[str, Term]:
    return {"penalty": penalty_term()}


def _entropy(parts: Parts) -> dict[str, Term]:
    return {"entropy": entropy_term(parts.config.cpr_entropy_of)}


class Recipe(NamedTuple):
    """What a row is made of."""

    terms: tuple[Callable[[Parts], dict[str, Term]], ...] = ()  # beside the new keypoints', in later steps
    base_terms: tuple[Callable[[Parts], dict[str, Term]], ...] = ()  # beside it, in step 0
    association: Literal["", "plain", "distant", "filtered"] = ""  # the first stage of a later step
    triples: Literal["", "protocol", "random"] = ""
    rerendered: bool | None = None  # KA-Net's maps; None as the config says
    over_old: bool | None = None  # whether their weight is divided by the number of old keypoints; None likewise
    memory: Literal["", "fisher", "online_fisher", "mas", "walk", "afec"] = ""  # what is kept for the next steps


KAMP = (_distilled, _associated)
RECIPES: dict[str, Recipe] = {
    "kamp": Recipe(KAMP, association="plain", triples="protocol", rerendered=False, over_old=False),
    "kamp_rerendered": Recipe(KAMP, association="plain", triples="protocol", rerendered=True, over_old=True),
    "finetune": Recipe(),
    "lwf": Recipe((lambda p: {"distillation": channel_distillation_term(p.config.lwf_temperature)},)),
    "ewc": Recipe((_penalty,), memory="fisher"),
    "online_ewc": Recipe((_penalty,), memory="online_fisher"),
    "mas": Recipe((_penalty,), memory="mas"),
    "rw": Recipe((lambda p: {"penalty": penalty_term(half=False)},), memory="walk"),
    "afec": Recipe((_penalty, lambda p: {"expanded": penalty_term(tracked=True)}), memory="afec"),
    "cpr": Recipe((_penalty, _entropy), base_terms=(_entropy,), memory="fisher"),
    "mse_distillation": Recipe((lambda p: {"distillation": mse_distillation_term(p.config.half)},)),
    "self_training": Recipe((_distilled, _self_trained), triples="protocol", over_old=True),
    "ksd_only": Recipe((_distilled,)),
    "ka_only": Recipe((_associated,), association="plain", triples="protocol"),
    "random_triples": Recipe(KAMP, association="plain", triples="random"),
    "kamp_filtered": Recipe(KAMP, association="filtered", triples="protocol"),
    "kamp_distant": Recipe(KAMP, association="distant", triples="protocol"),
    "joint": Recipe(),
}
VARIANTS: dict[str, Variant] = {
    "kamp": Variant("method", "distillation of all old keypoints and KA-Net's maps of one, as printed", "KAMP"),
    "kamp_rerendered": Variant("method", "a Gaussian at KA-Net's arg-max, weighed as one of the old keypoints"),
    "finetune": Variant("baseline", "the new labels alone", "Finetune"),
    "lwf": Variant("baseline", "distillation across channels", "LWF"),
    "ewc": Variant("baseline", "elastic weight consolidation"),
    "online_ewc": Variant("baseline", "elastic weight consolidation with fading importances"),
    "mas": Variant("baseline", "memory aware synapses"),
    "rw": Variant("baseline", "Riemannian walk"),
    "afec": Variant("baseline", "EWC, and a pull to a network that learnt the new keypoints alone"),
    "cpr": Variant("baseline", "EWC, and broad answers", "CPR"),
    "mse_distillation": Variant("control", "squared distance to the old model's heatmaps"),
    "self_training": Variant("control", "kamp_rerendered with the old model's own arg-max in KA-Net's place"),
    "ksd_only": Variant("ablation", "without KA-Net", "KSD only"),
    "ka_only": Variant("ablation", "without distillation", "KA only"),
    "random_triples": Variant("ablation", "keypoints of the auxiliary task at random", "random triples"),
    "kamp_filtered": Variant("ablation", "pseudo-labels that the old model doubts are left out"),
    "kamp_distant": Variant("ablation", "KA-Net that sees the whole picture"),
    "joint": Variant("oracle", "all pictures with the labels of all keypoints, at once", "Joint"),
}


def weights_of(config: Config, variant: str, old: int) -> dict[str, float]:
    """What multiplies the terms of a row, by name, in a step with so many old keypoints."""
    recipe, terms = RECIPES[variant], {}
    if variant in ("lwf", "mse_distillation", "ksd_only"):
        terms["distillation"] = getattr(config, variant)
    if recipe.triples:
        alpha = alpha_of(config, variant)
        over_old = config.ka_weight == "alpha_over_old" if recipe.over_old is None else recipe.over_old
        terms |= {"distillation": alpha, "association": alpha / max(old, 1) if over_old else alpha}
    if recipe.memory:
        terms["penalty"] = getattr(config, variant)
    if variant == "afec":
        terms["expanded"] = config.afec_expanded
    if variant == "cpr":
        terms["entropy"] = config.cpr_entropy
    return terms


def alpha_of(config: Config, variant: str) -> float:
    """The weight of a row's spatial distillation. Ablations have that of the row that they are made from."""
    if variant in ("kamp", "kamp_rerendered", "ksd_only", "self_training"):
        return getattr(config, variant)
    return config.kamp_rerendered if config.ka_target == "rerendered" else config.kamp


def rerenders(config: Config, variant: str) -> bool:
    """Whether the student sees KA-Net's arg-max as a Gaussian, or KA-Net's map."""
    asked = RECIPES[variant].rerendered
    return config.ka_target == "rerendered" if asked is None else asked
