"""What pages show of semi-supervised learning's measured numbers: `experiments.measure.render` says how to read it."""
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)  # of labelled images; of those without labels in the paper's table 3
SPEECH = ("supervised_warped", "supervised_warped_twice", "pl_warped", "pl_warped - supervised_warped_twice")
AVERAGED = ("supervised_warped_averaged", "supervised_warped_twice_averaged", "pl_warped_averaged",
            "supervised_warped_averaged - supervised_warped", "pl_warped_averaged - supervised_warped_twice_averaged")
TABLES = {
    "headline": ("demo", (
        "supervised", "supervised_warped", "sc_only", "ours", "pl", "pl_warped", "easy_hard", "easy_hard_twice",
        "pl_easy_hard", "all_labels", "ours - supervised_warped", "pl_warped - supervised_warped",
        "pl_easy_hard - pl_warped", "pl_easy_hard - easy_hard_twice"), (
            "test/pck", "labelled/left_to_learn", "test/sc_over_ln_k")),
    "real": ("", (
        *(f"tongue/{line}" for line in (*SPEECH, *AVERAGED)), *(f"lips/{line}" for line in SPEECH),
        *(f"fifty_athletes/{line}" for line in (*SPEECH, *AVERAGED)),
        *(f"athletes/{line}" for line in ("sc_only", "ours", *SPEECH)), "athletes steps=3000/sc_only",
        *(f"ten_athletes/{line}" for line in ("zero_shot", "zero_shot_turned", "pl_zero_shot", "pl_zero_shot_turned"))),
        ("test/pck", "test/contour", "labelled/left_to_learn", "test/sc_over_ln_k")),
    "paper": ((*(f"{preset} labelled={share}" for preset in ("mpii", "lsp", "cub", "atrw") for share in SHARES),
               *(f"{preset} labelled=0.05 unlabelled_share={share}" for preset in ("cub", "atrw")
                 for share in SHARES[1:4])), (
        "supervised", "pl", "elt", "gen", "ours", "supervised_warped", "pl_warped", "no_sc", "no_te",
        "no_ti", "sc_only", "ti_only", "no_ground_truth", "all_labels"), ("test/pck",))}
CLAIMS = (
    ("The method is above the labels alone", ("lsp/ours - supervised", "test/pck"), "demo/ours - supervised",
     "test/pck"),
    ("It is above pseudo-labels", ("lsp/ours - pl", "test/pck"), "demo/ours - pl", "test/pck",
     "as the next lines"),
    ("Pseudo-labels are below the labels alone", ("lsp/supervised - pl", "test/pck"), "demo/supervised - pl",
     "test/pck", "its teacher finds more than the paper's; the next line has a weaker one"),
    ("The same of a teacher that learnt from 5 images", ("lsp/supervised - pl", "test/pck"),
     "demo labelled=5/supervised - pl", "test/pck", "a weaker teacher helps as well: that was not the reason"),
    ("Semantic consistency alone is above the labels alone", ("lsp/sc_only - supervised", "test/pck"),
     "demo/sc_only - supervised", "test/pck"),
    ("The method loses without semantic consistency", ("lsp/ours - no_sc", "test/pck"), "demo/ours - no_sc",
     "test/pck"))
