"""What pages show of incremental learning's measured numbers: `experiments.measure.render` says how
to read it.
"""

GAINS = ("kamp_rerendered - ksd_only", "kamp_rerendered - self_training")
POINTS = ("ksd_only", "self_training", "kamp_rerendered", *GAINS)
# Runs with the gate, each with its preset. Those of `limbs` had another KA-Net, too.
GATED = {
    "demo old_label_gate=True": "demo",
    "faces old_label_gate=True": "faces",
    "limbs association_learning_rate=0.016 input_sigma=0.5 ka_steps=0 old_label_gate=True": "limbs",
}
TABLES = {
    "headline": (
        "demo",
        (
            "finetune",
            "ewc",
            "cpr",
            "lwf",
            "ksd_only",
            "ksd_only_short",
            "memory_replay",
            "self_training",
            "kamp",
            "kamp_rerendered",
            "kamp_true_points",
            "joint",
            "kamp - ksd_only",
            *GAINS,
            "kamp_rerendered - ksd_only_short",
            "kamp_true_points - ksd_only",
        ),
        ("aaa", "at", "triples/pck"),
    ),
    "others": (
        "limbs",
        (
            *POINTS,
            "limbs ksd_only=0.3/ksd_only - limbs/self_training",
            "demo/kamp",
            *(f"faces/{line}" for line in ("kamp", *POINTS, "kamp_rerendered - kamp")),
        ),
        ("aaa", "at", "triples/pck", "a_mre", "association/ka_net", "association/teacher"),
    ),
    "gate": (
        "demo",
        tuple(
            f"{run}/{line}"
            for run, preset in GATED.items()
            for line in (
                *(("kamp",) if preset != "limbs" else ()),
                "kamp_rerendered",
                f"kamp_rerendered - {preset}/ksd_only",
            )
        ),
        (
            "aaa",
            "at",
            "triples/pck",
            "a_mre",
            "association/ka_net",
            "association/teacher",
            "association/left_out",
        ),
    ),
    "variations": (
        "mpii",
        (
            "kamp",
            "mpii network=rsn/kamp",
            "mpii triples=2/kamp",
            "low_shot/kamp",
            "single/kamp",
            "single/ksd_only",
            "upper_lower/kamp",
            "demo protocol=figures_single/kamp",
            "demo protocol=figures_single/ksd_only",
            "demo triples=2/kamp",
            "demo triples=2/kamp_rerendered",
            "demo triples=2/kamp_true_points",
        ),
        ("aaa", "at", "triples/pck"),
    ),
    "paper": (
        ("mpii", "atrw", "cephalometric_2023", "chest"),
        (
            "finetune",
            "lwf",
            "ewc",
            "mas",
            "rw",
            "afec",
            "cpr",
            "ksd_only",
            "self_training",
            "ka_only",
            "random_triples",
            "kamp",
            "kamp_rerendered",
            "joint",
        ),
        ("aaa", "a_mre"),
    ),
}
TITLES = {
    line: line.replace(run, preset)
    + ", with the gate, which reads old labels"
    + (", and another KA-Net" if preset == "limbs" else "")
    for run, preset in GATED.items()
    for line in TABLES["gate"][1]
    if line.startswith(run)
}
CLAIMS = tuple(
    (says, (f"mpii/{claimed}", "aaa"), f"{preset}/{line}", "aaa", why, "association/left_out")
    for preset, claimed, line, says, why in (
        ("demo", "cpr - finetune", "cpr - finetune", "A penalty is above fine-tuning", ""),
        (
            "demo",
            "lwf - finetune",
            "lwf - finetune",
            "Distillation across channels is above fine-tuning",
            "",
        ),
        (
            "demo",
            "ksd_only - cpr",
            "ksd_only - cpr",
            "Spatial distillation is above the penalty",
            "",
        ),
        (
            "demo",
            "ksd_only - lwf",
            "ksd_only - lwf",
            "Spatial distillation is above that across channels",
            "",
        ),
        ("demo", "kamp - ksd_only", "kamp - ksd_only", "KAMP is above spatial distillation", ""),
        ("faces", "kamp - ksd_only", "kamp - ksd_only", "The same on faces", ""),
        (
            "limbs",
            "kamp - ksd_only",
            "kamp_rerendered - ksd_only",
            "The same on limbs, maps rendered again",
            "KA-Net finds old points no better than its teacher",
        ),
        (
            "demo",
            "joint - kamp",
            "joint - kamp",
            "Training on all labels at once is above KAMP",
            "",
        ),
    )
)
