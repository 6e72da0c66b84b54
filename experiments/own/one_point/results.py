"""What pages show of keypoints that look alike: `experiments.measure.render` says how to read it.

One-off studies changed one choice of `kpjax train` at a time, by its flags where it has some, and
else by code in the history of the commits that rows name. `one pair` is the worst of those that
labels show more than 1 % of the animal's length (5 px) apart, counted where the scores of both are
above the lowest twentieth of held-out ones.
"""

TITLES = {
    "chosen": "as `kpjax train` chose, 1,200 steps",
    "short": "300 steps",
    "mirrored": "with mirrored training; without it, where it was chosen",
    "half_size": "images and maps of half the side",
    "each_peak_alone": "each keypoint at its own peak; jointly with its partner, where that was not chosen",
    "argmax": "points at cells of maps, not refined",
    "cross_entropy": "cross-entropy over positions, not squared errors of maps",
    "pairs_apart": "a term that keeps maps of left and right apart",
    "prior": "a prior on poses, as Lightning Pose has",
    "mobilenet": "MobileNetV2, heatmaps of 32 cells, 800 steps in three schedules",
    "mobilenet_fine": "the same with 64 cells",
    "mobilenet_whole": "MobileNetV2, 32 cells, no frozen layer, one schedule of 700 steps",
    "mobilenet_wide_whole": "the same with 64 cells, 500 steps",
    "mobilenet_narrow_whole": "the same with a pyramid of 32 channels, not 64, 667 steps",
    "mobilenet_narrow": "the same with layers up to stride 4 frozen, 900 steps",
    "mobilenet_wider": "the same with Gaussians of 1.5 cells, not 1, 800 steps",
    "mobilenet_widest": "the same with Gaussians of 2 cells, 800 steps",
    "mobilenet_chosen": "`kpjax train --weights`, MobileNetV2 of ImageNet, up to 900 steps",
    "small_chosen": "`kpjax train --network small_unet`, labels alone, up to 1,400 steps",
    "small_alone": "the small U-net again, by a later commit, labels alone, 1,100 steps",
    "small_pseudo": "a second small U-net, with pseudo-labels on frames of project and video, up to 2,300 steps",
}
METRICS = {
    "clip/one_point": ("frames of a video on which one pair is one point, %", 100, 1, True),
    "clip/left_paws": (
        "frames of a video on which both left paws, seen from the side, are one point, %",
        100,
        1,
        True,
    ),
    "test/one_point": ("held-out frames on which one pair is one point, %", 100, 1, True),
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
OF_MOBILENET = (
    "mobilenet",
    "mobilenet_fine",
    "mobilenet_whole",
    "mobilenet_wide_whole",
    "mobilenet_narrow_whole",
    "mobilenet_narrow",
    "mobilenet_wider",
    "mobilenet_widest",
)
ALONE_OR_NOT = ("small_alone", "small_pseudo")
OF_POINTS = ("test/one_point", "test/median", "test/pck")
TABLES = {
    "chosen": (
        "causes_mouse",
        ("mobilenet_chosen", "small_chosen", "small_pseudo"),
        ("clip/one_point", "clip/left_paws", *OF_POINTS, "test/distance"),
    ),
    "mouse": (
        "causes_mouse",
        (*ARMS, *ALONE_OR_NOT, *OF_MOBILENET),
        ("clip/one_point", *OF_POINTS, "test/distance"),
        True,
    ),
    "elsewhere": (("causes_flies", "causes_lips"), ARMS, OF_POINTS, True),
}
