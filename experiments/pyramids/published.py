"""The numbers that the paper prints (Qian et al., ECCV 2022), for `experiments.pyramids`.

Table 1: errors of the linear probe on Human3.6M. Their unit is not stated. As the norm over the 34 coordinates of a
picture of 128 pixels they are plausible, as pixels of a coordinate they are not; they stand beside that reading, and
only their ratios compare. Flat rivals have as many keypoints as the level. Table 2: accuracy over eleven actions.
"""
LEVELS = ("level1", "level2", "flat")
RMSE = {
    "pyramids": (52.81, 43.97, 43.30),
    "keynet": (56.51, 53.28, 46.71),
    "transporter": (50.15, 45.25, 47.45),
    "no_reconstruction": (49.09, 46.73, 45.23),
    "no_transport": (50.52, 46.29, 45.85),
    "no_spring": (49.27, 48.21, 45.28),
    "all_transport": (54.72, 50.07, 49.53),
    "all_reconstruction": (50.83, 48.15, 46.93),
    "unconditioned": (49.37, 44.73, 43.75),
}
SUPERVISED_BOUND = 37.97
ACTIONS = {"pyramids": (0.182, 0.193, 0.218), "keynet": (0.148, 0.168, 0.179), "transporter": (0.152, 0.164, 0.177)}
ACTIONS_OF_TRUE_JOINTS = 0.331


def paper_numbers(preset: str, variant: str) -> dict[str, float]:
    """What the paper prints of a row, by metric, in the unit of the column; {} but for its own data."""
    if preset != "h36m":
        return {}
    if variant == "supervised_bound":
        return {"units/pixels_per_image/flat": SUPERVISED_BOUND,
                "action/accuracy_of_true_joints": 100 * ACTIONS_OF_TRUE_JOINTS}
    numbers = {f"units/pixels_per_image/{level}": value
               for level, value in zip(LEVELS, RMSE.get(variant, ()), strict=False)}
    accuracies = {("action/accuracy" if level == "flat" else f"action/{level}"): 100 * value
                  for level, value in zip(LEVELS, ACTIONS.get(variant, ()), strict=False)}
    return numbers | accuracies
