"""Tables of kpjax, DeepLabCut and Lightning Pose, as `experiments.engine.pages` renders them.

Presets are those of `semi_supervised`; seeds are the labelled subsets. Most rows have one of them: no plot.
"""
from experiments.engine.pages import Column, Row, Table, on_former_split

MOUSE, FACES = "openfield", "faces"
TODAY = {"labelled": 10, "side": 640}  # of the split by time
PROGRAMS = (Row("**kpjax**, `supervised_warped`", "supervised_warped"), Row("DeepLabCut 3.0.2", "deeplabcut"),
            Row("Lightning Pose 2.4.3", "lightning_pose"))
CHART = Table(MOUSE, (Row("kpjax", "supervised_warped"), Row("DeepLabCut", "deeplabcut"),
                      Row("Lightning Pose", "lightning_pose")), (
    Column("points found, % (PCK at 10 % of the body)", "test/pck", 100, settings=TODAY),))
SUBSETS = {"mouse, 10 labels": (MOUSE, 10), "mouse, all 80": (MOUSE, 1), "faces, 10": (FACES, 10),
           "faces, 19, by subset": (FACES, 19), "faces, 80": (FACES, 80)}
HEADLINE = Table("", PROGRAMS, [
    Column(heading, "test/pck", 100, preset=preset, settings={"labelled": labelled},
           show="seeds" if labelled == 19 else "mean") for heading, (preset, labelled) in SUBSETS.items()], "PCK, %")


def _rows(data: str, preset: str, *programs: tuple[str, str], **settings: int) -> list[Row]:
    return [Row(f"{data}: {title}", variant, settings, preset) for title, variant in programs]


KPJAX, LIGHTNING = ("**kpjax**", "supervised_warped"), ("Lightning Pose", "lightning_pose")
DEEPLABCUT = ("DeepLabCut", "deeplabcut")
PEERS = Table("", (
    *_rows("mouse, 10 labels", MOUSE, KPJAX, DEEPLABCUT, LIGHTNING, labelled=10),
    *_rows("mouse, 10 labels, 256 px", MOUSE, DEEPLABCUT, labelled=10, side=256),
    *_rows("mouse, all 80", MOUSE, DEEPLABCUT, LIGHTNING, labelled=1),
    *_rows("mouse, all 80, 256 px", MOUSE, DEEPLABCUT, labelled=1, side=256),
    *_rows("faces, 10 labels", FACES, KPJAX, labelled=10),
    *_rows("faces, 19 labels", FACES, KPJAX, DEEPLABCUT, LIGHTNING, labelled=19),
    *_rows("faces, 80 labels", FACES, DEEPLABCUT, LIGHTNING, labelled=80),
    *_rows("faces, 80 labels, 10 epochs", FACES, DEEPLABCUT, labelled=80, epochs=10)), (
        Column("PCK, %, by subset", "test/pck", 100, show="seeds"),
        Column("mean error, %, by subset", "test/nme", 100, show="seeds"),
        Column("mean distance, px", "test/distance"),
        Column("training, s", "test/distance", show="seconds")), "data, program")
MEASURES = Table(MOUSE, [row._replace(preset="") for row in PEERS.rows
                         if row.preset == MOUSE and "side" not in row.settings and row.variant != KPJAX[1]], (
    Column("mean distance, px, as here", "test/distance"),
    Column("by the peer's own measure", "own_measure", decimals=2)), "data, program")
TAIL = Table(MOUSE, (Row("all four points", "lightning_pose"),), (
    Column("PCK, %", "test/pck", 100, settings={"labelled": 10}),
    Column("without the tail's base", "test/pck_without_tail", 100, settings={"labelled": 10}),
    Column("from other first weights", "test/pck", 100, settings={"labelled": 10, "seed": 1})), "Lightning Pose")
VIDEO = Table("video", PROGRAMS, (Column("whole command, s", "command/seconds", decimals=0),
                                  Column("frames a second", "frames_per_second", decimals=0)), "348 frames")

# Today's split: train, tune and test by time, three labelled subsets

SUBSETS_TODAY = Table(MOUSE, (*(row._replace(settings=TODAY) for row in PROGRAMS), *(
    Row(f"kpjax - {title}", "supervised_warped", TODAY, minus=peer) for peer, title in (
        ("deeplabcut", "DeepLabCut"), ("lightning_pose", "Lightning Pose")))), (
    Column("PCK, %", "test/pck", 100), Column("by subset", "test/pck", 100, show="seeds"),
    Column("mean error, %", "test/nme", 100), Column("mean distance, px", "test/distance"),
    Column("training, s", "test/distance", show="seconds")), "mouse, 10 labels, three subsets")

TONGUES = {"labelled": 50, "side": 320}
TONGUE = Table("tongue", (*(row._replace(settings=TONGUES) for row in PROGRAMS[:2]), Row(
    "kpjax - DeepLabCut", "supervised_warped", TONGUES, minus="deeplabcut")), (
    Column("distance of contours, mm", "test/contour", 10, 2),
    Column("by subset", "test/contour", 10, 2, show="seeds"), Column("PCK at 5 mm, %", "test/pck", 100),
    Column("mean error, mm", "test/nme", 10, 2), Column("training, s", "test/distance", show="seconds")),
    "tongues, 50 labels, three subsets")

TEN = {"labelled": 10, "side": 320}
TONGUE_TEN = Table("tongue", (
    Row("kpjax, `supervised_warped`, 500 steps of 16", "supervised_warped", TEN),
    Row("DeepLabCut 3.0.2, its own 200 epochs", "deeplabcut", {**TEN, "schedule": "full"})),
    [*(TONGUE.columns[0], TONGUE.columns[2]), *TONGUE.columns[3:]], "tongues, 10 labels, one subset")
LIPS = Table("lips", TONGUE.rows, (
    Column("distance of contours, % of the mouth's width", "test/contour", 100, 2),
    Column("by subset", "test/contour", 100, 2, show="seeds"), Column("PCK at 5 %, %", "test/pck", 100),
    Column("mean error, %", "test/nme", 100, 2), TONGUE.columns[-1]), "lips, 50 labels, three subsets")

HEADLINE, PEERS, MEASURES, TAIL = map(on_former_split, (HEADLINE, PEERS, MEASURES, TAIL))
