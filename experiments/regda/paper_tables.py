"""Tables of the paper; `python -m experiments study regda NAME` runs them."""
import itertools

from experiments.engine.pages import Column, Row, Table

# All directions of the sprites: at 64 px (2 CPU cores, about an hour a seed), and at 256 px beside the paper's errors.
# Where a control reaches the oracle already, no method has anything to add.

DIRECTIONS = tuple("_".join(pair) for pair in itertools.permutations(("colour", "noisy", "scream"), 2))
SPRITES_ROWS = tuple(Row(name, name) for name in (
    "source_only", "constant_centre", "adabn", "adabn_in_area", "dd", "regda", "regda_adabn", "oracle"))
ERROR = Column("MAE, x + y, in units of the latent", "target/mae", decimals=3)
HITS = Column("PCK at 4 px of 64", "target/pck", decimals=2)


def by_direction(prefix: str, column: Column, paper: str = "") -> Table:
    """Returns the table of a metric on all directions. prefix: of their presets."""
    return Table(f"{prefix}{DIRECTIONS[0]}", SPRITES_ROWS, tuple(
        column._replace(heading=direction.replace("_", " → "), preset=f"{prefix}{direction}")
        for direction in DIRECTIONS), paper=paper)


ALL_SPRITES = by_direction("dsprites_small_", ERROR)
ALL_SPRITES_PCK = by_direction("dsprites_small_", HITS)
SPRITES_PAPER = by_direction("dsprites_", ERROR, "sprites")
SPRITES_PAPER_PCK = by_direction("dsprites_", HITS)
# Baselines that match features, in one direction.
SPRITES_FEATURES = Table("dsprites_small_colour_noisy", tuple(
    Row(name, name) for name in ("source_only", "dan", "dann", "mcd", "regda")), (ERROR, HITS))
