"""What pages show of Keypoint Pyramids' measured numbers: `experiments.measure.render` says how to read it."""
LEFT_OUT = ("no_reconstruction", "no_transport", "no_spring", "all_transport", "all_reconstruction", "unconditioned")
CONTROLS = ("untrained", "image_moments")
TABLES = {
    "headline": ("demo", (
        "pyramids", "keynet", "transporter", *CONTROLS, "pyramids - image_moments", "pyramids - untrained",
        "pyramids - keynet", "flies_part/pyramids - image_moments", "flies_part/pyramids - untrained",
        "flies_part/pyramids - keynet"), ("rmse/flat",)),
    "others": ("", (
        *(f"flies_part/{line}" for line in ("pyramids", "keynet", *CONTROLS, "mean_pose")),
        *(f"demo/{line}" for line in (*LEFT_OUT, *(f"{one} - pyramids" for one in LEFT_OUT)))),
        ("rmse/flat", "rmse/level1", "rmse/level2")),
    "paper": ("h36m", ("pyramids", "keynet", "transporter", "bkind", *CONTROLS, "mean_pose", *LEFT_OUT,
                       "supervised_bound"),
              ("units/pixels_per_image/flat", "units/pixels_per_image/level1", "units/pixels_per_image/level2",
               "action/accuracy"))}
