"""Tables of what was measured on people's own data, as `experiments.engine.pages` renders them.

Presets are written `<system>/own`, as one page shows several systems. Most runs had one seed: no plot.
"""
from experiments.engine.pages import Column, Row, Table

SMALL = {"labelled": 20, "network": "small_unet"}
LARGE = {"labelled": 20, "network": "mobilenet_v2", "weights": "mobilenet_v2_imagenet"}
HEADLINE = Table("semi_supervised/own", (
    Row("small U-net, 128 px: `ours`", "ours", SMALL),
    Row("small U-net, 128 px: `supervised_warped` (control)", "supervised_warped", SMALL),
    Row("small U-net, 192 px: `supervised_warped`", "supervised_warped", {**SMALL, "image_size": 192}),
    Row("MobileNetV2, 128 px, heatmaps of 64 cells, all layers trained", "supervised_warped",
        {**LARGE, "image_size": 128, "heatmap_size": 64, "frozen_stride": 0}),
    Row("MobileNetV2, 192 px, all layers trained", "supervised_warped",
        {**LARGE, "image_size": 192, "frozen_stride": 0}),
    Row("**MobileNetV2, 192 px, first layers kept (default)**", "supervised_warped",
        {**LARGE, "image_size": 192, "frozen_stride": 4})), (
            Column("held-out PCK at 10 % of the body, %", "test/pck", 100),
            Column("training, s on two quiet cores", "test/pck", show="seconds")), "20 labelled frames of a mouse")
COMMANDS = Table("commands", [Row(title, name) for title, name in (
    ("`check`, two quiet cores", "check"), ("`predict --overlay` on 116 frames, two quiet cores", "predict_overlays"),
    ("`predict --formats csv,dlc,slp,coco` on 116 frames", "predict_formats"),
    ("`export`, with its self-test", "export"), ("`suggest --n 6 --to dlc`", "suggest"),
    ("`convert --to slp`", "convert"))], (Column("seconds", "seconds", decimals=0),), "command")
REGDA = Table("regda/own", (Row("source only", "source_only"), Row("AdaBN", "adabn"), Row("RegDA", "regda")), (
    Column("target PCK, %", "target/pck", 100), Column("target error, px of 192", "target/mae")))
BY_MOBILENET = {"heatmap_size": 24, "image_size": 96, "network": "mobilenet_v2", "weights": "mobilenet_v2_imagenet"}
HALVES_COLUMNS = (
    Column("mean error, % of the distance between the eyes", "test/nme", 100, 2),
    Column("of the jaw, nose and inner lips", "test/nme_first", 100, 2),
    Column("of the brows, eyes and outer lips", "test/nme_second", 100, 2),
    Column("over all labels, %", "test/over_all_labels", 100),
    Column("by seed", "test/over_all_labels", 100, show="seeds"),
    Column("within a tenth, %", "test/pck", 100))
HALVES_ROWS = (Row("all 68 points labelled on all images", "all_labels"), Row("`union`", "union"),
               Row("`mask` (control)", "mask"), Row("`union` - `mask`", "union", minus="mask"),
               Row("`union` - all labels", "union", minus="all_labels"))
HALVES = Table("faces_in_halves", [row._replace(settings=BY_MOBILENET) for row in HALVES_ROWS], HALVES_COLUMNS,
               "162 faces, 34 points each in two projects")
HALVES_TUNING = Table("faces_in_halves", [
    *(row._replace(title=f"persons for tuning, 500 steps: {row.title}", settings=BY_MOBILENET, seeds=range(100, 101))
      for row in HALVES_ROWS[:3]),
    *(row._replace(title=f"persons for tuning, 1,000 steps: {row.title}", settings={**BY_MOBILENET, "steps": 800},
                   seeds=range(100, 101)) for row in (HALVES_ROWS[0], HALVES_ROWS[2])),
    *(row._replace(title=f"test persons, small U-net, 64 px, 1,000 steps: {row.title}") for row in HALVES_ROWS[:3])],
    [column for column in HALVES_COLUMNS if column.heading != "by seed"], "one seed")
SAME_CAMERA = Table("adapt/own", (
    Row("its start, which `kpjax train adapt` keeps here", "start"),
    Row("adapted all the same", "adapted", {"familiar": 1})), (
        Column("target PCK at 10 % of the body, %", "target/pck", 100),
        Column("by seed", "target/pck", 100, show="seeds"),
        Column("sure points of the start that stay, %", "agreement/start", 100)), "a mouse, same camera")
EARS = Table("incremental/own", (Row("kamp", "kamp"), Row("mse_distillation (control)", "mse_distillation")), (
    Column("new points (ears), PCK, %", "new/pck", 100), Column("old points, PCK, %", "old/pck", 100)))

FLIES = Table("flies", (Row("**found by the run itself**", "found"),
                        Row("the same, some looked at twice (not kept)", "second_look"),
                        Row("in the boxes of the labels", "true_boxes"),
                        Row("SLEAP's own prediction, which has two points", "sleap")), (
    Column("animals found, %", "animals/found", 100), Column("frames with one found twice, %", "animals/twice", 100),
    Column("swaps", "animals/swaps", decimals=0), Column("PCK at 10 % of the body, %", "test/pck", 100),
    Column("of head and thorax, %", "test/pck_of_two", 100)), "750 frames of two flies")
FLIES_TIMES = Table("flies", [Row(title, name) for title, name in (
    ("decoding alone", "decode"), ("network that finds animals, alone", "finder"),
    ("network of the points, one crop, alone", "network_one"), ("whole way, one animal in a given box", "one_box"),
    ("whole way, two animals in given boxes", "two_boxes"),
    ("whole way, one animal found", "one_found"), ("whole way, two animals found and followed", "two_found"))],
                    (Column("CPU ms a frame", "cpu_ms"), Column("ms a frame, two quiet cores", "wall_ms")),
                    "96 frames of 1024 x 1024 px")
CROSSING = Table("crossing", [Row(f"{count}", f"animals_{count}") for count in range(1, 6)], (
    Column("swaps", "swaps", decimals=0), Column("fragments", "fragments", decimals=0)),
                 "animals that cross, ten scenes")

COVERED = {"tongue": (), "lips": (), "mouse": ("recordings", "temperature_recordings"),
           "faces": ("recordings", "temperature_recordings", "own_table")}  # each without these
WAYS = {"own_table": "**radii of the run** (its held-out frames)", "images": "radii, half of the images",
        "recordings": "radii, half of the recordings", "heatmap": "the taught Gaussian (control)",
        "temperature": "the same, widened by half of the images (control)",
        "temperature_recordings": "the same, widened by half of the recordings (control)"}
COVERAGE = Table("coverage", [Row(f"{name}: {words}", way, {"project": name}) for name, without in COVERED.items()
                              for way, words in WAYS.items() if way not in without], (
    *(Column(f"at {level} %", f"within/{level / 100:g}", 100) for level in (50, 80, 90, 95)),
    Column("median radius at 90 %, px of the network's image", "radius/0.9")), "labels within their radii, %")

VIDEO_WAYS = {"single": "one network, mean of five", "single_smoothed": "the same, smoothed",
              "ensemble": "median of the five", "ensemble_smoothed": "**the same, smoothed** (`kpjax predict`)"}
VIDEO_ERRORS = Table("video_errors", [Row(words, way, {"project": "tongue"}) for way, words in VIDEO_WAYS.items()], (
    Column("mean error, px", "error", decimals=2), Column("less one network", "error", decimals=2, minus="single"),
    Column("median, px", "median_error", decimals=2), Column("a tenth is beyond, px", "ninth_tenth", decimals=2),
    Column("labels within the radius at 90 %, %", "within_radius", 100),
    Column("jumps in 1,000 steps", "jumps", decimals=1)), "60 labelled frames of three videos, px of the frame")

CRITERIA = {"score": "score", "equivariance": "equivariance", "poses": "unusual pose", "disagreement": "disagreement"}
SETS = {name: f"labelling_protocol/{name}" for name in ("mouse", "faces")}
LABELLING = Table("", (Row("random", "random"), Row("**diversity** (default)", "diversity"), *(
    Row(title, f"{name}_diverse") for name, title in CRITERIA.items()),
    Row("the true error (upper bound)", "oracle_diverse")), [
        Column(heading, "test/error", 100, decimals, preset=preset, minus=minus)
        for name, preset in SETS.items() for heading, decimals, minus in (
            (f"{name}, error, %", 2, ""), ("less random", 1, "random"), ("less diversity", 1, "diversity"))])
CORRELATION = Table("", [Row(title, name) for name, title in CRITERIA.items()], [
    Column(f"{name}, rank correlation", "hidden/spearman", decimals=2, preset=preset)
    for name, preset in SETS.items()], "criterion")
