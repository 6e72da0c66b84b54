"""Tables of the paper and its studies, on one core; `python -m experiments study adaptation NAME` runs them."""
from experiments.adaptation.presets import RENDERED, Config
from experiments.engine.pages import Column, Row, Table
from kpjax import InputError

# The paper's studies of the core and of the images; `--preset mpii_aflw` has its numbers.

MEASURES = (*(Column(f"{direction}, {count}", f"{direction}/{count}", decimals=2)
              for direction in ("forward", "backward") for count in ("10", "100", "all")),
            Column("consistency, px", "consistency", decimals=2), Column("core, %", "core/pck", 100.0))


def by_epoch(*epochs: int) -> tuple[Row, ...]:
    """Returns the adaptation of cores after some epochs, and after the last."""
    return tuple(Row(f"after epoch {epoch}" if epoch else "after the last epoch", "adapted", {"core_epoch": epoch})
                 for epoch in (*epochs, 0))


def check_rendered(config: Config) -> None:
    """Raises InputError for a core whose images are not rendered."""
    if not config.core.core.startswith(RENDERED):
        raise InputError("preset", "the background of a core's people can be chosen where they are rendered, as in "
                                   "demo")


CORE_EPOCHS = Table("demo", by_epoch(1, 2, 5), MEASURES, "core")
CORE_EPOCHS_PAPER = Table("mpii_aflw", by_epoch(1, 5, 10), MEASURES, "core", paper="table4")
IMAGES = Table("demo", tuple(Row(str(count or "all"), "adapted", {"target_images": count})
                             for count in (10, 100, 1000, 0)), MEASURES, "images without labels", paper="table5")
CORE_BACKGROUNDS = Table("demo", tuple(
    Row(f"{variant}, {background}", variant, {"core_background": background})
    for variant in ("adapted", "scratch", "untrained_head") for background in ("clutter", "patches")),
    MEASURES, "variant, background of the core's people", check=check_rendered)
