"""Tables of incremental learning, rendered from `results.csv`: today's demo first, then what was run at lower rates."""
from experiments.engine.image_sets import TUNING_SEEDS
from experiments.engine.pages import Column, Row, Table, on_former_split

# Settings

LOWER = {"base_learning_rate": 3e-3, "learning_rate": 2e-3, "association_learning_rate": 3e-3}
HIGHER = dict.fromkeys(LOWER, 3.2e-2)
VISIBLE = {"input_sigma": 0.0}  # KA-Net reads new keypoints as the labels' Gaussians, in which it can see its answer
BASELINE = LOWER | VISIBLE  # of variants that have no KA-Net
EQUAL = LOWER | {"kamp_rerendered": 0.3}  # the weight of self_training
MIDWAY = LOWER | {"midway": True}
MIDWAY_EQUAL = MIDWAY | dict.fromkeys(("kamp", "kamp_rerendered", "ksd_only"), 0.3)
WEAK = EQUAL | VISIBLE | {"protocol": "weak_base.json", "triples": 2}
SHARP = LOWER | {"temperature": 0.05, "ksd_only": 0.0025}
FACES_SHORT = VISIBLE | {"base_steps": 240, "steps": 200}
FACES_PRETRAINED = dict.fromkeys(LOWER, 1e-3) | {
    "network": "mobilenet_v2", "weights": "mobilenet_v2_imagenet", "frozen_stride": 4, "base_steps": 300, "steps": 150}
SPORTS_SMALL = LOWER | {
    "image_size": 64, "heatmap_size": 16, "sigma": 1.25, "network": "small_unet", "widths": (16, 32, 32, 64, 64),
    "base_steps": 600, "steps": 400, "schedule": "cosine", "warmup_steps": 20, "reduction": "line_sum", "ksd_only": 1.0,
    "kamp_rerendered": 1.0, "weight_decay": 0.0, "grid": "half_pixel", "targets": "sub_pixel", "decoder": "dark"}

# Columns and titles

AAA, AT, MT = Column("AAA, %", "aaa", 100), Column("AT, %", "at", 100), Column("MT, %", "mt", 100)
TRIPLES = Column("triples, %", "triples/pck", 100)
BY_SEED = Column("AAA by seed", "aaa", 100, show="seeds")
AT_TEN = Column("AAA at 10 %", "second/aaa", 100)
A_MRE = Column("A-MRE, px of 64", "a_mre")
FINE_A_MRE = Column("A-MRE, px", "a_mre", decimals=2)
OF_FACES = (AAA, AT, Column("AAA at 5 %", "second/aaa", 100), FINE_A_MRE)
TITLES = {
    "lwf": "lwf, 1 seed", "ksd_only": "ksd_only (ablation)", "mse_distillation": "mse_distillation (control)",
    "self_training": "self_training, weight 0.3 (control)", "kamp": "**kamp** (the published loss)",
    "kamp_rerendered": "**kamp_rerendered**", "ksd_holes": "ksd_holes: holes, without KA-Net",
    "kamp_holes": "kamp_holes: the student sees images with holes",
    "ksd_projected": "ksd_projected: matrices of frozen kernels",
    "kamp_projected": "kamp_projected: the same with KA-Net", "joint": "joint (upper bound)"}


def less(variant: str, other: str, title: str = "", **fields) -> Row:
    """Returns a row of differences."""
    return Row(title or f"{variant} - {other}", variant, minus=other, **fields)


# The demo

DEMO = Table("demo", [Row(title, variant) for variant, title in TITLES.items()],
             (AAA, BY_SEED, AT, MT, AT_TEN, A_MRE, TRIPLES))
HEADLINE = Table("demo", [Row(title, variant) for variant, title in TITLES.items()
                          if not variant.endswith("projected") and variant != "kamp_holes"], (AAA, AT, TRIPLES, A_MRE))
DIFFERENCES = Table("demo", [less(*pair) for pair in (
    *(("kamp_rerendered", other) for other in ("ksd_only", "mse_distillation", "self_training", "kamp")),
    ("kamp", "ksd_only"), ("kamp", "self_training"), ("self_training", "ksd_only"), ("ksd_holes", "ksd_only"),
    ("kamp_holes", "kamp"), ("kamp_holes", "ksd_holes"), ("ksd_projected", "ksd_only"), ("kamp_projected", "kamp"),
    ("kamp_projected", "ksd_projected"))], (TRIPLES, AAA, AT), "difference")
FOREST = Table("demo", [less(variant, other, f"{'AAA' if metric == 'aaa' else 'triples'}, {name} - {other}",
                             metric=metric)
                        for variant, name, other, metrics in (
                            ("kamp_rerendered", "rerendered", "mse_distillation", ("aaa", "triples/pck")),
                            ("kamp_rerendered", "rerendered", "ksd_only", ("aaa", "triples/pck")),
                            ("kamp_rerendered", "rerendered", "self_training", ("aaa", "triples/pck")),
                            ("kamp", "published", "ksd_only", ("aaa", "triples/pck")),
                            ("ksd_holes", "holes", "ksd_only", ("aaa", "triples/pck")),
                            ("kamp_holes", "kamp_holes", "ksd_holes", ("triples/pck",)))
                        for metric in metrics],
               (Column("points of PCK over the control, synthetic people, five seeds", "{}", 100),), "difference")
KA_NET = Table("demo", [Row("right elbow, given the hands", "kamp_rerendered", metric="step_1/right_elbow"),
                        Row("right knee, given the feet", "kamp_rerendered", metric="step_2/right_knee")],
               (*(Column(f"{name} at {share} %", f"association/{{}}/{second}{metric}", 100)
                  for name, metric in (("KA-Net", "ka_net"), ("teacher", "teacher"))
                  for share, second in ((5, ""), (10, "second/"))),
                *(Column(heading, "association/{}/difference", 100, show=show, variant="ka_net", minus="teacher")
                  for heading, show in (("KA-Net - teacher at 5 %", "mean"), ("by seed", "seeds")))), "old keypoint")
COPIES = Table("demo", [Row("kamp_rerendered", "kamp_rerendered")], (
    Column("the teacher's errors that KA-Net repeats, %", "association/copy_rate", 100),
    Column("by chance, %", "association/copy_rate_by_chance", 100)))
RATES = Table("demo", [Row(title, "", settings, seeds=TUNING_SEEDS) for title, settings in (
    ("3e-3, 2e-3, 3e-3", LOWER),
    ("1.6e-2, 2e-3, 3e-3", {"learning_rate": 2e-3, "association_learning_rate": 3e-3}),
    ("1.6e-2, 8e-3, 8e-3", {"learning_rate": 8e-3, "association_learning_rate": 8e-3}),
    ("1.6e-2 in all (the preset's)", {}), ("3.2e-2 in all", HIGHER))],
              [Column(f"{variant}: {column.heading}", column.metric, 100, variant=variant)
               for variant in ("ksd_only", "mse_distillation", "self_training", "kamp_rerendered")
               for column in (AAA, TRIPLES)], "rates of step 0, later steps, KA-Net")
TUTORIAL = Table("demo", [*(Row(variant, variant) for variant in (
    "mse_distillation", "self_training", "kamp", "kamp_rerendered", "joint")),
    less("kamp_rerendered", "mse_distillation"), less("kamp_rerendered", "self_training")], (
        Column("all keypoints (AAA), %", "aaa", 100),
        Column("old keypoints that new ones help to find, %", "triples/pck", 100)))

# Elbows and knees, each with a new keypoint on either side, and the demo, at equal weights

WEIGHED = (("1", {"self_training": 1.0}), ("0.3", {"kamp_rerendered": 0.3, "ksd_only": 0.3}))
TRIPLES_BY_SEED = TRIPLES._replace(heading="triples by seed", show="seeds")


def weighed(preset: str, *variants: str) -> Table:
    """Returns a table of variants at two weights that all share, with the differences from `kamp_rerendered`."""
    return Table(preset, [row for weight, settings in WEIGHED for row in (
        *(Row(f"{variant}, weight {weight}", variant, settings) for variant in (*variants, "kamp_rerendered")),
        *(less("kamp_rerendered", other, f"kamp_rerendered - {other}, weight {weight}", settings=settings)
          for other in variants))], (TRIPLES, TRIPLES_BY_SEED, AAA, AT), "variant, or difference")


LIMBS = weighed("limbs", "ksd_only", "self_training")
OF_THE_OLD = {"minus": "kamp_rerendered", "minus_settings": WEIGHED[0][1]}
LIMBS_ASSOCIATION = Table("limbs", [
    Row(f"{joint}: {words}", "kamp_rerendered", WEIGHED[0][1], metric=f"association/{part}/ka_net", **(
        {**OF_THE_OLD, "minus_metric": f"association/{part}/teacher"} if "less" in words else {}))
    for joint, part in (("right elbow", "step_1/right_elbow"), ("right knee", "step_2/right_knee"))
    for words in ("KA-Net", "KA-Net less the old network")], (
        Column("found, %", "", 100), Column("by seed", "", 100, show="seeds")), "old keypoints, weight 1")
DEMO_WEIGHED = weighed("demo", "ksd_only", "self_training")
AT_HIGHER = Table("demo", [
    *(Row(f"{variant}, 3.2e-2", variant, HIGHER) for variant in ("ksd_only", "kamp_rerendered")),
    less("kamp_rerendered", "ksd_only", "kamp_rerendered - ksd_only, 3.2e-2", settings=HIGHER),
    less("kamp_rerendered", "ksd_only", "the same at 1.6e-2 (the preset's)", settings=WEIGHED[0][1]),
    less("ksd_only", "ksd_only", "ksd_only, 3.2e-2 - 1.6e-2", settings=HIGHER, minus_settings=WEIGHED[0][1])], (
        TRIPLES, TRIPLES._replace(heading="triples by seed", show="seeds"), AAA, BY_SEED, AT), "rates of all steps")

# The demo at lower rates

BASELINES = Table("demo", [Row(variant, variant, BASELINE) for variant in (
    "finetune", "ewc", "online_ewc", "mas", "rw", "afec", "cpr", "lwf", "ksd_only", "joint")],
                  (AAA, BY_SEED, AT, MT, AT_TEN, FINE_A_MRE))
EQUAL_WEIGHT = Table("demo", [Row("kamp_rerendered at 0.3", "kamp_rerendered", EQUAL), *(
    less("kamp_rerendered", other, f"the same - {other} ({weight:g})", settings=EQUAL) for other, weight in (
        ("self_training", 0.3), ("ksd_only", 1), ("mse_distillation", 1)))],
                     (TRIPLES, TRIPLES._replace(heading="triples by seed", show="seeds"), AAA, AT))
DETERMINED = Table("demo", [Row(f"{variant}, weight {weight:g}", variant, settings) for weight, settings, variants in (
    (1, MIDWAY, ("ksd_only", "kamp", "kamp_rerendered")),
    (0.3, MIDWAY_EQUAL, ("ksd_only", "kamp", "kamp_rerendered", "self_training"))) for variant in variants],
                   (TRIPLES._replace(heading="triples, %, by seed", show="seeds"),))
WEAK_BASE = Table("demo", [
    Row("ksd_only", "ksd_only", WEAK), Row("kamp_rerendered at 0.3", "kamp_rerendered", WEAK),
    Row("self_training (control)", "self_training", WEAK),
    less("kamp_rerendered", "ksd_only", settings=WEAK),
    less("kamp_rerendered", "ksd_only", "the same, seeds 3 to 5 alone", settings=WEAK, seeds=range(3, 6)),
    less("kamp_rerendered", "self_training", settings=WEAK),
    less("self_training", "ksd_only", settings=WEAK)], (AAA, AT, TRIPLES))
DISTANCE = Table("demo", [Row(variant, variant, LOWER | {"protocol": "figures_upper_lower"}) for variant in (
    "kamp_rerendered", "ksd_only", "self_training", "kamp_distant")], (
        TRIPLES._replace(heading="neck, %"), AAA, AT,
        *(Column(f"AT at {edges}", f"at/hops_{hops}", 100)
          for hops, edges in ((1, "1 edge"), (2, "2"), (3, "3 or more")))))
MISLED = Table("demo", [Row(variant, variant, LOWER) for variant in (
    "kamp_rerendered", "kamp", "kamp_filtered", "ksd_only", "self_training")], [
        Column(f"{name}, {share:.0%} wrong", metric, 100, settings={"misled": share} if share else {})
        for name, metric in (("AAA", "aaa"), ("triples", "triples/pck")) for share in (0, 0.1, 0.3, 0.5)])
SOFTMAX = Table("demo", [
    Row(f"tau {tau:g}{', balanced' if balanced else ''}", "ksd_only", LOWER | {
        name: value for name, value in (("temperature", tau), ("ksd_only", 1.0 if balanced else tau**2)) if value != 1
    } | ({"balance": 1.0} if balanced else {})) for balanced in (False, True) for tau in (1.0, 0.1, 0.05)], [
        Column(f"{name}: {column.heading}", column.metric, 100,
               settings={} if mode == "lines" else {"distillation_mode": mode})
        for column in (AAA, TRIPLES)
        for mode, name in (("lines", "lines"), ("joint", "all cells"), ("marginal", "marginals"))], "ksd_only")
SHARPER = Table("demo", [less("ksd_only", "ksd_only", "tau 0.05 - tau 1", settings=SHARP, minus_settings=LOWER)], (
    AAA, BY_SEED, TRIPLES, TRIPLES._replace(heading="triples by seed", show="seeds")), "ksd_only")
CHOSEN = {"ksd_only": 1.0, "mse_distillation": 1.0, "kamp": 1.0, "kamp_rerendered": 1.0, "self_training": 0.3,
          "lwf": 4.0, "ewc": 3e-3, "online_ewc": 3e-3, "mas": 1e-3, "rw": 1e-3, "afec": 3e-3, "cpr": 3e-3}
WEIGHTS = Table("demo_tuning", [
    *(Row(f"{variant}, {weight:g}", variant, BASELINE) for variant, weight in CHOSEN.items()),
    *(Row(f"{variant}, {weight:g}, chosen without old labels", variant, BASELINE | {variant: weight})
      for variant, weight in (("lwf", 12.0), ("ewc", 1e-2), ("rw", 3e-3)))],
                (AAA, Column("new and agreement, %", "label_free", 100)), "variant and weight")

# Photographs

FACES = Table("faces", [Row(variant, variant, FACES_SHORT) for variant in (
    "finetune", "ewc", "mas", "lwf", "ksd_only", "mse_distillation", "self_training", "kamp", "kamp_rerendered",
    "joint")], OF_FACES)
LOW_SHOT = Table("faces", [Row(variant, variant, FACES_SHORT | {"low_shot": 10}) for variant in (
    "finetune", "ksd_only", "mse_distillation", "kamp_rerendered")], OF_FACES)
SINGLE = Table("faces", [Row(variant, variant, FACES_SHORT | {"protocol": "faces_single"}) for variant in (
    "finetune", "ksd_only", "kamp_rerendered")], (AAA, AT, FINE_A_MRE))
PRETRAINED = Table("faces", [Row(variant, variant, FACES_PRETRAINED) for variant in (
    "finetune", "ksd_only", "mse_distillation", "kamp_rerendered", "lwf", "self_training", "kamp")],
                   (*OF_FACES, TRIPLES))
FACES_KA_NET = Table("faces", [
    Row("bridge of the nose, given the inner corners of the eyes", "kamp_rerendered", metric="step_1/bridge_0"),
    Row("tip of the nose, given the upper lip", "kamp_rerendered", metric="step_2/nostrils_2"),
    Row("lower lip, given the chin", "kamp_rerendered", metric="step_3/outer_lip_9")], [
        Column(f"{network}: {name}, %", f"association/{{}}/{metric}", 100, settings=settings)
        for network, settings in (("small network", FACES_SHORT), ("ImageNet's weights", FACES_PRETRAINED))
        for name, metric in (("KA-Net", "ka_net"), ("teacher", "teacher"))], "old keypoint")
FACES_TODAY = FACES_PRETRAINED | dict.fromkeys(LOWER, 8e-3)
KAMP_ON_FACES = Table("faces", (
    *(Row(variant, variant, FACES_TODAY) for variant in ("ksd_only", "kamp_rerendered")),
    less("kamp_rerendered", "ksd_only", settings=FACES_TODAY)), (
        TRIPLES, TRIPLES_BY_SEED, AAA, BY_SEED, AT, FINE_A_MRE), "faces of other persons, weight 1")
FACES_RATES = Table("faces", [Row(f"{rate:g}", "ksd_only", FACES_PRETRAINED | {"self_training": 1.0} | dict.fromkeys(
    LOWER, rate), seeds=TUNING_SEEDS) for rate in (1e-3, 2e-3, 4e-3, 8e-3)],
                    (TRIPLES, AAA, AT), "ksd_only, tuning seed, rate of all steps")
FROM_IMAGENET = {"network": "mobilenet_v2", "weights": "mobilenet_v2_imagenet"}
LIMBS_OF_ATHLETES = Table("lspet_steps", [
    Row(title, variant, FROM_IMAGENET, seeds=TUNING_SEEDS) for title, variant in (
        ("distillation alone", "ksd_only"), ("self_training, weight 0.3 (control)", "self_training"),
        ("**kamp_rerendered**", "kamp_rerendered"))], (AAA, AT, TRIPLES), "200 people, one tuning seed")
JOINTS_OF_ATHLETES = Table("lspet_steps", [
    Row(part.split("/")[1].replace("_", " "), "kamp_rerendered", FROM_IMAGENET, metric=part, seeds=TUNING_SEEDS)
    for part in ("step_1/right_elbow", "step_1/left_elbow", "step_2/right_knee", "step_2/left_knee")], [
        Column(f"{name} at {within} %", f"association/{{}}/{measure}{metric}", 100)
        for within, measure in ((10, ""), (20, "second/"))
        for name, metric in (("KA-Net", "ka_net"), ("old network", "teacher"))], "old joint, given its neighbours")
GENTLE = {"labelled": 50, "learning_rate": 3e-3, "relative_steps": True, "rotation": 45, "sigma": 2,
          "steps": 600}
NECK_AND_HEAD = Table("neck_and_head", [
    Row("the published network's heatmaps", "combination", {"labelled": 50}, metric="before"),
    Row("combination: nothing is trained", "combination", {"labelled": 50}, metric="after"),
    Row("by_hand: the rules of `predict movenet`, no label", "by_hand", {"labelled": 0}, metric="after"),
    Row("finetune", "finetune", GENTLE, metric="after"),
    Row("mse_distillation, weight 10", "mse_distillation", GENTLE | {"mse_distillation": 10}, metric="after"),
], (Column("neck, %", "{}/neck", 100), Column("head top, %", "{}/head_top", 100), Column("both, %", "{}/new", 100),
    Column("twelve old joints, %", "{}/old", 100), Column("by subset", "{}/old", 100, show="seeds"),
    Column("all 14, %", "{}/all", 100)), "50 people, three subsets")
SPORTS = Table("lspet", [Row(variant, variant, SPORTS_SMALL) for variant in (
    "finetune", "ksd_only", "kamp_rerendered")], (AAA, AT, FINE_A_MRE._replace(heading="A-MRE in boxes")))

FACES, LOW_SHOT, SINGLE, PRETRAINED, FACES_KA_NET, SPORTS = map(
    on_former_split, (FACES, LOW_SHOT, SINGLE, PRETRAINED, FACES_KA_NET, SPORTS))
