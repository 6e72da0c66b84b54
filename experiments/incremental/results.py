"""What pages show of incremental learning's measured numbers: `experiments.measure.render` says how to read it."""
BASELINES = ("finetune", "lwf", "ewc", "online_ewc", "mas", "rw", "afec", "cpr", "mse_distillation")
POINTS = ("ksd_only", "self_training", "kamp_rerendered", "kamp_rerendered - ksd_only")
TABLES = {
    "headline": ("demo", (
        "mse_distillation", "ksd_only", "self_training", "kamp", "kamp_rerendered", "joint",
        "kamp - ksd_only", "kamp_rerendered - mse_distillation", "kamp_rerendered - ksd_only",
        "demo_faster/kamp_rerendered - ksd_only"), ("aaa", "triples/pck")),
    "others": ("", (
        *(f"demo_faster/{line}" for line in ("ksd_only", "kamp_rerendered")),
        *(f"limbs/{line}" for line in POINTS)), ("aaa", "at", "triples/pck", "a_mre")),
    "paper": (("mpii", "atrw", "cephalometric_2023", "chest"), (
        *BASELINES, "ksd_only", "self_training", "ka_only", "random_triples", "kamp",
        "kamp_rerendered", "joint"), ("aaa", "a_mre"))}
