"""What pages show of people's own data: `experiments.measure.render` says how to read it.

One-off studies measured radii, videos and faces; their code is in the history of the commits that
rows name.
"""

PROJECTS = {
    "reaching": "a mouse that reaches",
    "mirror_mouse": "mouse and mirror",
    "flies": "two flies, cropped",
    "openfield": "mouse from above",
}
COUNTS = (10, 30, 0)  # labelled frames, 0 for all that do not test
# How each is called in tables, and the flags that ask for it; the tools of `experiments.measure.peers`.
NETWORKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "kpjax": ("default", ()),
    "kpjax_small_unet": ("random weights", ("--weights", "none")),
}
DEFAULT_LINES = {
    f"{project} labelled={count or 'all'}/{network}": f"{words}, {count or 'all'} frames: {title}"
    for project, words in PROJECTS.items()
    for count in COUNTS
    for network, (title, _) in NETWORKS.items()
}
TITLES = DEFAULT_LINES | {
    "own_table": "radii of the run, from its held-out frames",
    "images": "radii, from half of the images",
    "heatmap": "the taught Gaussian (control)",
    "temperature": "the same, widened by half of the images (control)",
    "single": "one network, mean of five",
    "single_smoothed": "the same, by a Kalman smoother",
    "ensemble": "median of the five",
    "ensemble_smoothed": "the same, by a Kalman smoother",
    "start": "the start, which is kept here",
    "adapted": "adapted all the same",
}
METRICS = {
    "test/median": ("median error, px", 1, 1, True),
    "test/distance": ("mean error, px", 1, 1, True),
    "test/pck": ("PCK, %", 100),
    "test/one_point": ("test frames on which the worst pair is one point, %", 100, 1, True),
    "test/absent_drawn": ("absent points drawn, %", 100, 0, True),
    "test/hidden": ("right points hidden, %", 100, 0, True),
    "train/cpu": ("CPU minutes of training", 1 / 60, 0, True),
    "within/0.9": ("labels within the radius at 90 %, %", 100),
    "error": ("mean error, px of the frame", 1, 2, True),
    "jumps": ("jumps in 1,000 steps", 1, 1, True),
    "target/pck": ("target PCK, %", 100),
}
DEFAULT_METRICS = tuple(METRICS)[:7]
TABLES = {
    "default": ("", tuple(DEFAULT_LINES), DEFAULT_METRICS),
    "coverage": (
        tuple(f"coverage_{name}" for name in ("tongue", "lips", "mouse")),
        ("own_table", "images", "heatmap", "temperature"),
        ("within/0.9",),
    ),
    "videos": (
        "video_errors",
        ("single", "single_smoothed", "ensemble", "ensemble_smoothed"),
        ("error", "jumps"),
    ),
    "others": ("adapt_own", ("start", "adapted"), ("target/pck",)),
}
