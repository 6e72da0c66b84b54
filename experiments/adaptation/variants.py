"""The rows of the tables: what of a network is trained, and which core it starts from."""
from typing import Literal, NamedTuple

from experiments.command_line import Variant
from kpjax.methods.core_adaptation.parametrisation import (
    Parametrisation,
    adapted,
    adapted_w_and_head_only,
    finetuned,
    finetuned_last,
    lora,
    scratch,
)


class Recipe(NamedTuple):
    """How a row comes about."""

    parametrisation: Parametrisation
    core: Literal["trained", "random", "adapted", "none"] = "trained"  # what it starts from; "adapted" is that row's
    trains: bool = True


PROJECTED, FINETUNED = adapted(), finetuned()  # rows with the same parametrisation share what is compiled

RECIPES: dict[str, Recipe] = {
    "adapted": Recipe(PROJECTED),
    "finetuned": Recipe(FINETUNED),
    "scratch": Recipe(scratch(), core="none"),
    "lora": Recipe(lora()),
    "random_core": Recipe(PROJECTED, core="random"),
    "untrained_head": Recipe(PROJECTED, trains=False),
    "adapted_w_and_head_only": Recipe(adapted_w_and_head_only()),
    "finetuned_last": Recipe(finetuned_last()),
    "finetuned_from_adapted": Recipe(FINETUNED, core="adapted"),
}

VARIANTS: dict[str, Variant] = {
    "adapted": Variant("method", "the core's kernels frozen, a small matrix for each", "Proposed"),
    "finetuned": Variant("baseline", "all weights trained from the core", "Finetune"),
    "scratch": Variant("baseline", "all weights trained from a fresh start", "Scratch"),
    "lora": Variant("baseline", "an update of low rank for each frozen kernel, as many weights as the matrices", "LoRA"),
    "random_core": Variant("control", "the same matrices on frozen random kernels"),
    "untrained_head": Variant("control", "the core under a new head, nothing trained"),
    "adapted_w_and_head_only": Variant("ablation", "matrices and head trained, all else of the core frozen"),
    "finetuned_last": Variant("ablation", "top block, last 1x1 convolution and head trained, all else frozen"),
    "finetuned_from_adapted": Variant("ablation", "all weights trained from the adapted network, as many steps more"),
}
