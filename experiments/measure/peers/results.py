"""What pages show of kpjax, DeepLabCut and Lightning Pose: `experiments.measure.render` says how to
read it.

Presets are those of `semi_supervised`; seeds are the labelled subsets.
"""

MOUSE = "openfield labelled=10 side=640"
TITLES = {
    "supervised_warped": "kpjax",
    "deeplabcut": "DeepLabCut",
    "lightning_pose": "Lightning Pose",
}
METRICS = {"test/pck": ("points found, % (PCK at 10 % of the body)", 100)}
TABLES = {
    "chart": (MOUSE, tuple(TITLES), ("test/pck",)),
    "subsets": (
        MOUSE,
        (*TITLES, "supervised_warped - deeplabcut", "supervised_warped - lightning_pose"),
        ("test/pck", "test/nme"),
    ),
    "speech": (
        ("tongue labelled=50 side=320", "lips labelled=50 side=320"),
        ("supervised_warped", "deeplabcut", "supervised_warped - deeplabcut"),
        ("test/contour", "test/nme"),
    ),
}
