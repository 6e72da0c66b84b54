"""Tables of the paper and its studies; `python -m experiments study incremental NAME` runs them."""
from collections.abc import Sequence

from experiments.engine.pages import Column, Row, Table
from experiments.incremental.measures import both_units
from experiments.incremental.presets import PRESETS, Config
from experiments.incremental.variants import VARIANTS
from kpjax import InputError

# Studies on the demo, two minutes a run on 2 CPU cores. Runs share their base where it is the same.

WEIGHTS = PRESETS["demo"].weights
POINTS = ("kamp_rerendered", "ksd_only", "self_training")
TRIPLES_PCK = Column("old points of triples, %", "triples/pck", 100.0)
AAA, AT = Column("AAA, %", "aaa", 100.0), Column("AT, %", "at", 100.0)
COPIED = (Column("errors copied, %", "association/copy_rate", 100.0),
          Column("by chance, %", "association/copy_rate_by_chance", 100.0))
BY_HOPS = tuple(Column(f"AT at {words}, %", f"at/hops_{hops}", 100.0)
                for hops, words in enumerate(("1 edge", "2", "3 or more"), 1))


def of_variants(*variants: str, **settings: object) -> tuple[Row, ...]:
    """Returns a row for each variant, all under the same settings."""
    said = "".join(f", {name} {value}" for name, value in settings.items())
    return tuple(Row(f"{variant}{said}", variant, settings) for variant in variants)


def study(rows: Sequence[Row], *more: Column) -> Table:
    """Returns a table of the demo with rows, then their differences over pairs of equal seeds.

    A row is compared with the first one of equal settings, and that one with the first of all.
    """
    differences = []
    for row in rows[1:]:
        alike = next(other for other in rows if other.settings == row.settings)
        first, second = (alike, row) if alike is not row else (row, rows[0])
        differences.append(Row(f"{first.title} - {second.title}", first.variant, first.settings, minus=second.variant,
                               minus_settings=second.settings))
    return Table("demo", (*rows, *differences), (TRIPLES_PCK, AAA, AT, *more))


# KA-Net's points against the old model's own, and against none: the old keypoints of the triples.
TRIPLES = study(of_variants(*POINTS, "kamp", "mse_distillation"))
# The same where the new keypoints determine the old one: it lies midway between them.
MADE = study(of_variants(*POINTS, "kamp", midway=True))
# The spatial distillation by temperature and by what one softmax goes over, at the weight times the temperature
# squared, which is the same slope on flat maps, and with a weight that follows the norms of the gradients.
SOFTMAX_FORMS = study([
    Row(f"{mode}, tau {tau:g}{said}", "ksd_only", {"distillation_mode": mode, "temperature": tau} | weight)
    for mode in ("lines", "joint", "marginal") for tau in (1.0, 0.1, 0.05)
    for said, weight in (("", {"ksd_only": WEIGHTS.ksd_only * tau**2}), (", balanced", {"balance": 1.0}))])
# Weights of both distilling terms, and one that follows the norms of the gradients.
ALPHA = study([
    Row("kamp", "kamp"),
    *(Row(f"{factor:g} times its weight", "kamp", {"kamp": factor * WEIGHTS.kamp}) for factor in (0.1, 10.0, 100.0)),
    *(Row(f"balanced at {ratio:g}", "kamp", {"balance": ratio}) for ratio in (0.3, 1.0, 3.0))])
# Old heads frozen and free.
HEADS = study([row for variant in ("kamp_rerendered", "ksd_only") for frozen in (True, False)
               for row in of_variants(variant, freeze_old_heads=frozen)])
# Forms of KA-Net and of its input, and two triples a step.
KA_NET_FORMS = study([Row("kamp_rerendered", "kamp_rerendered"), *(
    row for settings in ({"ka_variant": "paper"}, {"ka_variant": "wide"}, {"input_sigma": 0.0}, {"input_sigma": 0.3},
                         {"triples": 2})
    for row in of_variants("kamp_rerendered", **settings))], *COPIED)
# Uncertain pseudo-labels left out, by the share that is kept.
FILTER = study([Row("kamp", "kamp"), *(row for kept in (1.0, 0.9, 0.8, 0.6, 0.4)
                                       for row in of_variants("kamp_filtered", filter_kept=kept))], *COPIED)
# The same and the controls, of an old model of which a share of the maps is shifted.
NOISE = study([row for share in (0.0, 0.1, 0.3, 0.5)
               for row in of_variants(*POINTS, "kamp", "kamp_filtered", misled=share)])
# Gains of old keypoints by their distance from the new ones, where these are far from all.
HOPS = study(of_variants(*POINTS, "kamp_distant", protocol="figures_upper_lower"), *BY_HOPS)

# The choice of every variant's weight, on a protocol and on images that no other table is about. The weight that is
# best by AAA on validation images, where all keypoints have labels, stands in the presets. A choice that needs no old
# labels takes the mean of the accuracy of new keypoints and of the agreement with the old model on old ones, on images
# held out from each step. It punishes whatever improves old keypoints.

DISTILLATION = (1.0, 3.0, 10.0, 30.0, 100.0)  # as of line_sum, which weighs like squared errors
ACROSS_CHANNELS = tuple(4 * weight for weight in DISTILLATION)  # a softmax of temperature 2 has a quarter of the slope
PENALTY = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of importances with a mean of 1
GRIDS: dict[str, tuple[float, ...]] = {
    name: PENALTY if "penalty" in variant.recipe.weights else ACROSS_CHANNELS if name == "lwf" else DISTILLATION
    for name, variant in VARIANTS.items() if name in variant.recipe.weights.values()}


def tuning_row(variant: str, weight: float) -> Row:
    """Returns the row of a variant's weight; that of a spatial distillation is stated in both units."""
    stated = f"{weight:g}"
    if VARIANTS[variant].recipe.spatial:
        units = both_units(weight, "line_sum", PRESETS["demo_tuning"].heatmaps.heatmap_size)
        stated = " = ".join(f"{value:g} {unit}" for unit, value in units.items())
    return Row(f"{variant}, {stated}", variant, {variant: weight})


def check_tuning(config: Config) -> None:
    """Raises InputError for a preset that chooses by test images, holds none out, or has weights of another unit."""
    if config.data.evaluated_on != "validation" or not config.data.held_out:
        raise InputError("preset", "it would choose by test images or hold out none; add --evaluated-on validation "
                         "--held-out 0.1")
    if config.distillation.reduction != "line_sum":
        raise InputError("reduction", "the grids are weights of line_sum; add --reduction line_sum")


TUNING = Table("demo_tuning", tuple(tuning_row(name, weight) for name, grid in GRIDS.items() for weight in grid),
               (AAA, AT, Column("new and agreement, %", "label_free", 100.0)), "variant, weight", check=check_tuning)
