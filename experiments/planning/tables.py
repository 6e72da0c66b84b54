"""Tables of plans, as `experiments.engine.pages` renders them: compilers' estimates of the paper's presets.

Groups of rows are `<system>/<preset>`, variants are stages, "all" a whole run of one seed. Batches are the preset's, or
as many images as chips where that is fewer.
"""
from experiments.engine.pages import Column, Row, Table

CHIPS = ("v5e-16", "v5e-256", "h100-8")
FLOORS = ("h100", "a100")  # their compiler estimates no time: a step's is a floor
STAGES = {  # of each paper's preset: the variant that is planned, and its stages that differ
    "regda/rhd_h3d": ("regda", ("pretraining", "regda")),
    "semi_supervised/mpii": ("ours", ("ours",)),
    "incremental/mpii": ("kamp", ("step 0", "association 1", "step 1")),
    "pyramids/h36m": ("pyramids", ("pyramids",)),
    "adaptation/mpii_mafl": ("adapted", ("core", "adaptation"))}
DTYPE = {"dtype": "bfloat16"}
ROWS = tuple(Row(f"{place.replace('/', ', ')}: {stage}", stage, DTYPE, preset=place)
             for place, (_, stages) in STAGES.items() for stage in stages)
WHOLE = tuple(Row(f"{place.replace('/', ', ')}: {variant}", "all", DTYPE, preset=place)
              for place, (variant, _) in STAGES.items())
PARTS = ("input", "augmentation", "forward", "backward", "terms", "optimizer", "collectives", "other")


def _columns(metric: str, heading: str, factor: float = 1.0, decimals: int = 1, bound: str = "") -> tuple[Column, ...]:
    """Returns a column for each slice; `bound` is what a number of a platform without estimates of time is."""
    return tuple(Column(f"{chips}{heading}{bound * chips.startswith(FLOORS)}", metric, factor, decimals,
                        settings={"chips": chips}) for chips in CHIPS)


def _first(metric: str, heading: str, factor: float = 1.0, decimals: int = 1, chips: str = CHIPS[0]) -> Column:
    return Column(heading, metric, factor, decimals, settings={"chips": chips})


def _split(chips: str) -> tuple[Column, ...]:
    return (*(_first(part, part, 1e3, 2, chips) for part in PARTS),
            _first("over_network", "step / without augmentation", decimals=2, chips=chips),
            _first("share_of_peak", "of the peak, %", 100.0, chips=chips))


MEMORY = Table("", ROWS, _columns("memory", ", GiB", 2.0**-30, 2), "stage")
STEP = Table("", ROWS, _columns("step", ", ms", 1e3, bound=", at least"), "step of a stage")
HOURS = Table("", WHOLE, (*_columns("hours", ", hours", bound=", at least"), *_columns(
    "chip_hours", ", chip-hours", decimals=0, bound=", at least")), "run")
SPLIT = Table("", ROWS, _split(CHIPS[0]), f"step on {CHIPS[0]}, ms")
FULL = Table("regda/rhd_h3d", [Row(stage, stage, {"batch_size": 256, **DTYPE}) for stage in ("pretraining", "regda")],
             _split("v5e-8"), "RegDA's step on v5e-8, ms")
READING = Table("", ROWS, (*_columns(
    "images", ", images a second and chip", decimals=0, bound=", at most"), *_columns(
    "input_cores", ", cores of a host", decimals=0, bound=", at most")), "stage")
SCALING = Table("", ROWS, (
    _first("all_reduces", "collectives of a step", decimals=0), _first("collective_bytes", "MiB", 2.0**-20),
    *(_first(f"efficiency_{count}", f"{count} chips, %", 100.0, 0) for count in (8, 64, 256))),
    "stage, as many images a chip as on v5e-16")
