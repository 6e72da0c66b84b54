"""What pages show of RegDA's measured numbers: `experiments.measure.render` says how to read it."""

from itertools import permutations

from experiments.measure.render import Ahead, Learnt

PAPER = ("source_only_mse", "dan", "dann", "mcd", "dd", "regda", "oracle_mse")
SPRITES = ("source_only", "dd", "regda", "oracle")
SMALL_SPRITES = ("dsprites_small_colour_noisy", "dsprites_small_noisy_scream")
# both stages longer: there the arm with random colours has learnt the source
TWICE = "coefficient_steps=100 pretraining_steps=400 steps=400"
FOUR_TIMES = "coefficient_steps=200 pretraining_steps=800 steps=800"
LONGER = {"twice as long": f"demo {TWICE}", "four times as long": f"demo {FOUR_TIMES}"}
# the paper's augmentation in both arms
JITTER = f"demo augmentation=regda {TWICE}"
# a shift of which the source alone bridges more, as in the paper
NEARER = f"demo {TWICE} target=figures:nearer"
# Of each arm the rate of all others, half of it and twice it; of dd three more weights; of RegDA
# four of lambda, at each length. At the other rates it had a lambda of 0.5.
ARMS = ("source_only", "source_only_augmented", "dd", "regda", "regda_augmented")
LAMBDAS = (0.05, 0.1, 0.2, 0.5)
TRIES = (
    *ARMS,
    "demo coefficient=0.5/regda",
    *(f"demo dd_coefficient={weight}/dd" for weight in (0.01, 0.03, 0.3)),
    *(f"demo learning_rate={rate}/{arm}" for rate in (0.004, 0.016) for arm in ARMS[:3]),
    *(f"demo coefficient=0.5 learning_rate={rate}/regda" for rate in (0.004, 0.016)),
    *(
        f"demo coefficient={value} {settings}".strip() + "/regda_augmented"
        for settings in ("", TWICE, FOUR_TIMES)
        for value in LAMBDAS
    ),
    *(f"demo augmentation=regda coefficient={value} {TWICE}/regda" for value in LAMBDAS),
)
# the best of the three rates for random colours and for dd on the tuning seed
TUNED = "demo learning_rate=0.016"
LONG_SPRITES = (
    "dsprites_noisy_scream coefficient_steps=400 dtype=bfloat16 pretraining_steps=4000 steps=8000"
)
OF_LONGER = {
    "source_only_augmented": "source_only_augmented (control)",
    "no_adversary_augmented": "no_adversary_augmented (control)",
    "regda_augmented": "**regda_augmented**",
    "oracle": "oracle (upper bound)",
    "regda_augmented - source_only_augmented": "regda_augmented - source_only_augmented",
    "regda_augmented - no_adversary_augmented": "regda_augmented - no_adversary_augmented",
}
OF_JITTER = {
    "source_only": "source_only",
    "no_adversary": "no_adversary (control)",
    "dd": "dd",
    "regda": "**regda**",
    "oracle": "oracle (upper bound)",
    "regda - source_only": "regda - source_only",
    "regda - no_adversary": "regda - no_adversary",
    "regda - dd": "regda - dd",
    "dd - source_only": "dd - source_only",
}
OF_NEARER = {"source_only_augmented": "source_only_augmented (control)"} | OF_JITTER
# as all RegDA was measured before: five times the paper's lambda
OF_BEFORE = {
    f"demo coefficient=0.5 {settings}".strip() + f"/{arm}": f"{length}lambda 0.5: **{arm}**"
    for length, settings, arms in (
        ("", "", ("regda", "regda_augmented")),
        ("twice as long, ", TWICE, ("regda_augmented",)),
        ("four times as long, ", FOUR_TIMES, ("regda_augmented",)),
    )
    for arm in arms
}
TITLES = (
    {
        f"{run}/{line}": f"{place}: {title}"
        for place, run, lines in (
            ("the paper's augmentation", JITTER, OF_JITTER),
            *((length, run, OF_LONGER) for length, run in LONGER.items()),
            ("nearer", NEARER, OF_NEARER),
        )
        for line, title in lines.items()
    }
    | OF_BEFORE
    | {
        f"{TUNED}/source_only_augmented": "at twice the rate: source_only_augmented (control)",
        f"{TUNED}/dd": "at twice the rate: dd",
        f"regda - {TUNED}/source_only_augmented": "regda - source_only_augmented at twice the rate",
        f"regda - {TUNED}/dd": "regda - dd at twice the rate",
    }
)
TABLES = {
    "headline": (
        "demo",
        (
            *(f"{JITTER}/{line}" for line in OF_JITTER),
            "pretrained",
            "source_only",
            "source_only_augmented",
            "no_adversary",
            "no_adversary_augmented",
            "adabn_augmented",
            "source_only_augmented_mse",
            "source_only_augmented_mse_long",
            "dd",
            "regda",
            "regda_augmented",
            "unclipped_ground_false",
            "area_ground_false",
            "teacher_adaptation",
            "oracle",
            f"{TUNED}/source_only_augmented",
            f"{TUNED}/dd",
            "regda - source_only_augmented",
            f"regda - {TUNED}/source_only_augmented",
            "regda - source_only",
            "regda_augmented - source_only_augmented",
            "regda - dd",
            f"regda - {TUNED}/dd",
            "regda - source_only_augmented_mse",
            "regda - source_only_augmented_mse_long",
            "teacher_adaptation - source_only_augmented_mse_long",
            "source_only_augmented - source_only",
            *(f"{run}/{line}" for run in LONGER.values() for line in OF_LONGER),
            *(f"{NEARER}/{line}" for line in OF_NEARER),
            *OF_BEFORE,
            "demo_full/source_only_augmented_mse",
            "demo_full/source_only_augmented_mse_long",
            "demo_full/source_free",
            "demo_full/source_free - source_only_augmented_mse",
            "demo_full/source_free - source_only_augmented_mse_long",
        ),
        ("target/pck", "source/pck", "target/mae"),
    ),
    "tries": ("demo", TRIES, ("target/pck", "source/pck"), True),
    "real": (
        "tongue_machines",
        (
            "source_only",
            "source_only_augmented_mse_long",
            "source_only_views_long",
            "source_only_restyled_long",
            "regda",
            "teacher_adaptation",
            "source_free_views",
            "tongue_machines coefficient=0.5/regda",
            "regda - source_only_views_long",
            "tongue_machines coefficient=0.5/regda - tongue_machines/source_only_views_long",
            "teacher_adaptation - source_only_views_long",
            "teacher_adaptation - source_only_restyled_long",
            "source_free_views - source_only_views_long",
            "lspet_colours/source_only_augmented_mse_long",
            "lspet_colours/source_only_restyled_long",
            "lspet_colours/teacher_adaptation",
            "lspet_colours/teacher_adaptation - source_only_augmented_mse_long",
            "lspet_colours/teacher_adaptation - source_only_restyled_long",
        ),
        ("target/pck",),
    ),
    "ablations": (
        tuple(f"{pair} coefficient=0.5" for pair in SMALL_SPRITES),
        (
            "constant_centre",
            "source_only",
            "source_only_augmented",
            "adabn",
            "adabn_in_area",
            "dd",
            "regda",
            "regda_adabn",
            "no_ground_false",
            "no_target_false",
            "uniform_target",
            "clipped_ground_false",
            "gamma_1",
            "gamma_2",
            "gamma_8",
            "shallow_adversary",
            "oracle",
            "regda - source_only_augmented",
        ),
        ("target/mae",),
    ),
    "paper": (
        "",
        (
            *(
                f"{preset}/{variant}"
                for preset in ("rhd_h3d", "surreal_h36m", "surreal_lsp")
                for variant in PAPER
            ),
            *(f"{LONG_SPRITES}/{variant}" for variant in ("regda", "source_only", "oracle", "dd")),
            *(
                f"dsprites_{pair}/{variant}"
                for pair in (
                    *map("_".join, permutations(("colour", "noisy", "scream"), 2)),
                    "small_colour_noisy coefficient=0.5",
                )
                for variant in SPRITES
            ),
        ),
        ("target/pck_batchwise/all", "target/mae"),
    ),
}


def _of_demo(
    line: str, preset: str = "demo", *, colours: bool = True
) -> tuple[Learnt | Ahead, ...]:
    """Returns the gates of the demo: both rows find nine tenths of what the oracle finds at home,
    and the best outperforms random colours of the loss; where both have these, the loss without.

    colours: False where both rows have the paper's augmentation, as the paper's have: there the
    best has to outperform the source alone without any.
    """
    oracle, rows = (f"{preset}/oracle", "target/pck"), line.split(" - ")
    augmented = f"{preset}/source_only_augmented"
    trivial, words = (
        ("demo/source_only", "the source alone without colours")
        if augmented in rows or not colours
        else (augmented, "random colours of its loss")
    )
    return (
        *(Learnt("learnt the source", row, "source/pck", 0.9, oracle) for row in rows),
        Ahead(words, tuple(rows), trivial, "target/pck"),
    )


BODIES = "target/pck_batchwise/all"
ALONE, RIVAL = "RegDA outperforms the source alone", "RegDA outperforms disparity discrepancy"
RIVAL_ALONE = "Disparity discrepancy outperforms the source alone"
PEOPLE = {
    ALONE: ("surreal_lsp/regda - source_only_mse", BODIES),
    RIVAL_ALONE: ("rhd_h3d/dd - source_only_mse", BODIES),
    RIVAL: ("surreal_lsp/regda - dd", BODIES),
}
# says, setting, preset, line, whether random colours are the trivial answer
SETTINGS = (
    *(
        (says, "rendered people, the paper's augmentation in both arms", JITTER, line, False)
        for says, line in (
            (ALONE, "regda - source_only"),
            (RIVAL_ALONE, "dd - source_only"),
            (RIVAL, "regda - dd"),
        )
    ),
    *(
        (
            ALONE,
            f"rendered people, random colours in both arms{steps}",
            run,
            "regda_augmented - source_only_augmented",
            True,
        )
        for steps, run in (
            (", 800 + 800 steps", LONGER["four times as long"]),
            (", 400 + 400 steps", LONGER["twice as long"]),
            ("", "demo"),
        )
    ),
    *(
        (says, setting, preset, line, True)
        for setting, preset in (
            ("rendered people, a nearer domain, no colours in either arm", NEARER),
            ("rendered people, no colours in either arm", "demo"),
        )
        for says, line in (
            (ALONE, "regda - source_only"),
            (RIVAL_ALONE, "dd - source_only"),
            (RIVAL, "regda - dd"),
        )
    ),
)
CLAIMS = (
    *(
        (
            says,
            PEOPLE[says],
            setting,
            (line := " - ".join(f"{preset}/{arm}" for arm in lines.split(" - "))),
            "target/pck",
            _of_demo(line, preset, colours=colours),
        )
        for says, setting, preset, lines, colours in SETTINGS
    ),
    *(
        (
            f"On sprites {claim}",
            (f"dsprites_{paper}/{lines}", "target/mae"),
            f"sprites, {words}, 64 px, lambda 0.5",
            f"{ours}/{lines}",
            "target/mae",
            tuple(
                Ahead(
                    trivial,
                    tuple(f"{ours}/{arm}" for arm in lines.split(" - ")),
                    f"{ours}/{answer}",
                    "target/mae",
                )
                for trivial, answer in (
                    ("the constant centre", "constant_centre"),
                    ("random colours of its loss", "source_only_augmented"),
                )
            ),
        )
        for claim, lines in (
            ("RegDA's error is smaller than that of the source alone", "regda - source_only"),
            (
                "disparity discrepancy's error is smaller than that of the source alone",
                "dd - source_only",
            ),
            ("RegDA's error is smaller than that of disparity discrepancy", "regda - dd"),
        )
        for paper, ours, words in (
            ("colour_noisy", f"{SMALL_SPRITES[0]} coefficient=0.5", "one colour to white on noise"),
            ("colour_noisy", f"{SMALL_SPRITES[1]} coefficient=0.5", "noise to a painting"),
        )
    ),
)
VERDICT = (
    "On ultrasound from another machine `teacher_adaptation`, which the command trains too, "
    "beats every network of the source alone, even with twice its steps. We did not check "
    "that the source had been learnt.",
    (
        *(
            (f"tongue_machines/teacher_adaptation - {other}", "target/pck", "yes")
            for other in (
                "source_only",
                "source_only_augmented_mse_long",
                "source_only_views_long",
                "source_only_restyled_long",
            )
        ),
    ),
)
MAIN_CLAIM = ALONE
FRONT = (
    (
        "rendered people in other colours",
        "target/pck",
        "demo/source_only",
        "demo/source_only_augmented",
        "demo/regda",
        "demo/regda",
        "within 5 % of the side",
    ),
    (
        "tongues in ultrasound, another machine",
        "target/pck",
        "tongue_machines/source_only",
        "tongue_machines/source_only_views_long",
        "tongue_machines coefficient=0.5/regda",
        "tongue_machines/teacher_adaptation",
        "within 5 mm",
    ),
)
