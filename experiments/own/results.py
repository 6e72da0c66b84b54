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
    "chosen": "as `kpjax train` chose, 1,200 steps",
    "short": "300 steps",
    "mirrored": "with mirrored training; without it, where it was chosen",
    "half_size": "images and maps of half the side",
    "each_peak_alone": "each keypoint at its own peak; jointly with its partner, where that was not chosen",
    "argmax": "points at cells of maps, not refined",
    "cross_entropy": "cross-entropy over positions, not squared errors of maps",
    "pairs_apart": "a term that keeps maps of left and right apart",
    "prior": "a prior on poses, as Lightning Pose has",
    "mobilenet": "MobileNetV2 of ImageNet, heatmaps of 32 cells",
    "mobilenet_fine": "MobileNetV2 of ImageNet, heatmaps of 64 cells",
}
METRICS = {
    "within/0.9": ("labels within the radius at 90 %, %", 100),
    "error": ("mean error, px of the frame", 1, 2, True),
    "jumps": ("jumps in 1,000 steps", 1, 1, True),
    "target/pck": ("target PCK, %", 100),
    "clip/one_point": ("frames of a video on which two are one point, %", 100, 1, True),
    "test/one_point": ("held-out frames on which two are one point, %", 100, 1, True),
    "test/distance": ("mean error, px of the frame", 1, 1, True),
    "test/median": ("median error, px", 1, 1, True),
    "test/pck": ("PCK, %", 100),
}
ARMS = (
    "chosen",
    "short",
    "mirrored",
    "half_size",
    "each_peak_alone",
    "argmax",
    "cross_entropy",
    "pairs_apart",
    "prior",
)
OF_POINTS = ("test/one_point", "test/median", "test/pck")
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
    "mouse": (
        "causes_mouse",
        (*ARMS, "mobilenet", "mobilenet_fine"),
        ("clip/one_point", *OF_POINTS, "test/distance"),
        True,
    ),
    "elsewhere": (("causes_flies", "causes_lips"), ARMS, OF_POINTS, True),
}
