"""Tables of Keypoint Pyramids, from `results.csv`.

Errors are of a linear regression from keypoints to labels, in pixels of images of 64; `rmse/arm` is the mean over the
five moving joints of the arm. A ratio over seeds is a geometric mean with an interval by Student's t.
"""
from experiments.engine.pages import Column, Row, Table

TUNING = range(100, 101)
PYRAMIDS, KEYNET = Row("**pyramids**", "pyramids"), Row("keynet", "keynet")
TRANSPORTER, BKIND = Row("transporter", "transporter"), Row("bkind, by pixels", "bkind")
UNTRAINED, MEAN_POSE = Row("untrained (control)", "untrained"), Row("mean_pose (control)", "mean_pose")
MOMENTS = Row("image_moments (control)", "image_moments")
BOUND = Row("supervised_bound (upper bound)", "supervised_bound", {"learning_rate": 2e-3})
ALL = Column("all keypoints", "rmse/flat", decimals=2)
FIRST = Column("first level", "rmse/level1", decimals=2)
SECOND = Column("second level", "rmse/level2", decimals=2)
ACTIONS = Column("actions, %", "action/accuracy", 100)
MOVING = Column("points on what moves, %", "points_on_motion", 100, 0)

# Synthetic people

VARIANTS = (PYRAMIDS, KEYNET, TRANSPORTER, BKIND, UNTRAINED, MOMENTS, MEAN_POSE, BOUND)
HEADLINE = Table("demo", VARIANTS, (ALL, FIRST, SECOND, ACTIONS))
TUTORIAL = Table("demo", (PYRAMIDS, KEYNET, UNTRAINED, MOMENTS, BOUND), (
    ALL._replace(heading="error of joints, px of 64"), ACTIONS))
DEMO = Table("demo", VARIANTS, (
    Column("steps", "rmse/flat", show="steps"), ALL, ALL._replace(heading="seeds 0 to 4", show="seeds"), FIRST, SECOND,
    ACTIONS))
RATIO = Column("mean over seeds", "rmse/flat_ratio", decimals=2)
RATIOS = Table("demo", [Row(pair, pair) for pair in (
    "keynet / pyramids", "keynet / transporter", "pyramids / transporter", "bkind / pyramids")], (
        RATIO, RATIO._replace(heading="seeds", show="seeds")), "ratio of errors")
RATES = Table("demo", [Row(title, variant, {"steps": 325} | settings, seeds=TUNING) for title, variant, settings in (
    ("**pyramids**", "pyramids", {}), ("pyramids, reconstruction width 0.2", "pyramids", {"reconstruction_width": 0.2}),
    ("keynet", "keynet", {}), ("keynet, width 0.2", "keynet", {"keynet_width": 0.2}),
    ("transporter", "transporter", {}), ("transporter, width 0.2", "transporter", {"transporter_width": 0.2}),
    ("bkind", "bkind", {"bkind_rate": 0.0}),
    *((f"bkind, reconstruction {weight}{note}", "bkind",
       {"bkind_rate": 0.0, "bkind_reconstruction": float(weight)} | settings) for weight, note, settings in (
        (100, "", {}), (10, ", separation 0.01", {"bkind_separation": 0.01}), (1, " as published", {}),
        (1, ", separation 0.005", {"bkind_separation": 0.005}))))],
    [Column(f"{rate:g}", "rmse/flat", decimals=2, show="seeds",
            settings={} if rate == 4e-3 else {"learning_rate": rate}) for rate in (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)],
    "method, by learning rate")

# An arm that pushes toys

SHORT = {"steps": 400}
ARM = Column("arm", "rmse/arm")
TABLETOP = Table("tabletop", [row._replace(settings=SHORT) for row in (
    PYRAMIDS, BKIND, MOMENTS, MEAN_POSE, UNTRAINED._replace(title="untrained (control, seeds 0 and 1)"))], (
    ARM, ARM._replace(heading="seeds 0 to 4", show="seeds"), Column("toys", "rmse/toys"), Column("all", "rmse/flat"),
    Column("live points of 30", "live_points")))
TABLETOP_RATIOS = Table("tabletop", [Row(pair, pair, SHORT) for pair in (
    "pyramids / image_moments", "bkind / image_moments", "bkind / pyramids")], (
    Column("mean over seeds", "rmse/arm_ratio", decimals=2),), "ratio of the arm's errors")

FOREST = Table("demo", [
    Row(f"{one} vs {other}", one, minus=other) for one, other in (
        ("pyramids", "untrained"), ("pyramids", "image_moments"), ("keynet", "image_moments"),
        ("pyramids", "keynet"), ("pyramids", "transporter"), ("pyramids", "bkind"))
] + [Row(f"arm: {one} vs {other}", one, SHORT, "tabletop", other, metric="rmse/arm") for one, other in (
    ("pyramids", "image_moments"), ("pyramids", "bkind"), ("bkind", "image_moments"))],
    (Column("error saved, % of the image's side (rendered videos)", "rmse/flat", -100 / 64),), "one vs other")

# Ablations

LEFT_OUT = ("no_reconstruction", "no_transport", "no_spring", "all_transport", "all_reconstruction", "unconditioned")
BESIDE = {"beside": "ablations"}  # runs of the method that were made with the ablations
ABLATIONS = Table("demo", [PYRAMIDS._replace(settings=BESIDE), *(Row(name, name) for name in LEFT_OUT), *(
    Row(f"{name} - pyramids", name, minus="pyramids", minus_settings=BESIDE) for name in LEFT_OUT)], (
    ALL, ALL._replace(heading="by seed", show="seeds"), FIRST, SECOND, ACTIONS))

# As many keypoints as a level has: baselines have those of both levels in one

BY_LEVEL = (("first", "rmse/level1", 10, {"level_sizes": (5, 5)}),
            ("second", "rmse/level2", 20, {"level_sizes": (10, 10)}))
COUNTS = Table("demo", (
    *(row for level, metric, count, settings in BY_LEVEL for row in (
        Row(f"**pyramids**, {level} level: {count}", "pyramids", BESIDE, metric=metric),
        *(Row(f"{one}, {count}", one, settings) for one in ("keynet", "transporter")))),
    *(Row(f"{one}, {count} - {level} level", one, settings, minus="pyramids", minus_settings=BESIDE,
          minus_metric=metric)
      for level, metric, count, settings in BY_LEVEL for one in ("keynet", "transporter"))),
    (ALL._replace(heading="error of joints"), ALL._replace(heading="by seed", show="seeds"), Column(
        "steps", "rmse/flat", show="steps")), "keypoints")

# The spring at the paper's weight

SPRING = Table("demo", [Row(title, "pyramids", {"steps": 2000, **settings}) for title, settings in (
    ("sums in normalised coordinates, weight 1, as in h36m", {"reduction": "sum", "spring": 1.0}),
    ("sums in pixels, weight 1", {"reduction": "sum", "spring": 1.0, "unit": "pixels"}))], (
        ALL, Column("coincident pairs of 435", "coincident_points"),
        Column("live points of 30", "live_points", decimals=0),
        Column("distance between points, of a side of 2", "point_spread", decimals=2)),
    "form of the spring, 2,000 steps")

# Real videos

RECORDINGS = Table("own", (
    Row("robot", "pyramids", {"videos": "robot"}), Row("two flies", "pyramids", {"videos": "flies", "steps": 600}),
    Row("mouse", "pyramids", {"videos": "mouse", "steps": 600})), (
    MOVING, Column("motion near a point, %", "motion_coverage", 100, 0),
    Column("live points of 30", "live_points", decimals=0),
    Column("coincident pairs of 435", "coincident_points", decimals=0),
    Column("squared error of the reconstruction, millionths", "mse/flat", 1e6, 0),
    Column("of the mean image", "mse/mean_image", 1e6, 0)), "recording")
FLIES = Table("flies_part", (PYRAMIDS, KEYNET, UNTRAINED, MOMENTS, MEAN_POSE, *(
    Row(f"{one} - {other}", one, minus=other) for one, other in (
        ("pyramids", "untrained"), ("pyramids", "image_moments"), ("keynet", "pyramids")))), (
    ALL, ALL._replace(heading="by seed", show="seeds"), FIRST, SECOND, Column(
        "live points of 30", "live_points", decimals=0), Column("steps", "rmse/flat", show="steps")), "two flies")
CLIPS = {"videos": "mouse_clips", "image_size": 64, "steps": 600}
MOUSE = Table("own", [row._replace(settings=CLIPS | settings, seeds=TUNING) for row, settings in (
    (PYRAMIDS, {"learning_rate": 4e-3, "reconstruction_width": 0.1}), (KEYNET, {}),
    (BKIND, {"bkind_rate": 2e-3, "bkind_reconstruction": 30.0, "bkind_steps": 0.82}), (UNTRAINED, {}), (MOMENTS, {}))],
    (*(Column(f"ridge {ridge:g}", "rmse/flat", show="seeds", settings={"ridge": ridge} if ridge else {})
       for ridge in (0.0, 0.1, 1.0, 10.0)), MOVING._replace(show="seeds")))
