"""What pages show of kpjax, DeepLabCut, Lightning Pose and sleap-nn: `experiments.measure.render`
says how to read it.

Presets are projects by their names in `prepare`; seeds are the labelled subsets.
"""

TOOLS = {
    "kpjax": "kpjax",
    "deeplabcut": "DeepLabCut",
    "lightning_pose": "Lightning Pose",
    "sleap_nn": "sleap-nn, random weights",
    "kpjax_small_unet": "kpjax, random weights",
}
MEASURED, OTHERS = (30,), (10, "all")  # numbers of labelled frames
CAP = 600
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


def presets_of(counts):
    """Returns each project with some numbers of labelled frames, and its words."""
    return {
        f"{project} labelled={count} seconds={CAP}": f"{words}, {count} frames"
        for project, words in PROJECTS.items()
        for count in counts
    }


def lines_of(counts):
    """Returns a line for each tool there, and its words."""
    return {
        f"{preset}/{tool}": f"{words}: {title}"
        for preset, words in presets_of(counts).items()
        for tool, title in TOOLS.items()
    }


EVERY = (*MEASURED, *OTHERS)
TITLES = TOOLS | presets_of(EVERY) | lines_of(EVERY)
TABLES = {
    "chart": ("", tuple(lines_of(MEASURED)), ("test/pck",)),
    "projects": ("", tuple(lines_of(MEASURED)), tuple(METRICS)),
    "other_counts": ("", tuple(lines_of(OTHERS)), tuple(METRICS)),
}
