"""What pages show of kpjax, DeepLabCut, Lightning Pose and sleap-nn: `experiments.measure.render`
says how to read it.

Presets are projects by their names in `prepare`; seeds are the labelled subsets.
"""

TOOLS = {
    "kpjax": "kpjax",
    "kpjax_small_unet": "kpjax, random weights",
    "deeplabcut": "DeepLabCut",
    "lightning_pose": "Lightning Pose",
    "sleap_nn": "sleap-nn, random weights",
}
COUNTS, CAP = (30,), 600  # labelled frames, of which 10 and "all" were not run; seconds
METRICS = {
    "test/pck": ("points found, % (PCK at 10 % of the body)", 100),
    "test/median": ("median error, px", 1, 2, True),
    "test/one_point": (
        "test pictures on which the worst pair of keypoints is one point, %",
        100,
        1,
        True,
    ),
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
TITLES = TOOLS | PRESETS | LINES
TABLES = {
    "projects": ("", tuple(LINES), tuple(METRICS)),
}
