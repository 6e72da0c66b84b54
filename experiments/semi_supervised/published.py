"""The numbers that the paper prints (Moskvyak et al., ICLR 2021), in percent, for `experiments.semi_supervised`.

Shares of labelled pictures are fractions; 1.0 is the column of 100 %. Table 1 is the mean and the deviation of three
labelled subsets, Tables 2 to 4 are single runs. The authors' repository prints the ELT rows of MPII, LSP and CUB under
the name "Supervised + TE loss", so that row may be an equivariance of heatmaps.
"""
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)

TABLE_1 = {
    "mpii": {
        "supervised": ((66.22, 1.60), (69.18, 1.03), (71.83, 0.87), (75.73, 0.35), (81.11, 0.15)),
        "pl": ((62.44, 1.75), (64.78, 1.44), (69.35, 1.11), (77.43, 0.48), None),
        "elt": ((68.27, 0.64), (71.03, 0.46), (72.37, 0.58), (77.75, 0.31), (81.01, 0.15)),
        "gen": ((71.59, 1.12), (72.63, 0.62), (74.95, 0.32), (79.86, 0.19), (80.92, 0.32)),
        "ours": ((74.15, 0.83), (76.56, 0.48), (78.46, 0.36), (80.75, 0.32), (82.12, 0.14)),
    },
    "lsp": {
        "supervised": ((40.19, 1.46), (45.17, 1.15), (55.22, 1.41), (62.61, 1.25), (72.12, 0.30)),
        "pl": ((37.36, 1.89), (42.05, 1.68), (48.86, 1.23), (64.45, 0.96), None),
        "elt": ((41.77, 1.56), (47.22, 0.91), (57.34, 0.94), (66.81, 0.62), (72.22, 0.13)),
        "gen": ((61.01, 1.41), (67.75, 1.00), (68.80, 0.91), (69.70, 0.77), (72.25, 0.55)),
        "ours": ((66.98, 0.94), (69.56, 0.66), (71.85, 0.33), (72.59, 0.56), (74.29, 0.21)),
    },
    "cub": {
        "supervised": ((85.77, 0.38), (88.62, 0.14), (90.18, 0.22), (92.60, 0.28), (93.62, 0.13)),
        "pl": ((86.31, 0.45), (89.51, 0.32), (90.88, 0.28), (92.78, 0.27), None),
        "elt": ((86.54, 0.34), (89.48, 0.25), (90.86, 0.13), (92.26, 0.06), (93.77, 0.18)),
        "gen": ((88.37, 0.40), (90.38, 0.22), (91.31, 0.21), (92.79, 0.14), (93.62, 0.25)),
        "ours": ((91.11, 0.33), (91.47, 0.36), (92.36, 0.30), (92.80, 0.24), (93.81, 0.13)),
    },
    "atrw": {
        "supervised": ((69.22, 0.87), (77.55, 0.84), (86.41, 0.45), (92.17, 0.18), (94.44, 0.10)),
        "pl": ((67.97, 1.07), (75.26, 0.74), (84.69, 0.57), (92.15, 0.24), None),
        "elt": ((74.53, 1.24), (80.35, 0.96), (87.98, 0.47), (92.80, 0.21), (94.75, 0.14)),
        "gen": ((89.54, 0.57), (90.48, 0.49), (91.16, 0.13), (92.27, 0.24), (94.80, 0.13)),
        "ours": ((92.57, 0.64), (94.29, 0.66), (94.49, 0.36), (94.63, 0.18), (95.31, 0.12)),
    },
}

TABLE_2 = {  # Leeds Sports: which terms stand beside the supervised one
    "ours": (66.32, 69.09, 71.62, 72.19, 74.44),
    "no_sc": (46.76, 55.18, 64.01, 67.54, 72.11),
    "sc_only": (64.74, 67.43, 69.65, 70.61, 72.85),
    "no_te": (65.23, 68.11, 70.12, 71.28, 73.56),
    "no_ti": (65.78, 68.51, 70.56, 71.77, 73.89),
    "ti_only": (43.62, 53.74, 61.12, 65.32, 71.80),
    "supervised": (39.16, 44.36, 54.23, 61.73, 71.91),
}

UNLABELLED_SHARES = (0.1, 0.2, 0.5, 1.0)
TABLE_3 = {  # 5 % labelled and that share of the others; the last number is the supervised row
    "cub": (87.01, 88.33, 89.44, 91.34, 85.33),
    "atrw": (72.04, 76.65, 86.56, 93.02, 69.84),
}

TABLE_4 = {  # Leeds Sports: whether labelled pictures use their true heatmaps in the unsupervised terms
    "ours": (66.32, 69.09, 71.62, 72.19, 74.44),
    "no_ground_truth": (64.75, 67.27, 69.91, 70.55, 73.65),
}

SENSITIVITY = {"semantic": (0.1, 0.5, 1.0), "equivariance": (10.0, 100.0, 1000.0), "invariance": (10.0, 100.0, 1000.0)}


def table_1(preset: str, variant: str, labelled: float) -> tuple[float, float] | None:
    """Mean and deviation of a row of Table 1, None where the paper prints none."""
    row = TABLE_1.get(preset, {}).get("supervised" if variant == "all_labels" else variant)
    share = 1.0 if variant == "all_labels" else labelled
    return row[SHARES.index(share)] if row and share in SHARES else None


def paper_numbers(preset: str, labelled: float, variant: str) -> dict[str, float]:
    """The paper's numbers by metric for a row of a preset at a share of labels: Table 1, or else a single run."""
    if (found := table_1(preset, variant, labelled)) is not None:
        return {"test/pck": found[0]}
    if preset == "lsp" and labelled in SHARES:
        for single in (TABLE_2, TABLE_4):
            if variant in single:
                return {"test/pck": single[variant][SHARES.index(labelled)]}
    return {}
