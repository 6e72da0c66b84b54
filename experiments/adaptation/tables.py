"""Tables of frozen-core adaptation, from `results.csv`.

Errors are in percent of the distance between the eyes, or of the fly's size. `held_points` counts points with a
backward error below 20 %. A ratio over seeds is a geometric mean with an interval by Student's t. With
`annotation=ten_labels` the rendered faces were those of today without the four labels of the hairline.
"""
from experiments.engine.pages import Column, Row, Table, on_former_split

TUNING = range(100, 101)
MEAN = "mean of the labels"
ADAPTED = Row("**adapted**", "adapted")
SCRATCH, LORA, FINETUNED = Row("scratch", "scratch"), Row("lora", "lora"), Row("finetuned", "finetuned")
RANDOM = Row("random_core (control)", "random_core")
RANDOM_PARTS = Row("random_core_w_and_head_only (control)", "random_core_w_and_head_only")
UNTRAINED = Row("untrained_head (control, collapsed)", "untrained_head")
BACKWARD, FORWARD = Column("backward", "backward/all"), Column("forward, all", "forward/all")
FORWARD_10, CONSISTENCY = Column("forward, 10 labels", "forward/10"), Column("consistency, px of 64", "consistency")
VARYING, SPREAD = Column("varying points", "varying_points", decimals=0), Column("spread, px", "point_spread")
CORE = Column("core PCK, %", "core/pck", 100)


def by_seed(*columns: Column) -> list[Column]:
    """Returns columns that show every seed."""
    return [column._replace(show="seeds") for column in columns]


def under(settings: dict, *rows: Row) -> list[Row]:
    """Returns rows with more settings."""
    return [row._replace(settings={**row.settings, **settings}) for row in rows]


# Rendered faces, 2,000 steps

VARIANTS = (ADAPTED, RANDOM, RANDOM_PARTS, SCRATCH, LORA,
            FINETUNED._replace(title="finetuned, collapsed on seeds 0 and 1"), Row(MEAN, MEAN))
HEADLINE = Table("demo", VARIANTS, by_seed(BACKWARD, FORWARD, FORWARD_10, VARYING), "variant, seeds 0 / 1 / 2")
TUTORIAL = Table("demo", (ADAPTED, RANDOM, SCRATCH), by_seed(BACKWARD, VARYING), "variant, seeds 0 / 1 / 2")
DEMO = Table("demo", VARIANTS, by_seed(
    BACKWARD, FORWARD, FORWARD_10, CONSISTENCY._replace(decimals=2), VARYING, SPREAD, CORE), "variant, seeds 0 / 1 / 2")
RATIOS = Table(
    "demo", [Row(f"{other}, {title}", f"adapted / {other}", metric=metric)
             for other in ("random_core", "random_core_w_and_head_only", "scratch")
             for title, metric in (("backward", "backward/all"), ("forward, 10 labels", "forward/10"))],
    (Column("ratio of means", "{}_ratio_of_means", decimals=2), Column("mean ratio over seeds", "{}_ratio", decimals=2),
     Column("seeds", "{}_ratio", decimals=2, show="seeds")), "adapted over")
DECAY = Table(
    "demo", [Row("**as released**, width 64", "adapted", seeds=TUNING), *(
        Row(f"to the start, {title}", "adapted", {"decay_to": "start"} | more, seeds=TUNING) for title, more in (
            ("64", {}), ("32", {"width": 32}),
            ("32, features weighted thirty times", {"width": 32, "feature_weight": 30.0}))),
        Row(MEAN, MEAN, seeds=TUNING)],
    (BACKWARD, FORWARD, FORWARD_10, CONSISTENCY._replace(decimals=2)), "weight decay, width")
FOREST = Table("demo", [
    Row(f"{one} vs {other}, {title}", one, minus=other, metric=metric) for one, other, title, metric in (
        ("adapted", "random_core", "backward", "backward/all"), ("adapted", "random_core", "forward", "forward/all"),
        ("adapted", "random_core", "10 labels", "forward/10"), ("adapted", "scratch", "backward", "backward/all"),
        ("adapted", "scratch", "forward", "forward/all"), ("adapted", "scratch", "10 labels", "forward/10"))
] + [Row("adapted vs mean of labels, forward", "adapted", minus=MEAN, metric="forward/all"),
     Row("adapted vs mean of labels, 10 labels", "adapted", minus=MEAN, metric="forward/10"),
     Row("lora vs random_core, backward", "lora", minus="random_core", metric="backward/all"),
     Row("lora vs random_core, forward", "lora", minus="random_core", metric="forward/all")],
    (Column("error saved, % of the distance between the eyes (rendered faces)", "backward/all", -1.0),), "one vs other")
MOBILENET = {"network": "mobilenet_v2", "steps": 500}
IN_MOBILENET = Table("demo", [*under(MOBILENET, ADAPTED, RANDOM, SCRATCH), *(
    Row(f"adapted - {other}", "adapted", MOBILENET, minus=other) for other in ("random_core", "scratch"))], (
        BACKWARD, *by_seed(BACKWARD._replace(heading="by seed")), FORWARD, FORWARD_10, *by_seed(SPREAD), Column(
            "collapsed, %", "void", 100, 0), CORE), "MobileNetV2")

# Rendered faces without labels of the hairline

FORMER = {"annotation": "ten_labels"}
SHORT = FORMER | {"steps": 500}
PATCHES = SHORT | {"core_background": "patches"}
RATE = Table("demo", under(FORMER | {"learning_rate": 3e-4}, FINETUNED, SCRATCH),
             (BACKWARD, FORWARD, FORWARD_10, CONSISTENCY._replace(decimals=2)))
OTHERS = (FINETUNED, LORA, SCRATCH, RANDOM, UNTRAINED)
QUARTER = Table("demo", under(SHORT, ADAPTED, *OTHERS), (
    BACKWARD, FORWARD, FORWARD_10, CONSISTENCY._replace(decimals=2), VARYING, *by_seed(SPREAD)))
QUARTER_RATIOS = Table("demo", [Row(other, f"adapted / {other}", SHORT) for other in (
    "finetuned", "lora", "scratch", "random_core")], [
        column for title, metric in (("backward", "backward/all"), ("forward, 10 labels", "forward/10"),
                                     ("consistency", "consistency"))
        for column in (Column(title, f"{metric}_ratio_of_means", decimals=2),
                       Column("by seed", f"{metric}_ratio", decimals=2, show="seeds"))], "adapted over")
CORES = Table("demo", [
    *under(PATCHES, ADAPTED, FINETUNED, LORA), *under(SHORT, SCRATCH, RANDOM),
    *under(PATCHES, UNTRAINED._replace(title="untrained_head (control)"))], (
    *by_seed(BACKWARD), FORWARD, FORWARD_10, CONSISTENCY._replace(decimals=2), *by_seed(CORE._replace(decimals=0))))
CORES_RATIOS = Table("demo", [Row(other, f"adapted / {other}", PATCHES) for other in (
    "finetuned", "lora", "scratch", "random_core", "untrained_head")], QUARTER_RATIOS.columns[:2], "adapted over")
STUDIED = Table("demo", [
    Row(title, "adapted", SHORT | settings) for title, settings in (
        ("core after epoch 1", {"core_epoch": 1}), ("epoch 2", {"core_epoch": 2}), ("epoch 5", {"core_epoch": 5}),
        ("10 images", {"target_images": 10}), ("100 images", {"target_images": 100}),
        ("1,000 images", {"target_images": 1000}), ("**epoch 10, 1,500 images**", {}))],
    by_seed(CORE, BACKWARD, FORWARD, FORWARD_10, CONSISTENCY._replace(decimals=2)), "adapted, seed 0")
LABELS = Table("demo", [
    Row(f"{direction}, {name}", name, SHORT, metric=direction) for direction in ("forward", "backward")
    for name in ("adapted", "scratch")],
    [Column(f"{count:,}", f"{{}}/{count}") for count in (10, 50, 100, 500, 1000)] + [Column("1,500", "{}/all")],
    "error by labelled images")

# Real faces

CONTRAST, LIMITED = {"appearance": "local_contrast"}, {"steps": 500}
ERRORS = [Column(f"{direction}, {count}", f"{direction}/{count}")
          for direction in ("backward", "forward") for count in ("10", "50", "all")]
SIGNS = (VARYING._replace(heading="live"), Column("spread, px", "point_spread"), Column("median", "median_spread"),
         Column("held", "held_points", decimals=0), CORE._replace(decimals=0))
REAL = Table("lspet_faces", under(
    CONTRAST, ADAPTED, FINETUNED._replace(title="finetuned (collapsed)"), SCRATCH,
    Row("mean of the labels; distances of landmarks", MEAN)),
    (*ERRORS, CONSISTENCY._replace(decimals=2), *SIGNS))
REAL_FEATURES = {"perceptual": "mobilenet_v2_imagenet.safetensors", "steps": 1000, "core_epoch_steps": 300}
REAL_NETWORK = Table("lspet_faces", (
    Row("**weight 1**, seed 0", "adapted", REAL_FEATURES),
    Row("weight 1, tuning seed", "adapted", REAL_FEATURES, seeds=TUNING),
    Row("weight 0.001, tuning seed", "adapted", REAL_FEATURES | {"feature_weight": 0.001}, seeds=TUNING),
    Row(MEAN, MEAN, REAL_FEATURES)), (
    FORWARD, FORWARD_10, *by_seed(*(Column(f"ridge {ridge:g}", "forward/10", settings={"penalty": ridge})
                                    for ridge in (0.001, 0.01, 0.1))), BACKWARD, *SIGNS[1:3], CORE), "features, seed")
REAL_SHORT = Table("lspet_faces", [
    Row(f"{'local contrast' if look else 'colour'}, {core}: {name}", name, LIMITED | look, preset)
    for look in ({}, CONTRAST) for core, preset, names in (
        ("synthetic people", "figures_faces", ("adapted", "finetuned", "lora", "untrained_head")),
        ("LSP Extended", "lspet_faces", ("adapted", "finetuned", "lora", "untrained_head")),
        ("no core", "lspet_faces", ("scratch", "random_core"))) for name in names],
    (*ERRORS, CONSISTENCY, *SIGNS), "images, core: variant, 500 steps")

OF_PEOPLE = {"weights": "movenet_lightning"}
LONGER = OF_PEOPLE | {"steps": 1000}
MEANS = (Column("the mean's, all", "mean_landmarks/all"), Column("the mean's, 10 labels", "mean_landmarks/10"))
CORES_ON_FACES = Table("faces_cores", [Row(title, "adapted", settings, seeds=TUNING) for title, settings in (
    ("500 steps, compared by ImageNet's features", OF_PEOPLE | {"perceptual": "mobilenet_v2_imagenet"}),
    ("1,000 steps, by random features", LONGER), ("the same, decay to the start", LONGER | {"decay_to": "start"}),
    ("the same, 2,000 steps, tighter crops", OF_PEOPLE | {
        "decay_to": "start", "steps": 2000, "target_tightness": 25, "test_tightness": 10}))], (
    BACKWARD, FORWARD, FORWARD_10, *MEANS, CONSISTENCY, *SIGNS[:3]), "tuning seed, persons for tuning")

# Flies

OF_IMAGENET = {"weights": "mobilenet_v2_imagenet"}
LEARNT_HERE = {"core": "train", "core_crop_smallest": 100, "core_epochs": 10, "core_pck_over": "box",
               "core_pck_threshold": 0.2, "core_test": "test", "core_transform": "person_crop",
               "core_unused_keypoints": "pelvis,thorax", "normalisation": "symmetric", "padding": "tensorflow"}
CORE_OF = {"human pose": ("adapted", OF_PEOPLE), "ImageNet": ("adapted", OF_IMAGENET),
           "human pose, learnt here from random weights": ("adapted", LEARNT_HERE),
           "random kernels": ("random_core", OF_IMAGENET)}
FLIES_CORES = Table("flies_cores", (
    *(Row(title + (" (control)" if variant == "random_core" else ""), variant, settings)
      for title, (variant, settings) in CORE_OF.items()),
    *(Row(f"{one} - {other}", CORE_OF[one][0], CORE_OF[one][1], minus=CORE_OF[other][0],
          minus_settings=CORE_OF[other][1])
      for one, other in (("human pose", "random kernels"), ("ImageNet", "random kernels"), ("human pose", "ImageNet"),
                         ("human pose, learnt here from random weights", "random kernels")))), (
    FORWARD, *by_seed(FORWARD._replace(heading="by seed")), *(
        Column(f"forward, {count} labels", f"forward/{count}") for count in (50, 10)), BACKWARD, CONSISTENCY, SIGNS[1],
    CORE), "core")
FLIES_GATE = Table("flies_cores", (
    Row("test frames, five seeds", "adapted", OF_PEOPLE),
    Row("calmer frames, tuning seed", "adapted", {
        **LONGER, "decay_to": "start", "fit": "first", "lengths": "object", "shown": 0.9, "target": "first",
        "target_side": 64, "target_transform": "letterbox", "test": "second", "test_transform": "letterbox"},
        "faces_cores", seeds=TUNING)), (FORWARD, FORWARD_10, *MEANS), "core of human pose")

ON_TONGUES = OF_PEOPLE | {"fit": "train_micro", "target": "train_micro", "test": "tune_micro"}
TONGUE_GATE = Table("flies_cores", [Row(title, "adapted", settings, seeds=TUNING) for title, settings in (
    ("all machines, whole frames, 1,000 steps", OF_PEOPLE | {"fit": "train", "target": "train", "test": "tune"}),
    ("the adults' machine, 500 steps", ON_TONGUES | {"steps": 500}),
    ("the adults' machine, 1,000 steps", ON_TONGUES),
    ("the adults' machine, cropped to the labelled tongue, 500 steps", ON_TONGUES | {
        "shown": 0.83, "steps": 500, "target_side": 80, "target_tightness": 40, "target_transform": "landmark_crop",
        "test_tightness": 25, "test_transform": "landmark_crop"}))], (
    BACKWARD, FORWARD, FORWARD_10, *MEANS, CONSISTENCY, *SIGNS[:3]), "core of human pose, tuning seed")

REAL, REAL_NETWORK, REAL_SHORT = map(on_former_split, (REAL, REAL_NETWORK, REAL_SHORT))
