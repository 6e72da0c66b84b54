"""What pages show of kpjax, DeepLabCut, Lightning Pose and sleap-nn: `experiments.measure.render`
says how to read it.

Presets are projects by their names in `prepare`; seeds are the labelled subsets. Rows of `chart`,
`subsets` and `speech` are of presets of `semi_supervised`, and of equal seconds for all tools.
"""

MOUSE = "openfield labelled=10 side=640"
TOOLS = {
    "kpjax": "kpjax",
    "deeplabcut": "DeepLabCut",
    "lightning_pose": "Lightning Pose",
    "kpjax_small_unet": "kpjax, random weights",
    "sleap_nn": "sleap-nn, random weights",
}
COUNTS, CAP = (10, 30, "all"), 600
METRICS = {
    "test/pck": ("points found, % (PCK at 10 % of the body)", 100),
    "test/median": ("median error, px", 1, 2, True),
    "test/one_point": ("frames on which two keypoints are one point, %", 100, 1, True),
    "test/hidden": ("good points that it hides, %", 100, 1, True),
    "predict/rate": ("frames a second", 1, 1),
    "train/cut": ("trainings that the cap cut, %", 100, 0, True),
}
PROJECTS = {
    "mirror_mouse": "mouse and mirror",
    "flies": "two flies",
    "openfield": "mouse from above",
}
PRESETS = {
    f"{project} labelled={count} seconds={CAP}": f"{words}, {count} frames"
    for project, words in PROJECTS.items()
    for count in COUNTS
}
LINES = {
    f"{preset}/{tool}": f"{words}: {title}"
    for preset, words in PRESETS.items()
    for tool, title in TOOLS.items()
}
TITLES = {"supervised_warped": "kpjax", MOUSE: "a mouse, ten frames"} | TOOLS | PRESETS | LINES
TABLES = {
    "chart": (MOUSE, ("supervised_warped", "deeplabcut", "lightning_pose"), ("test/pck",)),
    "projects": ("", tuple(LINES), tuple(METRICS)),
    "subsets": (
        MOUSE,
        (
            *("supervised_warped", "deeplabcut", "lightning_pose"),
            *("supervised_warped - deeplabcut", "supervised_warped - lightning_pose"),
        ),
        ("test/pck", "test/nme"),
    ),
    "speech": (
        ("tongue labelled=50 side=320", "lips labelled=50 side=320"),
        ("supervised_warped", "deeplabcut", "supervised_warped - deeplabcut"),
        ("test/contour", "test/nme"),
    ),
}
