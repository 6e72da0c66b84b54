"""What pages show of Keypoint Pyramids' measured numbers: `experiments.measure.render` says how to
read it.
"""

from experiments.measure.render import Ahead

LEFT_OUT = ("no_reconstruction", "no_transport", "no_spring", "unconditioned")
CONTROLS = ("untrained", "image_moments")
STEPS = "demo_equal_steps"
TABLES = {
    "headline": (
        "demo",
        (
            "pyramids",
            *CONTROLS,
            "pyramids - image_moments",
            "pyramids - untrained",
            *(f"flies_part/pyramids - {one}" for one in ("image_moments", "untrained", "keynet")),
        ),
        ("rmse/flat",),
    ),
    "others": (
        "",
        (
            *(f"flies_part/{line}" for line in ("pyramids", "keynet", *CONTROLS, "mean_pose")),
            *(
                f"demo/{line}"
                for line in ("pyramids", *LEFT_OUT, *(f"{one} - pyramids" for one in LEFT_OUT))
            ),
            *(
                f"{STEPS}/{line}"
                for line in (
                    "pyramids",
                    "keynet",
                    "transporter",
                    "keynet_coarse",
                    "transporter_coarse",
                    "permakey",
                    "pyramids - keynet",
                    "pyramids - transporter",
                    "pyramids - keynet_coarse",
                    "pyramids - transporter_coarse",
                    "pyramids - permakey",
                )
            ),
        ),
        ("rmse/flat", "rmse/level1", "rmse/level2"),
    ),
    "cluttered": (
        "cluttered",
        (
            "pyramids",
            "keynet",
            "transporter",
            *CONTROLS,
            *(
                f"{one} - image_moments"
                for one in ("pyramids", "keynet", "transporter", "untrained")
            ),
            "pyramids - keynet",
            "pyramids - transporter",
            *(f"cluttered steps=4000/{one}" for one in ("pyramids", "keynet", "transporter")),
        ),
        ("rmse/flat", "rmse/level1", "rmse/level2"),
    ),
    "paper": (
        "h36m",
        (
            "pyramids",
            "keynet",
            "transporter",
            "permakey",
            "keynet_coarse",
            "transporter_coarse",
            *CONTROLS,
            "mean_pose",
            *LEFT_OUT,
            "all_transport",
            "all_reconstruction",
            "supervised_bound",
        ),
        (
            "units/pixels_per_image/flat",
            "units/pixels_per_image/level1",
            "units/pixels_per_image/level2",
            "action/accuracy",
            "action/level1",
            "action/level2",
            "action/accuracy_of_true_joints",
        ),
    ),
}
MOMENTS = "the moments of the image"
OF = {
    "demo": "rendered videos",
    STEPS: "rendered videos, equal steps",
    "flies_part": "two flies, equal compute",
    "cluttered": "rendered videos, strong backgrounds, equal steps",
}


def _discovered(preset: str, line: str, level: str) -> tuple[Ahead, ...]:
    """Returns the gate: the best row's points say more than the moments of the image."""
    rows = tuple(f"{preset}/{arm}" for arm in line.split(" - "))
    # moments of the same videos
    moments = f"{'demo' if preset == STEPS else preset}/image_moments"
    return (Ahead(MOMENTS, rows, moments, f"rmse/{level}", "rmse/flat"),)


CLAIMS = tuple(
    (
        says,
        (f"h36m/{line}", f"units/pixels_per_image/{level}"),
        OF[preset],
        f"{preset}/{line}",
        f"rmse/{level}",
        _discovered(preset, line, level),
        *why,
    )
    for presets, line, level, says, *why in (
        (
            ("demo",),
            "pyramids - no_reconstruction",
            "flat",
            "The error from all points rises without reconstruction",
        ),
        (
            ("demo",),
            "pyramids - no_transport",
            "flat",
            "The error from all points rises without transport",
        ),
        (
            ("demo",),
            "pyramids - no_spring",
            "flat",
            "The error from all points rises without the spring",
        ),
        (
            ("demo",),
            "unconditioned - pyramids",
            "level1",
            "The first level's error falls without conditioning",
        ),
        (
            ("demo",),
            "no_reconstruction - pyramids",
            "level1",
            "The first level's error falls without reconstruction",
        ),
        (
            (STEPS, "cluttered"),
            "pyramids - keynet",
            "flat",
            "All points outperform KeyNet's thirty",
        ),
        (
            ("flies_part",),
            "pyramids - keynet",
            "flat",
            "All points outperform KeyNet's thirty",
        ),
        (
            (STEPS, "cluttered"),
            "pyramids - transporter",
            "flat",
            "All points outperform Transporter's thirty",
        ),
        (
            (STEPS, "cluttered"),
            "pyramids - keynet",
            "level1",
            "The first level outperforms KeyNet's ten",
        ),
        (
            (STEPS, "cluttered"),
            "transporter - pyramids",
            "level1",
            "Transporter's ten outperform the first level",
        ),
        (
            (STEPS, "cluttered"),
            "pyramids - keynet",
            "level2",
            "The second level outperforms KeyNet's twenty",
        ),
        (
            (STEPS, "cluttered"),
            "pyramids - transporter",
            "level2",
            "The second level outperforms Transporter's twenty",
        ),
    )
    for preset in presets
)
VERDICT = (
    "On rendered videos and on flies the points of Keypoint Pyramids predict the pose better "
    "than moments of what moves. So do KeyNet's, at equal compute on flies and in a third of "
    "the time on rendered videos. In front of strong backgrounds, after 600 steps, nothing "
    "beat these simple moments.",
    (
        *(
            (f"{line} - {moments}", "rmse/flat", "yes")
            for arm in ("pyramids", "keynet")
            for line, moments in (
                (f"{STEPS}/{arm}", "demo/image_moments"),
                (f"flies_part/{arm}", "image_moments"),
            )
        ),
        ("cluttered/pyramids - image_moments", "rmse/flat", "open"),
        ("cluttered/keynet - image_moments", "rmse/flat", "no"),
        ("cluttered/transporter - image_moments", "rmse/flat", "open"),
    ),
)
MAIN_CLAIM = "All points outperform KeyNet's thirty"
FRONT = (
    (
        "rendered videos, equal steps",
        "rmse/flat",
        "demo/untrained",
        "demo/image_moments",
        f"{STEPS}/pyramids",
        f"{STEPS}/keynet",
        "(images of 64 px)",
    ),
    (
        "two flies, trained on one half of a clip and tested on the other",
        "rmse/flat",
        "flies_part/untrained",
        "flies_part/image_moments",
        "flies_part/pyramids",
        "flies_part/keynet",
        "(images of 64 px)",
    ),
)
