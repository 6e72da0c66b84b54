"""What pages show of people's own data: `experiments.measure.render` says how to read it.

One-off studies measured radii, videos and faces; their code is in the history of the commits that
rows name.
"""

TITLES = {
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
    "within/0.9": ("labels within the radius at 90 %, %", 100),
    "error": ("mean error, px of the frame", 1, 2, True),
    "jumps": ("jumps in 1,000 steps", 1, 1, True),
    "target/pck": ("target PCK, %", 100),
}
TABLES = {
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
