"""What pages show of Keypoint Pyramids' measured numbers: `experiments.measure.render` says how to read it."""
LEFT_OUT = ("no_reconstruction", "no_transport", "no_spring", "all_transport", "all_reconstruction", "unconditioned")
CONTROLS = ("untrained", "image_moments")
TABLES = {
    "headline": ("demo", (
        "pyramids", *CONTROLS, "pyramids - image_moments", "pyramids - untrained",
        "flies_part/pyramids - image_moments", "flies_part/pyramids - untrained", "flies_part/pyramids - keynet"),
                 ("rmse/flat",)),
    "others": ("", (
        *(f"flies_part/{line}" for line in ("pyramids", "keynet", *CONTROLS, "mean_pose")),
        *(f"demo/{line}" for line in ("pyramids", *LEFT_OUT, *(f"{one} - pyramids" for one in LEFT_OUT)))),
        ("rmse/flat", "rmse/level1", "rmse/level2")),
    "paper": ("h36m", ("pyramids", "keynet", "transporter", *CONTROLS, "mean_pose", *LEFT_OUT,
                       "supervised_bound"),
              ("units/pixels_per_image/flat", "units/pixels_per_image/level1", "units/pixels_per_image/level2",
               "action/accuracy"))}
CLAIMS = (
    *((f"The error from all points rises without {left_out}", (f"h36m/pyramids - no_{left_out}",
       "units/pixels_per_image/flat"), f"demo/pyramids - no_{left_out}", "rmse/flat")
      for left_out in ("reconstruction", "transport", "spring")),
    ("The first level's error falls without conditioning", ("h36m/unconditioned - pyramids",
     "units/pixels_per_image/level1"), "demo/unconditioned - pyramids", "rmse/level1"),
    ("The first level's error falls without reconstruction", ("h36m/no_reconstruction - pyramids",
     "units/pixels_per_image/level1"), "demo/no_reconstruction - pyramids", "rmse/level1"),
    ("Pyramids are ahead of KeyNet with as many points", ("h36m/pyramids - keynet", "units/pixels_per_image/flat"),
     "flies_part/pyramids - keynet", "rmse/flat"))
