"""Tables of the semi-supervised results: what every page about them shows.

Seeds from 100 chose settings. On the former split seed 10 did, and has the setting `first_seed` of its command, so that
no mean over seeds has it.
"""
from collections.abc import Mapping
from typing import Any

from experiments.engine.image_sets import TUNING_SEEDS
from experiments.engine.pages import FORMER_POINTS, FORMER_SPLIT, Column, Row, Table, on_former_split

CONTROL = "supervised_warped"
PCK = Column("PCK, %", "test/pck", 100)
PCK_BY_SEED = PCK._replace(heading="PCK by seed, %", show="seeds")
PCK_LESS = PCK._replace(heading=f"PCK less {CONTROL}, points", minus=CONTROL)
ERROR = Column("mean error, %", "test/nme", 100)
ERROR_BY_SEED = ERROR._replace(heading="mean error by seed, %", show="seeds")
ERROR_LESS = ERROR._replace(heading=f"less {CONTROL}, points", minus=CONTROL)
EQUIVARIANCE = Column("equivariance error, px", "test/equivariance_px", decimals=2)
PEAK = Column("mean peak of heatmaps", "test/mean_peak", decimals=2)
SURPRISING = Column("on surprising frames, %", "test/surprising/nme", 100, 2)
TITLES = {CONTROL: f"{CONTROL} (control)", "ours": "**ours** (the paper's method)",
          "easy_hard": "easy_hard (Xie et al. 2021)", "easy_hard_twice": "easy_hard, twice the steps (control)",
          "supervised_warped_cutout": "supervised_warped_cutout (control)", "all_labels": "all_labels (upper bound)"}


# Weights of the paper's terms before they followed the maps: as multiples of the labels' on these maps, with ten times
# the equivariance, and an invariance of raw features.
FORMERLY = {"balanced": False, "equivariance": 1e3, "invariance": 1.0, "one_scale": False, "representations": "raw"}
OF_THE_PAPER = ("ours", "no_sc", "no_te", "no_ti", "sc_only", "ti_only", "te_labelled_only", "no_ground_truth_in_te",
                "no_ground_truth")


def rows(*variants: str) -> tuple[Row, ...]:
    """Returns a row for each variant, titled by its name and its part in the comparison."""
    return tuple(formerly(Row(TITLES.get(name, name), name)) for name in variants)


def formerly(row: Row) -> Row:
    """Returns a row of the paper's terms with their former weights, which its control does not have."""
    if row.variant not in OF_THE_PAPER:
        return row
    minus = row.settings if row.minus_settings is None else row.minus_settings
    return row._replace(title=f"{row.title}, former weights", settings={**FORMERLY, **row.settings},
                        minus_settings=minus)


def at(column: Column, labels: str, **settings: Any) -> Column:
    """Returns a column for some labelled images."""
    return column._replace(heading=f"{labels}: {column.heading}", settings={**column.settings, **settings})


# Synthetic people

COST = Row(f"{CONTROL}, at the cost of easy_hard (control)", CONTROL, {"steps": 936}, minus_settings={})
VARIANTS = rows("supervised", "mean_teacher", "pl", "ours", CONTROL, "supervised_warped_cutout", "mean_teacher_warped",
                "pl_warped", "easy_hard", "easy_hard_twice", "pl_easy_hard", "all_labels")
OURS = Row(TITLES["ours"], "ours")
HEADLINE = Table("demo", [*rows("supervised", CONTROL), COST, OURS, *rows(
    "ours", "pl_warped", "easy_hard", "easy_hard_twice", "pl_easy_hard", "all_labels")], (PCK, PCK_LESS))
DEMO = Table("demo", [*VARIANTS[:3], OURS, *VARIANTS[3:], COST], (
    PCK, PCK_BY_SEED, PCK_LESS, Column("steps", "test/pck", show="steps")))
DEMO_ERRORS = Table("demo", VARIANTS, (ERROR._replace(decimals=2), EQUIVARIANCE))
TUTORIAL = Table("demo", [*rows("supervised", CONTROL), OURS, *rows("pl_warped", "easy_hard", "pl_easy_hard")],
                 (PCK, PCK_LESS))
AT_COST = f"{CONTROL} steps=936"  # differences of which only mean and interval were kept
DEMO_PAIRS = Table("demo", (
    Row("easy_hard - pl_warped", "easy_hard", minus="pl_warped"),
    *(Row(f"{name} - {CONTROL} at the cost of easy_hard", name, minus=AT_COST)
      for name in ("easy_hard", "pl_warped", "pl_easy_hard")),
    *(Row(f"pl_easy_hard - {name}", "pl_easy_hard", minus=name)
      for name in ("easy_hard", "pl_warped", "easy_hard_twice")),
), (PCK._replace(heading="PCK, points"),), "difference")

# Explanations of what pseudo-labels and mean teachers gain, run beside the rows that they explain

AVERAGED, TWICE, TWICE_AVERAGED = (f"{CONTROL}_{kind}" for kind in ("averaged", "twice", "twice_averaged"))
WITH_CONTROLS = {"beside": "controls"}
CONTROLS = Table("demo", [*(Row(name, name, WITH_CONTROLS) for name in (
    CONTROL, AVERAGED, TWICE, TWICE_AVERAGED, "pl_warped", "pl_warped_averaged", "mean_teacher_warped",
    "mean_teacher_ramped")), *(Row(f"{one} - {other}", one, WITH_CONTROLS, minus=other) for one, other in (
        (AVERAGED, CONTROL), ("pl_warped", TWICE), ("pl_warped", AVERAGED), ("pl_warped_averaged", AVERAGED),
        ("pl_warped_averaged", TWICE_AVERAGED), ("mean_teacher_ramped", CONTROL),
        ("mean_teacher_ramped", "mean_teacher_warped")))],
    (PCK, PCK_BY_SEED, ERROR._replace(decimals=2), EQUIVARIANCE))


def rate(learning_rate: float) -> Column:
    """Returns a column of the tuning seed at a learning rate; the preset's is 1.6e-2."""
    rates = {"learning_rate": learning_rate, "warm_start_learning_rate": learning_rate}
    return Column(f"{learning_rate:g}", "test/pck", 100,
                  seeds=TUNING_SEEDS, settings={} if learning_rate == 1.6e-2 else rates)


TUNING = Table("demo", (
    *(formerly(Row(name, name)) for name in ("supervised", CONTROL, "ours", "pl_warped", "easy_hard",
                                             "supervised_warped_cutout", "all_labels")),
    *(Row(f"mean_teacher_warped, weight {weight}", "mean_teacher_warped", settings) for weight, settings in (
        ("30", {}), ("100", {"consistency": 100}), ("1,000", {"consistency": 1000}))),
    *(formerly(Row(f"ours, equivariance {weight:,}", "ours", {"equivariance": weight})) for weight in (100, 10_000)),
    Row("easy_hard, weight 0.3", "easy_hard", {"hard_weight": 0.3}),
), tuple(map(rate, (4e-3, 8e-3, 1.6e-2, 3.2e-2))), "variant, PCK in % at a rate of")

READING = Table("demo", [Row(f"{words}, weight {weight:,}", "ours", {"representations": kind, "invariance": weight})
                         for kind, words in (("unit", "of length 1"), ("raw", "as they are"))
                         for weight in (10, 100, 1_000)], [
    column._replace(seeds=TUNING_SEEDS) for column in (
        PCK, EQUIVARIANCE, Column("semantic consistency over ln K", "test/sc_over_ln_k", decimals=3))],
    "representations in the invariance")

SIZES = (("16", {}), ("32", {"heatmap_size": 32}), ("64", {"heatmap_size": 64, "image_size": 128}))
CELLS_OF_MAPS = Table("demo", [Row(f"{name}, {cells} cells", variant, settings) for cells, settings in SIZES
                               for variant, name in ((CONTROL, CONTROL), ("ours", TITLES["ours"]))], (
    PCK, PCK_BY_SEED, PCK_LESS, EQUIVARIANCE,
    Column("semantic consistency over ln K", "test/sc_over_ln_k", decimals=3)), "variant, cells of a map's side")

# Where an earlier rate and the step that is best on validation images were used, and a mean teacher of weight 1,000.
VALIDATION = {"selection": "validation"}
EARLIER = {"learning_rate": 2e-3, "warm_start_learning_rate": 3e-3, **VALIDATION}


def heavy(row: Row) -> Row:
    """Returns a row, that of a mean teacher with a weight of 1,000, which its control does not have."""
    return row if "mean_teacher" not in row.variant else row._replace(
        title=f"{row.title}, weight 1,000", settings={"consistency": 1000}, minus_settings={})


SMALL = [heavy(row) for row in rows("supervised", "mean_teacher", "pl", "ours", CONTROL, "mean_teacher_warped",
                                    "pl_warped", "all_labels")]
AUGMENTED = Table("demo", SMALL, [column._replace(settings={"augmentation": "official", **EARLIER})
                                  for column in (PCK, EQUIVARIANCE)])


def of_terms(heading: str, preset: str, column: Column, settings: Mapping[str, Any]) -> Column:
    """Returns a column of the terms' table, empty where a variant was not run."""
    return column._replace(heading=heading, show="seeds", preset=preset, settings=settings)


TERMS = Table("demo", [formerly(Row(name, name)) for name in (
    "ours", "no_sc", "no_te", "no_ti", "sc_only", "ti_only", "te_labelled_only", "no_ground_truth_in_te",
    "no_ground_truth", "elt", "elt_forward", "elt_coordinates", "gen")], (
    of_terms("people: PCK, %", "demo", PCK, EARLIER),
    of_terms("people: equivariance error, px", "demo", EQUIVARIANCE, EARLIER),
    of_terms("people: SC / ln K", "demo", Column("", "test/sc_over_ln_k", decimals=2), EARLIER),
    *(of_terms(f"{heading}, former split", preset, column, VALIDATION | FORMER_SPLIT) for heading, preset, column in (
        ("faces: mean error, %", "faces", ERROR), ("faces: equivariance error, px", "faces", EQUIVARIANCE),
        ("mouse: PCK, %", "openfield", PCK)))), points=FORMER_POINTS)

# Videos of synthetic people

TAUGHT = (CONTROL, "projected", "pl_warped", "video_terms", "pl_video_terms")
VIDEO_COLUMNS = (ERROR._replace(decimals=2), ERROR_BY_SEED, SURPRISING, PCK, EQUIVARIANCE)
HARD = {"difficulty": 1}
VIDEOS = Table("videos", rows("supervised", *TAUGHT), VIDEO_COLUMNS)
VIDEOS_HARD = Table("videos", rows(*TAUGHT), [column._replace(settings=HARD) for column in VIDEO_COLUMNS])
VIDEO_PAIRS = Table("videos", [Row(f"{one} - {other}", one, minus=other) for one, other in (
    ("video_terms", CONTROL), ("video_terms", "projected"), ("projected", CONTROL), ("video_terms", "pl_warped"),
    ("pl_video_terms", "pl_warped"), ("pl_video_terms", "video_terms"), ("pl_warped", CONTROL))],
    [column._replace(heading=f"{where}: {frames}", decimals=2, settings=settings)
     for where, settings in (("preset", {}), ("more clutter", HARD))
     for column, frames in ((ERROR, "all frames"), (SURPRISING, "surprising frames"))],
    "difference in mean error, points")
VIDEO_WEIGHTS = Table("videos", [Row(CONTROL, CONTROL), *(
    Row(f"video_terms, exponents {temporal:g} and {pose:g}", "video_terms",
        {} if temporal == 13 else {"temporal_exponent": temporal, "pose_exponent": pose})
    for temporal, pose in ((9, 8.7), (11, 10.7), (13, 12.7), (15, 14.7)))],
    [column._replace(seeds=TUNING_SEEDS, decimals=1) for column in (ERROR, SURPRISING)])

# Real images, small U-net from random weights

MOUSE = Table("openfield", SMALL, (
    *(at(column, "10 labels", **VALIDATION) for column in (PCK, PCK_BY_SEED, PCK_LESS, EQUIVARIANCE)),
    at(PCK_BY_SEED, "5 labels", labelled=5, **VALIDATION), at(PCK_BY_SEED, "20 labels", labelled=20, **VALIDATION)))
LABELS = (("9 labels", {"labelled": 0.05, **VALIDATION}), ("19 labels", VALIDATION),
          ("38 labels", {"labelled": 0.2, **VALIDATION}))
FACES = Table("faces", SMALL, [at(ERROR_BY_SEED, labels, **settings) for labels, settings in LABELS])
FACES_LESS = Table("faces", [row for row in SMALL if row.variant not in (CONTROL, "all_labels")], [
    at(ERROR_LESS, labels, **settings) for labels, settings in LABELS])
WITH_OTHERS = ("supervised", "mean_teacher", "ours", CONTROL)
FACES_OTHERS = Table("faces", [row for row in SMALL if row.variant in WITH_OTHERS], [
    at(column, labels, **settings) for labels, settings in LABELS[::2] for column in (PCK, EQUIVARIANCE)])

# Real images, MobileNetV2 with ImageNet's weights

RANDOM = {"network": "mobilenet_v2"}
PRETRAINED = {"weights": "mobilenet_v2_imagenet", **RANDOM}
FINE = {"learning_rate": 1e-3, "warm_start_learning_rate": 1e-3, **PRETRAINED}
FINER = {"heatmap_size": 64, **FINE}
NETWORKS = Table("openfield", (
    Row("MobileNetV2, maps of 64 cells, last step", "supervised", FINER),
    Row("MobileNetV2, 32 cells", "supervised", {**FINE, **VALIDATION}),
    Row("the same, the small U-net's rates", "supervised", {**PRETRAINED, **VALIDATION}),
    Row("small U-net, 32 cells, last step", "supervised"),
), (PCK, PCK_BY_SEED, ERROR), "network")
ARCHITECTURE = Table("openfield", [Row(title, "supervised", {**VALIDATION, **settings}) for title, settings in (
    ("MobileNetV2, ImageNet's weights", PRETRAINED), ("MobileNetV2, random weights", RANDOM),
    ("small U-net, random weights", {}))], (PCK_BY_SEED,), "network, 32 cells, the small U-net's rates")
CELLS = Table("openfield", (
    Row("MobileNetV2", "supervised", FINE), Row("MobileNetV2, the small U-net's rates", "supervised", PRETRAINED),
    Row("small U-net", "supervised")), [
    PCK._replace(heading=heading, settings={"first_seed": 10, **settings}) for heading, settings in (
        ("64 cells, last step", {"heatmap_size": 64}), ("32 cells, last step", {}),
        ("32 cells, best validation step", VALIDATION))], "network, PCK in %")

FROZEN = {"frozen_stride": 4}
SIZED = {"first_seed": 10, "image_size": 128, **FINER}
FROZEN_FACES = Table("faces", (
    *rows("supervised", CONTROL, "ours"), Row("supervised, first layers frozen", "supervised", FROZEN),
    Row("supervised, decoder of width 32", "supervised", {"decoder_width": 32})),
    [column._replace(settings=SIZED) for column in (ERROR, PCK, EQUIVARIANCE)])
NARROW = {"first_seed": 10, "decoder_width": 32, **FINER}
FROZEN_MOUSE = Table("openfield", (
    Row("supervised, decoder of width 32", "supervised", NARROW),
    Row("the same, first layers frozen", "supervised", {**NARROW, **FROZEN})), (PCK,))

ON_MOUSE = {"warm_start_steps": 190, **FROZEN, **FINER}
ON_FACES = {"image_size": 128, "steps": 240, "warm_start_steps": 160, **FROZEN, **FINER}
COMPARED = rows("supervised", CONTROL, "pl", "pl_warped", "mean_teacher_warped", "ours", "easy_hard")
BACKBONE_MOUSE = Table("openfield", COMPARED, [
    at(column, labels, **settings) for labels, settings in (("5 labels", {"labelled": 5, **ON_MOUSE}),
                                                            ("10 labels", ON_MOUSE))
    for column in (PCK, PCK_BY_SEED, PCK_LESS, EQUIVARIANCE)])
BACKBONE_FACES = Table("faces", [row for row in COMPARED if row.variant != "pl"], [
    at(column, labels, **settings) for labels, settings in (("9 labels", {"labelled": 0.05, **ON_FACES}),
                                                            ("19 labels", ON_FACES))
    for column in (ERROR, ERROR_BY_SEED, ERROR_LESS, EQUIVARIANCE)])
ON_PEOPLE = {"augmentation": "strong", "batch_size": 16, "decoder": "dark", "evaluations": 1, "grid": "half_pixel",
             "image_size": 128, "labelled": 50, "schedule": "cosine", "selection": "last", "sigma": 1,
             "targets": "sub_pixel", "warm_start_steps": 190, **FROZEN, **FINE, "heatmap_size": 32}
PEOPLE = {**ON_PEOPLE, "steps": 300}
ON_MOUSE = {"frozen_stride": 4, "heatmap_size": 64, "network": "mobilenet_v2", "warm_start_steps": 190}
MOUSE_CORES = Table("openfield", (
    *(Row(title, CONTROL, {**ON_MOUSE, "weights": weights}) for title, weights in (
        ("ImageNet's weights", "mobilenet_v2_imagenet"), ("weights of a network of human pose", "movenet_lightning"))),
    Row("human pose - ImageNet", CONTROL, {**ON_MOUSE, "weights": "movenet_lightning"}, minus=CONTROL,
        minus_settings={**ON_MOUSE, "weights": "mobilenet_v2_imagenet"})), (
            PCK, PCK_BY_SEED, ERROR), "mouse, 10 labels, three subsets")
LEFT = Column("error left on the labelled images' heatmaps, % of empty maps", "labelled/left_to_learn", 100, 0)
FIFTY_ATHLETES = Table("lspet", [*(Row(name, name, PEOPLE) for name in (
    CONTROL, AVERAGED, TWICE, TWICE_AVERAGED, "pl_warped", "pl_warped_averaged", "pl_warped_frozen",
    "mean_teacher_ramped", "mean_teacher_frozen")), *(
        Row(f"{one} - {other}", one, PEOPLE, minus=other) for one, other in (
            (AVERAGED, CONTROL), ("pl_warped", CONTROL), ("pl_warped", TWICE), ("pl_warped", AVERAGED),
            ("pl_warped_averaged", AVERAGED), ("pl_warped_averaged", TWICE_AVERAGED), ("pl_warped_frozen", "pl_warped"),
            ("mean_teacher_ramped", CONTROL), ("mean_teacher_frozen", "mean_teacher_ramped")))],
    (PCK, PCK_BY_SEED, ERROR, EQUIVARIANCE._replace(decimals=1), LEFT), "50 athletes")
MORE_PEOPLE = {**PEOPLE, "labelled": 200}
ATHLETES = Table("lspet", (
    *(Row(name, name, MORE_PEOPLE) for name in (
        "supervised", "sc_only", "supervised_warped", "ours", "pl_warped", "supervised_warped_twice")),
    Row("sc_only - supervised", "sc_only", MORE_PEOPLE, minus="supervised"),
    Row("supervised_warped - supervised", "supervised_warped", MORE_PEOPLE, minus="supervised"),
    Row("ours - supervised_warped", "ours", MORE_PEOPLE, minus="supervised_warped"),
    Row("pl_warped - supervised_warped_twice", "pl_warped", MORE_PEOPLE, minus="supervised_warped_twice")), (
        PCK, PCK_BY_SEED, ERROR, EQUIVARIANCE._replace(decimals=1),
        Column("semantic consistency over ln K", "test/sc_over_ln_k", decimals=2), PEAK), "200 athletes")
POSE = {"weights": "movenet_lightning"}
WHOLE = {**{name: value for name, value in PEOPLE.items() if name != "frozen_stride"}, **POSE, "network": "movenet",
         "sigmoid": True, "backbone_statistics": "frozen", "image_size": 192, "heatmap_size": 48, "sigma": 1.5}
CORES = Table("lspet", (
    Row("labels alone, ImageNet's weights", "supervised", PEOPLE),
    Row("labels alone, weights of a network of human pose", "supervised", {**PEOPLE, **POSE}),
    *(Row(f"its pyramid and heatmaps trained, too, rate {rate:g}", "supervised", {
        **WHOLE, "learning_rate": rate, "warm_start_learning_rate": rate}) for rate in (3e-4, 1e-3))), [
            column._replace(seeds=TUNING_SEEDS) for column in (PCK, ERROR, EQUIVARIANCE._replace(decimals=1))],
    "core, one tuning seed")
SHORT = {**{name: value for name, value in WHOLE.items() if name != "warm_start_learning_rate"}, "batch_size": 8,
         "frozen_stride": 16, "heatmap_size": 32, "image_size": 128, "learning_rate": 2e-3, "sigma": 1, "steps": 100,
         "warm_start_steps": 0}
RELATIVE = {**SHORT, "relative_steps": True}
STEPS = Table("lspet", (
    Row("Adam's steps, rate 0.0003, focal loss", "supervised", {
        **SHORT, "label_loss": "focal", "learning_rate": 3e-4}),
    Row("relative steps, rate 0.002, focal loss", "supervised", {**RELATIVE, "label_loss": "focal"}),
    Row("relative steps, rate 0.002, squared errors", "supervised", RELATIVE),
    Row("the same, rate 0.004, 200 steps", "supervised", {**RELATIVE, "learning_rate": 4e-3, "steps": 200})), [
        column._replace(seeds=TUNING_SEEDS) for column in (PCK, ERROR, PEAK)], "100 steps of 8 images, one tuning seed")
AT_192 = {**SHORT, "batch_size": 16, "heatmap_size": 48, "image_size": 192, "relative_steps": True, "sigma": 1.5,
          "steps": 300}
TRUNK_AT_192 = {name: value for name, value in AT_192.items() if name not in (
    "backbone_statistics", "relative_steps", "sigmoid")} | {
        "network": "mobilenet_v2", "frozen_stride": 8, "learning_rate": 1e-3, "sigma": 2, "rotation": 45, "steps": 1000}
AS_PUBLISHED = {"heatmap_size": 48, "image_size": 192, "labelled": 50}
TURNED = (  # the first at one size, and with the square of a view's mean score in place of its cube
    Row("untrained, where 24 turned and mirrored views agree", "zero_shot_turned", {**AS_PUBLISHED, "views": 24}),
    Row("untrained, where 36 turned, mirrored and zoomed views agree", "zero_shot_turned", AS_PUBLISHED))
FULL_SIZE = Table("lspet", (
    Row("untrained", "zero_shot", AS_PUBLISHED),
    *TURNED,
    *(Row(f"labels alone, rate {rate:g}", "supervised", {**AT_192, "learning_rate": rate}) for rate in (3e-4, 1e-3)),
    Row("labels alone, rate 0.001, wider sigma", "supervised", {**AT_192, "learning_rate": 1e-3, "sigma": 2}),
    Row("pseudo-labels of the 24 views, images turned either way, rate 0.003, wider sigma, 600 steps", "pl_zero_shot", {
        **AT_192, "learning_rate": 3e-3, "sigma": 2, "rotation": 180, "steps": 600}),
    Row("the same, images turned by up to 45 degrees, 1,500 steps", "pl_zero_shot", {
        **AT_192, "learning_rate": 3e-3, "sigma": 2, "rotation": 45, "steps": 1500}),
    Row("its trunk under another head, 1,000 steps of Adam", "pl_zero_shot", TRUNK_AT_192)),
    [column._replace(seeds=TUNING_SEEDS) for column in (PCK, ERROR, PEAK)], "192 px, 300 steps, one tuning seed")
ZERO_SHOT = Table("lspet", (
    Row("network of human pose, untrained", "zero_shot", AS_PUBLISHED), *TURNED,
    Row("36 views less one, interval over the 500 people", "zero_shot_turned", AS_PUBLISHED, minus="zero_shot")), (
    PCK, ERROR, EQUIVARIANCE._replace(decimals=1)))
TEN_PEOPLE = {**AT_192, "labelled": 10, "learning_rate": 3e-3, "rotation": 45, "sigma": 2, "steps": 1500}
TEN_ATHLETES = Table("lspet", (
    Row("untrained", "zero_shot", TEN_PEOPLE), Row("untrained, 36 views", "zero_shot_turned", TEN_PEOPLE),
    Row("ten labels and pseudo-labels of the 36 views", "pl_zero_shot", TEN_PEOPLE),
    Row("the same, 36 views at prediction", "pl_zero_shot_turned", TEN_PEOPLE),
    *(Row(f"{one} - {other}", one, TEN_PEOPLE, minus=other) for one, other in (
        ("pl_zero_shot", "zero_shot"), ("pl_zero_shot_turned", "zero_shot"),
        ("pl_zero_shot_turned", "zero_shot_turned")))), (
    PCK, ERROR, EQUIVARIANCE._replace(decimals=1)), "ten labels, one subset; intervals over 500 people")
TEN_ATHLETES_TUNING = Table("lspet", [
    row._replace(settings={**TEN_PEOPLE, "labelled_share": 0.1}, seeds=TUNING_SEEDS)
    for row in TEN_ATHLETES.rows[:4]], (
        PCK, ERROR, EQUIVARIANCE._replace(decimals=1)), "a tenth of the loss for the labels, one tuning seed")
BACKBONE_PAIRS = Table("faces", (
    Row(f"9 faces: pl_warped - {CONTROL}", "pl_warped", {"labelled": 0.05, **ON_FACES}, minus=CONTROL),
    Row("9 faces: pl_warped - supervised", "pl_warped", {"labelled": 0.05, **ON_FACES}, minus="supervised"),
    Row(f"19 faces: pl_warped - {CONTROL}", "pl_warped", ON_FACES, minus=CONTROL),
), (ERROR._replace(heading="mean error, points"),), "difference")

MOUSE, FACES, FACES_LESS, FACES_OTHERS, NETWORKS, ARCHITECTURE = map(
    on_former_split, (MOUSE, FACES, FACES_LESS, FACES_OTHERS, NETWORKS, ARCHITECTURE))
CELLS, FROZEN_FACES, FROZEN_MOUSE = map(on_former_split, (CELLS, FROZEN_FACES, FROZEN_MOUSE))
BACKBONE_MOUSE, BACKBONE_FACES, BACKBONE_PAIRS = map(
    on_former_split, (BACKBONE_MOUSE, BACKBONE_FACES, BACKBONE_PAIRS))


# Speech: other speakers test

SPEECH = {"evaluations": 1, "frozen_stride": 4, "heatmap_size": 32, "image_size": 128, "learning_rate": 1e-3,
          "network": "mobilenet_v2", "warm_start_learning_rate": 1e-3, "weights": "mobilenet_v2_imagenet"}
ALL = {**SPEECH, "labelled": 1}
SPEECH_ROWS = (Row(f"{CONTROL} (control)", CONTROL, SPEECH),
               Row(f"{TWICE} (control, the cost of pl_warped)", TWICE, SPEECH), Row("pl_warped", "pl_warped", SPEECH),
               Row(f"all labels: {CONTROL}", CONTROL, ALL),
               Row("all labels, 1,300 steps in place of 500", CONTROL, {**ALL, "steps": 1300}),
               Row(f"pl_warped - {TWICE}", "pl_warped", SPEECH, minus=TWICE),
               Row(f"pl_warped - {CONTROL}", "pl_warped", SPEECH, minus=CONTROL))
MILLIMETRES = Column("all machines, mm", "test/contour", 10, 2)
TONGUE = Table("tongue", SPEECH_ROWS, (
    MILLIMETRES._replace(heading="adults' machine, mm", metric="test/micro/contour"),
    MILLIMETRES._replace(heading="by subset", metric="test/micro/contour", show="seeds"),
    MILLIMETRES._replace(heading="children's machine, mm", metric="test/ultrasonix/contour"), MILLIMETRES,
    MILLIMETRES._replace(heading="without points that a network had placed, mm", metric="test/by_hand/contour"),
    PCK._replace(heading="PCK at 5 mm, %")), "distance of contours, 50 labels")

BESIDE = {**SPEECH, "beside": "human_pose"}  # run again on the machine of the other core
TONGUE_CORES = Table("tongue", (
    Row("ImageNet's weights", CONTROL, BESIDE),
    Row("weights of a network of human pose", CONTROL, {**SPEECH, "weights": "movenet_lightning"}),
    Row("human pose - ImageNet", CONTROL, {**SPEECH, "weights": "movenet_lightning"}, minus=CONTROL,
        minus_settings=BESIDE)), TONGUE.columns[:4] + TONGUE.columns[5:], "distance of contours, 50 labels")
ALL_BESIDE = {**ALL, "beside": "human_pose"}
TONGUE_AVERAGED = Table("tongue", (
    *(Row(name, name, BESIDE) for name in (
        CONTROL, AVERAGED, TWICE, TWICE_AVERAGED, "pl_warped", "pl_warped_averaged")),
    *(Row(f"all labels: {name}", name, ALL_BESIDE) for name in (CONTROL, AVERAGED)),
    *(Row(f"{one} - {other}", one, BESIDE, minus=other) for one, other in (
        (AVERAGED, CONTROL), (TWICE_AVERAGED, CONTROL), (TWICE_AVERAGED, AVERAGED),
        ("pl_warped_averaged", TWICE_AVERAGED), ("pl_warped_averaged", AVERAGED)))), (
        *TONGUE.columns[:4], TONGUE.columns[5], TONGUE.columns[5]._replace(heading="by subset", show="seeds"), LEFT),
    "distance of contours, 50 labels")

CURVE = Table("tongue", [Row(title, CONTROL, SPEECH, metric=f"test/{machine}/contour") for title, machine in (
    ("adults' machine", "micro"), ("children's machine", "ultrasonix"))], [
        Column(f"{count} labels" if count > 1 else "420 labels, all", "", 10, 2, settings={"labelled": count})
        for count in (10, 20, 50, 100, 200, 1)], "distance of contours, mm")


def tuned(row: Row, rate: float) -> Row:
    """Returns a row of the tuning seed at a learning rate."""
    return row._replace(title=f"{row.title}, {rate:g}", seeds=TUNING_SEEDS, settings={
        **row.settings, "learning_rate": rate, "warm_start_learning_rate": rate})


SPEECH_TUNING = Table("tongue", [
    *(tuned(Row(name, name, SPEECH), rate) for name in (CONTROL, "pl_warped") for rate in (1e-3, 3e-3)),
    *(tuned(Row(name, name, SPEECH), 1e-3) for name in (TWICE, "teacher_adaptation")),
    tuned(Row(f"{CONTROL}, 192 px", CONTROL, {**SPEECH, "image_size": 192, "heatmap_size": 48}), 1e-3)], (
        MILLIMETRES._replace(heading="distance of contours, mm"), PCK._replace(heading="PCK at 5 mm, %")),
    "tuning seed, at a rate of")
OF_THE_MOUTH = Column("distance of contours, % of the mouth's width", "test/contour", 100, 2)
LIPS = Table("lips", [row for row in SPEECH_ROWS if "steps" not in row.settings], (
    OF_THE_MOUTH, OF_THE_MOUTH._replace(heading="by subset", show="seeds"), ERROR._replace(decimals=2),
    PCK._replace(heading="PCK at 5 %, %")), "50 labels")
BESIDE_PEERS = {**SPEECH, "beside": "peers"}
CURVE_LIPS = Table("lips", [Row(title, variant, BESIDE_PEERS, metric="test/contour") for title, variant in (
    ("labels alone", CONTROL), ("averaged views", AVERAGED))], [
        Column(f"{count} labels" if count > 1 else "164 labels, all", "", 100, 2, settings={"labelled": count})
        for count in (10, 20, 50, 100, 1)], "distance of contours, % of the mouth's width")
LIPS_AVERAGED = Table("lips", [
    Row(f"{AVERAGED} - {CONTROL}, {count} labels", AVERAGED, {**BESIDE_PEERS, "labelled": count}, minus=CONTROL)
    for count in (10, 20, 50, 100)], (
    OF_THE_MOUTH._replace(heading="distance of contours, points"),
    OF_THE_MOUTH._replace(heading="by subset", show="seeds"), ERROR._replace(decimals=2, heading="mean error, points"),
    PCK._replace(heading="PCK at 5 %, points"), LEFT), "difference")
LIPS_TUNING = Table("lips", [tuned(Row(name, name, SPEECH), 1e-3) for name in (
    CONTROL, TWICE, "pl_warped", "teacher_adaptation")], (
    OF_THE_MOUTH, ERROR._replace(decimals=2), PCK._replace(heading="PCK at 5 %, %")), "tuning seed, at a rate of")


# The plot: against the control everywhere, the method first


def on_real_images(title: str, variant: str, settings: Mapping[str, Any], preset: str) -> Row:
    """Returns a row less the control, of the former split."""
    return Row(f"{title}, former split", variant, {**settings, **FORMER_SPLIT}, preset, CONTROL)


FIVE = {"labelled": 5, **ON_MOUSE}
FOREST = Table("demo", (
    Row("ours, synthetic people", "ours", minus=CONTROL), *map(formerly, (
        Row("ours, synthetic people", "ours", minus=CONTROL),
        on_real_images("ours, mouse, small U-net, 10 labels", "ours", VALIDATION, "openfield"),
        on_real_images("ours, mouse, MobileNetV2, 5 labels", "ours", FIVE, "openfield"))),
    Row("easy_hard, synthetic people", "easy_hard", minus=CONTROL),
    Row("the same, control at equal cost", "easy_hard", minus=AT_COST),
    on_real_images("easy_hard, mouse, MobileNetV2, 5 labels", "easy_hard", FIVE, "openfield"),
    Row("pl_warped, synthetic people", "pl_warped", minus=CONTROL),
    Row("pl_warped, 50 athletes, MobileNetV2", "pl_warped", PEOPLE, "lspet", CONTROL),
    Row("the same, control whose predictions are averaged", "pl_warped", PEOPLE, "lspet", AVERAGED),
    on_real_images("pl_warped, mouse, MobileNetV2, 5 labels", "pl_warped", FIVE, "openfield"),
    Row("pl_easy_hard, synthetic people", "pl_easy_hard", minus=CONTROL),
    Row("mean_teacher_warped, synthetic people", "mean_teacher_warped", minus=CONTROL),
), (PCK._replace(heading=f"points of PCK above the labels alone under the method's warp ({CONTROL})"),))
