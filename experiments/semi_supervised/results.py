"""What pages show of semi-supervised learning's measured numbers: `experiments.measure.render` says
how to read it.
"""

# of labelled images; of those without labels in the paper's table 3
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
SPEECH = (
    "supervised_warped",
    "supervised_warped_twice",
    "pl_warped",
    "pl_warped - supervised_warped_twice",
)
LEARNT = "athletes batch_size=128 steps=6000"  # until the labels are learnt
AVERAGED = (
    "supervised_warped_averaged",
    "supervised_warped_twice_averaged",
    "pl_warped_averaged",
    "supervised_warped_averaged - supervised_warped",
    "pl_warped_averaged - supervised_warped_twice_averaged",
)
COMPARED = (
    "supervised",
    "supervised_warped",
    "supervised_warped_twice",
    "sc_only",
    "no_sc",
    "ours",
    "pl",
    "pl_warped",
    "ours - supervised_warped_twice",
    "ours - supervised_warped",
    "pl_warped - supervised_warped_twice",
    "ours - pl_warped",
)
TABLES = {
    "headline": (
        "demo",
        (
            *(f"people/{line}" for line in COMPARED),
            "supervised",
            "supervised_warped",
            "sc_only",
            "ours",
            "pl",
            "pl_warped",
            "easy_hard",
            "easy_hard_twice",
            "pl_easy_hard",
            "all_labels",
            "ours - supervised_warped",
            "pl_warped - supervised_warped",
            "pl_easy_hard - pl_warped",
            "pl_easy_hard - easy_hard_twice",
            "demo steps=4000/supervised",
            "demo steps=4000/ours",
            "demo steps=4000/ours - supervised",
        ),
        ("test/pck", "labelled/left_to_learn", "test/sc_over_ln_k"),
    ),
    "real": (
        "",
        (
            *(f"tongue/{line}" for line in (*SPEECH, *AVERAGED)),
            *(f"lips/{line}" for line in SPEECH),
            *(f"fifty_athletes/{line}" for line in (*SPEECH, *AVERAGED)),
            *(f"athletes/{line}" for line in SPEECH),
            *(
                f"{LEARNT}/{line}"
                for line in (
                    "supervised",
                    "supervised_warped",
                    "sc_only",
                    "ours",
                    "sc_only - supervised",
                    "ours - supervised",
                )
            ),
            *(
                f"ten_athletes/{line}"
                for line in ("zero_shot", "zero_shot_turned", "pl_zero_shot", "pl_zero_shot_turned")
            ),
        ),
        ("test/pck", "test/contour", "labelled/left_to_learn", "test/sc_over_ln_k"),
    ),
    "paper": (
        (
            *(
                f"{preset} labelled={share}"
                for preset in ("mpii", "lsp", "cub", "atrw")
                for share in SHARES
            ),
            *(
                f"{preset} labelled=0.05 unlabelled_share={share}"
                for preset in ("cub", "atrw")
                for share in SHARES[1:4]
            ),
        ),
        (
            "supervised",
            "pl",
            "elt",
            "gen",
            "ours",
            "supervised_warped",
            "pl_warped",
            "no_sc",
            "no_te",
            "no_ti",
            "sc_only",
            "ti_only",
            "no_ground_truth",
            "all_labels",
        ),
        ("test/pck",),
    ),
}
CLAIMS = tuple(
    (says, (f"lsp/{line}", "test/pck"), f"{place}/{line}", "test/pck", why)
    for place, line, says, why in (
        ("people", "ours - supervised", "The method is above the labels alone", ""),
        ("demo", "ours - supervised", "The same on maps of 16 cells", ""),
        (LEARNT, "ours - supervised", "The same on athletes, labels learnt", ""),
        ("people", "ours - pl", "The method is above pseudo-labels", ""),
        (
            "demo",
            "ours - pl",
            "The same on maps of 16 cells",
            "pseudo-labels help here: next lines",
        ),
        (
            "people",
            "supervised - pl",
            "Pseudo-labels are below the labels alone",
            "not for its better teacher: below",
        ),
        ("demo", "supervised - pl", "The same on maps of 16 cells", "nor here"),
        (
            "demo labelled=5",
            "supervised - pl",
            "The same with a teacher trained on 5 images",
            "a weaker teacher helps, too",
        ),
        (
            "people",
            "sc_only - supervised",
            "Semantic consistency alone is above the labels alone",
            "",
        ),
        ("demo", "sc_only - supervised", "The same on maps of 16 cells", ""),
        (
            LEARNT,
            "sc_only - supervised",
            "The same on athletes, labels learnt",
            "it was as good at wrong points",
        ),
        ("people", "ours - no_sc", "The method loses without semantic consistency", ""),
        (
            "demo",
            "ours - no_sc",
            "The same on maps of 16 cells",
            "it was learnt at wrong points, too",
        ),
    )
)
