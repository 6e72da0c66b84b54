"""Variants: terms beside that of the new keypoints, and their weights by fields of `Weights`."""
from collections.abc import Mapping
from typing import Any

from kpjax import methods
from kpjax.systems.incremental.builders import Recipe, associated, distilled, entropy, self_trained
from kpjax.systems.incremental.steps import PLAIN
from kpjax.systems.system import Variant

KAMP = {"distillation": distilled, "association": associated}
PENALTY = {"penalty": lambda s: methods.penalty_term()}
ALPHA = ("distillation", "association")  # terms whose weight is alpha


def _kamp(alpha: str = "kamp", terms: Mapping[str, Any] = KAMP, **options: Any) -> Recipe:
    return Recipe(terms, dict.fromkeys(ALPHA, alpha), **{"ka_net": True, "triples": "protocol"} | options)


VARIANTS: dict[str, Variant] = {
    "kamp": Variant("method", "distillation of all old keypoints and KA-Net's maps of one, as printed", "KAMP",
                    _kamp()),
    "kamp_rerendered": Variant("method", "a Gaussian at KA-Net's point, weighed as one of the old keypoints", "",
                               _kamp("kamp_rerendered", rerendered=True, over_old=True)),
    "finetune": Variant("baseline", "the new labels alone", "Finetune", PLAIN),
    "lwf": Variant("baseline", "distillation across channels", "LWF", Recipe(
        {"distillation": lambda s: methods.channel_distillation_term()}, {"distillation": "lwf"})),
    "ewc": Variant("baseline", "elastic weight consolidation", "",
                   Recipe(PENALTY, {"penalty": "ewc"}, memory="fisher")),
    "mas": Variant("baseline", "memory aware synapses", "", Recipe(PENALTY, {"penalty": "mas"}, memory="mas")),
    "rw": Variant("baseline", "Riemannian walk", "", Recipe(
        {"penalty": lambda s: methods.penalty_term(half=False)}, {"penalty": "rw"}, base="base_rw", memory="walk")),
    "afec": Variant("baseline", "EWC, and a pull to a network that learnt the new keypoints alone", "", Recipe(
        {**PENALTY, "expanded": lambda s: methods.penalty_term(tracked=True)},
        {"penalty": "afec", "expanded": "afec_expanded"}, memory="afec")),
    "cpr": Variant("baseline", "EWC, and broad answers", "CPR", Recipe(
        {**PENALTY, "entropy": entropy}, {"penalty": "cpr", "entropy": "cpr_entropy"}, "base_cpr", memory="fisher")),
    "self_training": Variant("control", "kamp_rerendered with the old model's own point in KA-Net's place", "", _kamp(
        "self_training", {"distillation": distilled, "association": self_trained}, ka_net=False, over_old=True)),
    "ksd_only": Variant("ablation", "without KA-Net", "KSD only",
                        Recipe({"distillation": distilled}, {"distillation": "ksd_only"})),
    "ka_only": Variant("ablation", "without distillation", "KA only", _kamp(terms={"association": associated})),
    "random_triples": Variant("ablation", "keypoints of the auxiliary task at random", "random triples",
                              _kamp(triples="random")),
    "joint": Variant("oracle", "all images with the labels of all keypoints, at once", "Joint", Recipe(base="joint")),
}

SHORT_LIST = ("finetune", "ksd_only", "kamp", "joint")
