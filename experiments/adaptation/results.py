"""What pages show of frozen-core adaptation's measured numbers: `experiments.measure.render` says
how to read it.
"""

from experiments.measure.render import Ahead, Learnt

PAIRS = (
    *(f"flies_pose/adapted - flies_imagenet/{other}" for other in ("random_core", "adapted")),
    *(
        f"flies_learnt/adapted - {other}"
        for other in ("flies_imagenet/random_core", "finetuned", "scratch")
    ),
)
FLIES = (
    "flies_pose/adapted",
    "flies_imagenet/adapted",
    "flies_imagenet/random_core",
    *(f"flies_learnt/{variant}" for variant in ("adapted", "finetuned", "scratch")),
)
# Faces from a core that has learnt people for a thousand steps; scratch reads none.
CORE = "demo core_epoch_steps=100"
FACE_ROWS = (f"{CORE}/adapted", f"{CORE}/finetuned", f"{CORE}/random_core", "demo/scratch")
FACE_PAIRS = tuple(f"{CORE}/adapted - {row}" for row in FACE_ROWS[1:])
# as they were measured before: clutter behind the faces, half of the steps
CLUTTER = "demo background=clutter steps=500"
BEFORE = tuple(
    f"{CLUTTER}/{arm}"
    for arm in ("adapted", "finetuned", "random_core", "trunk_clusters", "scratch")
)
MEASURES = (
    *("forward/10", "mean_landmarks/10", "forward/all", "mean_landmarks/all"),
    *("backward/10", "backward/all", "consistency", "on_object", "core/pck", "void"),
)
TABLES = {
    "faces": ("", (*FACE_ROWS, "demo/adapted", "demo/finetuned", *FACE_PAIRS, *BEFORE), MEASURES),
    "headline": (
        "",
        (
            *FLIES,
            *PAIRS,
            *FACE_PAIRS,
            f"{CLUTTER}/adapted - random_core",
            f"{CLUTTER}/adapted - scratch",
        ),
        ("forward/50", "backward/all"),
    ),
    "others": (
        "",
        FLIES,
        ("forward/10", "mean_landmarks/10", "forward/all", "mean_landmarks/all", "void"),
    ),
    "paper": (
        "",
        (
            *(
                f"{preset}/{variant}"
                for preset in ("mpii_mafl", "mpii_aflw", "mpii_ls3d", "mpii_zappos", "mpii_cats")
                for variant in ("scratch", "finetuned", "random_core", "adapted")
            ),
            *(
                f"mpii_mafl/{variant}"
                for variant in ("adapted_every", "finetuned_last", "finetuned_from_adapted")
            ),
            "mpii_mafl_printed/adapted",
            *(f"mpii_aflw core_epoch={epoch}/adapted" for epoch in (1, 5, 10)),
            *(f"mpii_aflw target_images={count}/adapted" for count in (10, 100, 1000)),
        ),
        ("forward/10", "forward/all", "backward/10", "backward/all", "consistency"),
    ),
}


def _of_labels(preset: str, count: int | str, *arms: str) -> Ahead:
    """Returns the gate: points say where labels are better than their mean does, where so many
    labels teach to read them.
    """
    return Ahead(
        f"the mean of {count} labels",
        tuple(f"{preset}/{arm}" for arm in arms),
        f"{preset}/{arms[0]}",
        f"forward/{count}",
        f"mean_landmarks/{count}",
    )


def _gates(preset: str, rows: tuple[str, str], count: int | str) -> tuple[Ahead | Learnt, ...]:
    """Returns the gates of a measure that so many labels teach to read: the best row says more than
    their mean, and where a renderer tells what the object covers, both have their points on it.
    """
    objects = (
        ()
        if preset.startswith("flies")
        else tuple(
            Learnt("put nine tenths of its points on the object", row, "on_object", 0.9)
            for row in rows
        )
    )
    trivial = Ahead(
        f"the mean of {count} labels",
        rows,
        rows[0],
        f"forward/{count}",
        f"mean_landmarks/{count}",
    )
    return (*objects, trivial)


WAYS = {
    "forward/10": "forward error with ten labels",
    "forward/all": "forward error",
    "backward/10": "backward error with ten labels",
    "backward/all": "backward error",
    "consistency": "error of consistency",
}
# Consistency reads no label; that points are somewhere in particular is read with all.
READ = {"consistency": "all"}
CLAIMS = tuple(
    (
        f"An adapted core's {words} is smaller than that of {title}",
        (f"mpii_aflw/adapted - {name}", way),
        setting,
        " - ".join(rows),
        way,
        _gates(preset, rows, READ.get(way, way.partition("/")[2])),
    )
    for way, words in WAYS.items()
    for name, title in (("scratch", "training from scratch"), ("finetuned", "fine-tuning"))
    for preset, setting, rows in (
        (
            CORE,
            "rendered people to faces",
            (f"{CORE}/adapted", f"{CORE if name == 'finetuned' else 'demo'}/{name}"),
        ),
        ("flies_learnt", "flies", ("flies_learnt/adapted", f"flies_learnt/{name}")),
    )
    if preset == CORE or way.endswith("all")
)
# all rows that were read by ten labels
ARMS = {
    CLUTTER: ("adapted", "random_core", "trunk_clusters", "scratch"),
    CORE: ("adapted",),
    "demo": ("scratch",),
    "flies_pose": ("adapted",),
    "flies_imagenet": ("adapted", "random_core"),
    "flies_learnt": ("adapted", "finetuned", "scratch"),
}
VERDICT = (
    "With all labels, points from adapted cores of people predict labels better than those "
    "from random kernels; with ImageNet's weights this is undecided. So is whether forward "
    "errors are smaller than without a core. Backward errors are smaller where the core was "
    "trained here; with a published one this is undecided. With ten labels nothing beat the "
    "mean pose, so we count no claim as tested; with all labels adapted cores did.",
    (
        (f"{CLUTTER}/adapted - random_core", "forward/all", "yes"),
        ("flies_learnt/adapted - flies_imagenet/random_core", "forward/all", "yes"),
        ("flies_pose/adapted - flies_imagenet/random_core", "forward/all", "yes"),
        ("flies_imagenet/adapted - random_core", "forward/all", "open"),
        (f"{CLUTTER}/adapted - scratch", "forward/all", "open"),
        ("flies_learnt/adapted - scratch", "forward/all", "open"),
        (f"{CLUTTER}/adapted - scratch", "backward/all", "yes"),
        ("flies_learnt/adapted - scratch", "backward/all", "yes"),
        ("flies_pose/adapted - flies_learnt/scratch", "backward/all", "open"),
    ),
    (
        *((_of_labels(preset, 10, *arms), False) for preset, arms in ARMS.items()),
        *((_of_labels(preset, "all", "adapted"), True) for preset in ARMS if preset != "demo"),
    ),
)
MAIN_CLAIM = "An adapted core's forward error is smaller than that of training from scratch"
FRONT = (
    (
        "rendered faces, from a core of rendered people",
        "forward/all",
        f"{CLUTTER}/scratch",
        f"{CLUTTER}/random_core",
        f"{CLUTTER}/adapted",
        f"{CLUTTER}/scratch",
        "of the distance between the eyes",
        "mean_landmarks/all",
    ),
    (
        "two flies",
        "forward/all",
        "flies_learnt/scratch",
        "flies_imagenet/random_core",
        "flies_learnt/adapted",
        "flies_learnt/scratch",
        "of the fly's size",
        "mean_landmarks/all",
    ),
)
