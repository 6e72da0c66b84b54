"""Tables of kpjax, DeepLabCut and Lightning Pose, as `experiments.engine.pages` renders them.

Presets are those of `semi_supervised`; seeds are the labelled subsets.
"""
from experiments.engine.pages import Column, Row, Table

MOUSE = "openfield"
TODAY = {"labelled": 10, "side": 640}  # of the split by time
PROGRAMS = (Row("**kpjax**, `supervised_warped`", "supervised_warped"), Row("DeepLabCut 3.0.2", "deeplabcut"),
            Row("Lightning Pose 2.4.3", "lightning_pose"))
CHART = Table(MOUSE, (Row("kpjax", "supervised_warped"), Row("DeepLabCut", "deeplabcut"),
                      Row("Lightning Pose", "lightning_pose")), (
    Column("points found, % (PCK at 10 % of the body)", "test/pck", 100, settings=TODAY),))
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
