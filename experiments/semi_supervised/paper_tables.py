"""Tables of the paper; `python -m experiments study semi_supervised NAME` runs them."""
from experiments.engine.pages import Column, Row, Table
from experiments.semi_supervised.variants import VARIANTS

# Tables of the paper. PL is undefined where everything is labelled.

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)  # of labelled images
PCK = Column("PCK, %", "test/pck", 100.0)


def by_variant(*names: str) -> tuple[Row, ...]:
    """Returns a row for each variant, with the paper's name. `all_labels` is the same for all labelled shares."""
    return tuple(Row(name if label in ("", name) else f"{name} ({label})", name, fixed=recipe.everything)
                 for name in names for label, recipe in [(VARIANTS[name].label, VARIANTS[name].recipe)])


def by_labelled(*shares: float, minus: str = "") -> tuple[Column, ...]:
    """Returns a column of PCK for each labelled share, then the difference from a variant if one is named."""
    return tuple(Column(f"{100 * share:g} %" + (f", less {other}" if other else ""), "test/pck", 100.0,
                        settings={"labelled": share}, minus=other)
                 for other in dict.fromkeys(("", minus)) for share in shares)


TABLE1 = Table("lsp", by_variant("supervised", "pl", "elt", "gen", "ours", "mean_teacher", "supervised_warped",
                                 "pl_warped", "all_labels"),
               by_labelled(*SHARES, minus="supervised_warped"), paper="table1")
TABLE2 = Table("lsp", by_variant("ours", "no_sc", "sc_only", "no_te", "no_ti", "ti_only", "supervised"),
               by_labelled(*SHARES), paper="table2")
TABLE3 = Table("lsp", by_variant("ours"), (*(
    Column(f"{100 * share:g} % of the unlabelled images", "test/pck", 100.0, settings={"unlabelled_share": share})
    for share in (0.1, 0.2, 0.5, 1.0)), PCK._replace(heading="supervised", variant="supervised")), paper="table3")
TABLE4 = Table("lsp", by_variant("ours", "no_ground_truth"), by_labelled(*SHARES), paper="table4")
WARP = Table("lsp", tuple(Row(kind, "ours", {"warp": kind}) for kind in ("perspective", "affine", "rotation")), (PCK,),
             "warp of ours")
# One weight at a time; `python -m experiments sweep` tries all combinations.
SENSITIVITY = Table("lsp", tuple(
    Row(f"{name} {weight:g}", "ours", {name: weight}) for name, weights in {
        "semantic": (0.1, 0.5, 1.0), "equivariance": (10.0, 100.0, 1000.0), "invariance": (10.0, 100.0, 1000.0)}.items()
    for weight in weights), (PCK,), "weight of ours")
