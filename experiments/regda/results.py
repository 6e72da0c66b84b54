"""What pages show of RegDA's measured numbers: `experiments.measure.render` says how to read it."""
from itertools import permutations

PAPER = ("source_only_mse", "dan", "dann", "mcd", "dd", "regda", "oracle_mse")
SPRITES = ("source_only", "constant_centre", "adabn", "adabn_in_area", "dd", "regda", "regda_adabn", "oracle")
DEMO = ("pretrained", "source_only_augmented", "regda", "teacher_adaptation", "oracle",
        "source_only_augmented - pretrained", "teacher_adaptation - source_only_augmented",
        "regda - source_only_augmented")
TABLES = {
    "headline": ("demo_full", (
        "source_only", "adabn_augmented", "source_only_augmented", "demo_slower/source_only_augmented_mse",
        "demo_slower/source_only_augmented_mse_long", "regda", "teacher_adaptation", "demo_slower/source_free",
        "oracle", "oracle_mse", "regda - source_only_augmented",
        "teacher_adaptation - demo_slower/source_only_augmented_mse_long",
        "demo_slower/source_free - source_only_augmented_mse", *(f"demo/{line}" for line in DEMO)), ("target/pck",)),
    "real": ("tongue_machines", (
        "source_only", "source_only_augmented_mse_long", "source_only_views_long", "source_only_restyled_long",
        "teacher_adaptation", "source_free_views", "teacher_adaptation - source_only_views_long",
        "teacher_adaptation - source_only_restyled_long", "source_free_views - source_only_views_long",
        "lspet_colours/source_only_augmented_mse_long", "lspet_colours/source_only_restyled_long",
        "lspet_colours/teacher_adaptation", "lspet_colours/teacher_adaptation - source_only_augmented_mse_long",
        "lspet_colours/teacher_adaptation - source_only_restyled_long"), ("target/pck",)),
    "paper": ("", (
        *(f"{preset}/{variant}" for preset in ("rhd_h3d", "surreal_h36m", "surreal_lsp") for variant in PAPER),
        *(f"dsprites_{one}_{other}/{variant}" for one, other in permutations(("colour", "noisy", "scream"), 2)
          for variant in SPRITES)), ("target/pck_batchwise/all", "target/mae"))}
