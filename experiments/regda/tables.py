"""Tables of RegDA's measured numbers, as `experiments.engine.pages` renders them.

Real images have one seed, and sprites have errors in units of their own, so that the plot shows synthetic people alone.
"""
from experiments.engine.image_sets import TUNING_SEEDS
from experiments.engine.pages import Column, Row, Table, on_former_split

COLOURS = "source_only_augmented"  # the control
PLAIN = {"decoded": "plain_argmax"}  # the same networks, decoded without the rule of positive logits

MSE, LONG = f"{COLOURS}_mse", f"{COLOURS}_mse_long"  # squared errors, and as long as teacher_adaptation takes
SLOWER = {"learning_rate": 4e-3, "teacher_learning_rate": 4e-3}  # the best of four rates for them, on a tuning seed

PCK = Column("target PCK, %", "target/pck", 100)
ERROR = Column("target error per coordinate, px", "target/mae", decimals=2)
SOURCE = Column("source PCK, %", "source/pck", 100)
BY_SEED = Column("by seed", "target/pck", 100, show="seeds")
POINTS = Column("points of PCK", "target/pck", 100)


# Synthetic people

ADABN = Row("AdaBN, random colours (control)", "adabn_augmented")
TRAINED = (
    Row("source only", "source_only"), Row("source only, restyled (control)", "source_only_restyled"),
    Row("source only, random colours (control)", COLOURS),
    Row("the same, squared errors (control)", MSE, SLOWER),
    Row("the same, at the cost of teacher_adaptation (control)", LONG, SLOWER),
    Row("pseudo-labels of that AdaBN (control)", "adabn_augmented_then_labels"),
    Row("mean teacher: whole heatmaps (control)", "mean_teacher"), Row("**RegDA**", "regda"),
    Row("RegDA, then its pseudo-labels", "regda_then_labels"),
    Row("**teacher_adaptation** (UDAPE)", "teacher_adaptation"), Row("oracle (upper bound)", "oracle"),
    Row("oracle, squared errors (upper bound; four seeds)", "oracle_mse"))
ROWS = (*TRAINED[:2], ADABN, *TRAINED[2:])
HEADLINE = Table("demo", [row for row in ROWS if row.variant not in (
    "source_only_restyled", "adabn_augmented_then_labels")], (PCK, ERROR, SOURCE))
DEMO = Table("demo", ROWS, (PCK, BY_SEED, ERROR, SOURCE, Column("images read", "images", decimals=0)))
BEST_STEP = Table("demo", TRAINED, (
    PCK._replace(heading="last step, %"), Column("step that is best on the test images, %", "best_target/target/pck",
                                                 100)))
DIFFERENCES = Table("demo", (
    Row("RegDA - random colours", "regda", minus=COLOURS),
    Row("RegDA by plain arg-max - random colours", "regda", PLAIN, minus=COLOURS, minus_settings={}),
    Row("RegDA - AdaBN with random colours", "regda", minus="adabn_augmented"),
    Row("teacher_adaptation - random colours", "teacher_adaptation", minus=COLOURS),
    *(Row(f"{name} - {words}", variant, minus=minus, minus_settings=settings) for name, variant in (
        ("teacher_adaptation", "teacher_adaptation"), ("mean teacher", "mean_teacher")) for words, minus, settings in (
        ("random colours, squared errors", MSE, SLOWER), ("the same at equal cost", LONG, SLOWER),
        ("oracle, squared errors", "oracle_mse", {}))),
    Row("RegDA - random colours, squared errors, at the cost of teacher_adaptation", "regda", minus=LONG,
        minus_settings=SLOWER),
    Row("squared errors - divergence, random colours", MSE, SLOWER, minus=COLOURS, minus_settings={}),
    Row("teacher_adaptation - mean teacher", "teacher_adaptation", minus="mean_teacher"),
    Row("teacher_adaptation - RegDA", "teacher_adaptation", minus="regda"),
    Row("RegDA by plain arg-max - teacher_adaptation", "regda", PLAIN, minus="teacher_adaptation", minus_settings={}),
    Row("teacher_adaptation - oracle", "teacher_adaptation", minus="oracle"),
    Row("RegDA's pseudo-labels - RegDA", "regda_then_labels", minus="regda"),
    Row("AdaBN's pseudo-labels - AdaBN", "adabn_augmented_then_labels", minus="adabn_augmented"),
    Row("AdaBN's pseudo-labels - random colours", "adabn_augmented_then_labels", minus=COLOURS),
    Row("RegDA's pseudo-labels - AdaBN's", "regda_then_labels", minus="adabn_augmented_then_labels"),
), (POINTS, BY_SEED), "difference")
ON_TUNING_SEED = BY_SEED._replace(heading="tuning seed", seeds=TUNING_SEEDS)
OF_THE_CHECK = (Column("steps", "target/pck", show="steps"),
                Column("runs that kept the start", "kept_start", decimals=0, show="seeds"))
SOURCE_FREE = Table("demo", (
    Row("source only", "source_only"), Row("its start: random colours, squared errors", MSE, SLOWER),
    Row("**source_free**, on the target alone", "source_free", SLOWER),
    Row("teacher_adaptation, which sees the source", "teacher_adaptation")), (
        PCK, BY_SEED, ON_TUNING_SEED, ERROR, SOURCE, *OF_THE_CHECK))
SOURCE_FREE_DIFFERENCES = Table("demo", (
    Row("source_free - source only", "source_free", SLOWER, minus="source_only", minus_settings={}),
    Row("source_free - its start", "source_free", SLOWER, minus=MSE),
    Row("source_free - the labels at the cost of teacher_adaptation", "source_free", SLOWER, minus=LONG),
    Row("source_free - teacher_adaptation", "source_free", SLOWER, minus="teacher_adaptation", minus_settings={}),
), (POINTS, BY_SEED), "difference")
FOREST = Table("demo", (
    Row("RegDA - random colours", "regda", minus=COLOURS),
    Row("RegDA, plain arg-max - random colours", "regda", PLAIN, minus=COLOURS, minus_settings={}),
    Row("teacher_adaptation - random colours", "teacher_adaptation", minus=COLOURS),
    Row("the same, control of equal loss and cost", "teacher_adaptation", minus=LONG, minus_settings=SLOWER),
    Row("mean teacher - random colours", "mean_teacher", minus=COLOURS),
    Row("AdaBN's pseudo-labels - random colours", "adabn_augmented_then_labels", minus=COLOURS),
    Row("RegDA - AdaBN with random colours", "regda", minus="adabn_augmented"),
    Row("RegDA's pseudo-labels - AdaBN's", "regda_then_labels", minus="adabn_augmented_then_labels"),
    Row("teacher_adaptation - mean teacher", "teacher_adaptation", minus="mean_teacher"),
), (POINTS._replace(heading="points of target PCK, synthetic people"),))
RATES = Table("demo", [row._replace(title=title) for title, row in (
    ("source only, random colours", Row("", COLOURS)),
    ("source only, random colours, squared errors", Row("", MSE)), ("oracle, squared errors", Row("", "oracle_mse")),
    ("mean teacher", Row("", "mean_teacher")),
    ("AdaBN, random colours", ADABN), ("RegDA", Row("", "regda")),
    ("RegDA, half the rate in the adaptation", Row("", "regda", {"adaptation_share": 0.5})),
    ("teacher_adaptation", Row("", "teacher_adaptation")), ("oracle", Row("", "oracle")))], [
        Column(f"{rate:g}", "target/pck", 100, show="seeds", seeds=TUNING_SEEDS,
               settings={} if rate == 8e-3 else {"learning_rate": rate, "teacher_learning_rate": rate})
        for rate in (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)], "variant, by Adam's rate")
LABEL_RATES = Table("demo", (
    Row("RegDA", "regda", {"evaluations": 1}), Row("RegDA, then its pseudo-labels", "regda_then_labels",
                                                     {"evaluations": 1})), [
    PCK._replace(heading=f"{rate:g}", seeds=TUNING_SEEDS, settings={} if rate == 8e-3 else {
        "teacher_learning_rate": rate}) for rate in (4e-3, 8e-3, 1.6e-2)], "one tuning seed, by the labels' rate")
SOURCE_RATES = RATES._replace(columns=[column._replace(metric="source/pck") for column in RATES.columns])
SHORT = Table("demo", [row for row in TRAINED if row.variant in ("source_only", COLOURS, "regda", "oracle")], (
    PCK._replace(settings={"steps": 700, "pretraining_steps": 280, "coefficient_steps": 35}),))
TUTORIAL = Table("demo", [row for row in ROWS if row.variant in (
    "source_only", COLOURS, "regda", "teacher_adaptation", "oracle")], (PCK,))


# Sprites

DIRECTIONS = {direction.replace("_", " → "): f"dsprites_small_{direction}" for direction in (
    "colour_noisy", "colour_scream", "noisy_colour", "noisy_scream", "scream_colour", "scream_noisy")}
OF_SPRITES = [Row(name, name) for name in (
    "source_only", "constant_centre", "adabn", "adabn_in_area", "dd", "regda", "oracle")]
SPRITES = Table("", OF_SPRITES, [Column(title, "target/mae", decimals=3, preset=preset)
                                 for title, preset in DIRECTIONS.items()], "error")
SPRITES_PCK = Table("", OF_SPRITES, [Column(title, "target/pck", decimals=2, preset=preset)
                                     for title, preset in DIRECTIONS.items()], "PCK",
                    points=dict.fromkeys(DIRECTIONS.values(), 500))
GAPS = Table("", [Row(title, "regda", preset=preset) for title, preset in DIRECTIONS.items()], (
    Column("RegDA's error, by seed", "target/mae", decimals=3, show="seeds"),
    Column("best control of the seed", "target/mae", decimals=3, show="seeds", variant="best_control"),
    Column("gap closed, of the means", "gap_closed", decimals=2)), "direction")
WEIGHTS = Table("dsprites_small_noisy_scream", (
    Row("source_only", "source_only"), Row("DAN, weight 1", "dan"), Row("DANN, weight 1", "dann"),
    Row("MCD, weight 0.3", "mcd"), Row("DD, weight 0.25", "dd"), Row("RegDA", "regda")), (
        Column("error", "target/mae", decimals=3, seeds=TUNING_SEEDS),
        Column("PCK", "target/pck", decimals=2, seeds=TUNING_SEEDS)),
    "noisy → scream, tuning seed", points={"dsprites_small_noisy_scream": 500})


# Real images

LSPET = on_former_split(Table("figures_lspet", [
    row._replace(settings={"steps": 200, "pretraining_steps": 100, "coefficient_steps": 25})
    for row in (TRAINED[0], Row("AdaBN", "adabn"), Row("RegDA", "regda"), Row("oracle (upper bound)", "oracle"))],
    (PCK, ERROR._replace(decimals=1), SOURCE)))
IMAGENET = {"network": "mobilenet_v2", "weights": "mobilenet_v2_imagenet"}
EVALUATED_ONCE = {**IMAGENET, "evaluations": 1}
FROZEN = {**IMAGENET, "heatmap_size": 64, "frozen_stride": 4}
OPENFIELD = on_former_split(Table("openfield", [Row(title, variant, {**FROZEN, **more}) for title, variant, more in (
    ("source only", "source_only", {}), ("AdaBN", "adabn", {}), ("RegDA", "regda", {}),
    ("RegDA, a fifth of the rate, any logit decoded", "regda", {"adaptation_share": 0.2, "strict_positive": False}),
    ("teacher_adaptation", "teacher_adaptation", {}),
    ("teacher_adaptation, a fifth of the rate", "teacher_adaptation", {"teacher_learning_rate": 2e-4}),
    ("oracle, the target's labels", "oracle", {}))], (PCK, ERROR, SOURCE)))
COARSE = on_former_split(Table("openfield", [Row(title, variant, IMAGENET) for title, variant in (
    ("source only", "source_only"), ("oracle, the target's labels", "oracle"))], (PCK,)))

# Ultrasound of tongues: adults on one machine, children on another

OF_MACHINES = {**IMAGENET, "evaluations": 1, "frozen_stride": 4}
CONTOUR = Column("distance of contours, mm", "target/contour", 10, 2)
VIEWS, RESTYLED = "source_only_views_long", "source_only_restyled_long"
MACHINE_CONTROLS = (
    Row("random colours, squared errors (control)", LONG, OF_MACHINES),
    Row("views of teacher_adaptation, no target image (control)", VIEWS, OF_MACHINES),
    Row("these views in the colours of target images (control)", RESTYLED, OF_MACHINES))
MACHINE_ROWS = (
    Row("source only", "source_only", OF_MACHINES),
    Row("random colours, squared errors (control)", MSE, OF_MACHINES),
    *(row._replace(title=row.title.replace("(control)", "(control, equal cost)")) for row in MACHINE_CONTROLS[1:]),
    Row("AdaBN", "adabn", OF_MACHINES), Row("**RegDA**", "regda", OF_MACHINES),
    Row("mean teacher: whole heatmaps (control)", "mean_teacher", OF_MACHINES),
    Row("**teacher_adaptation** (UDAPE)", "teacher_adaptation", OF_MACHINES),
    Row("oracle, 40 labels, squared errors", "oracle_mse", OF_MACHINES))
PCK_AT_5_MM = PCK._replace(heading="target PCK at 5 mm, %")
MACHINES_TUNING = Table("tongue_machines", [row._replace(seeds=TUNING_SEEDS) for row in MACHINE_ROWS], (
    PCK_AT_5_MM, CONTOUR, SOURCE), "one tuning seed")
LONGER = EVALUATED_ONCE | {"pretraining_steps": 700}
COLOURS_TUNING = Table("lspet_colours", [row._replace(settings=settings) for settings, rows in (
    (EVALUATED_ONCE, (
        Row("source only", "source_only"), Row("random colours, squared errors (control)", MSE),
        Row("views of teacher_adaptation, no target image (control, equal cost)", VIEWS),
        Row("these views in the colours of target images (control, equal cost)", RESTYLED), Row("**RegDA**", "regda"),
        Row("**teacher_adaptation** (UDAPE)", "teacher_adaptation"),
        Row("oracle, 900 labels, squared errors", "oracle_mse"))),
    (LONGER, (
        Row("random colours, squared errors, as long as the last row (control)", LONG),
        Row("views in the colours of target images, as long as the last row (control)", RESTYLED),
        Row("teacher_adaptation after 700 steps of the source", "teacher_adaptation")))) for row in rows], [
            column._replace(seeds=TUNING_SEEDS) for column in (
                PCK, ERROR._replace(decimals=1), SOURCE)], "one tuning seed")
RECOLOURED = Table("lspet_colours", (
    Row("random colours, squared errors (control)", LONG, LONGER),
    Row("views in the colours of target images (control)", RESTYLED, LONGER),
    Row("**teacher_adaptation** (UDAPE)", "teacher_adaptation", LONGER),
    *(Row(f"teacher_adaptation - {title}", "teacher_adaptation", LONGER, minus=other)
      for title, other in (("random colours", LONG), ("its views in the target's colours", RESTYLED)))), (
    PCK, BY_SEED, ERROR._replace(decimals=1), SOURCE), "500 people, controls of equal cost")
MACHINES = Table("tongue_machines", (
    MACHINE_ROWS[0], *MACHINE_CONTROLS, Row("**teacher_adaptation** (UDAPE)", "teacher_adaptation", OF_MACHINES),
    *(Row(f"teacher_adaptation - {title}", "teacher_adaptation", OF_MACHINES, minus=other)
      for title, other in (("random colours", LONG), ("its views", VIEWS), ("views in the target's colours", RESTYLED),
                           ("source only", "source_only")))), (
    PCK_AT_5_MM, BY_SEED, CONTOUR, CONTOUR._replace(heading="by seed", show="seeds"), SOURCE),
    "controls at the cost of teacher_adaptation")
WITHOUT_SOURCE = {**OF_MACHINES, "adapted_rate": 1e-3, "source_free_share": 1.0}
MACHINES_WITHOUT_SOURCE = Table("tongue_machines", (
    MACHINE_ROWS[0], Row("its start: views, no target image", VIEWS, OF_MACHINES),
    Row("**source_free_views**, on the target alone", "source_free_views", WITHOUT_SOURCE),
    Row("teacher_adaptation, which sees the source", "teacher_adaptation", OF_MACHINES),
    *(Row(f"source_free_views - {title}", "source_free_views", WITHOUT_SOURCE, minus=other, minus_settings=OF_MACHINES)
      for title, other in (("source only", "source_only"), ("its start", VIEWS),
                           ("teacher_adaptation", "teacher_adaptation")))), (
    PCK_AT_5_MM, BY_SEED, ON_TUNING_SEED, CONTOUR, SOURCE, *OF_THE_CHECK), "on the target alone")
