"""How the rows of a preset compare on the same test frames, with intervals over videos.

Command   python -m experiments.pyramids.order demo --workdir runs

For each pair of rows: the ratio of their `rmse/flat`, all common seeds together, with a bootstrap interval of 95 % over
test videos. An interval that contains 1 leaves the order open. It holds what other test videos would change; what other
seeds would change, the ratios of single seeds tell, which stand behind it.
"""
import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.command_line import exit_code_of, preset_folder
from experiments.pyramids.frame_errors import read_errors
from experiments.pyramids.variants import VARIANTS
from kpjax.errors import InputError
from kpjax.evaluation.probes.regression_errors import Interval, ratio_of_errors


class Comparison(NamedTuple):
    """A row over another."""

    variant: str
    other: str
    ratio: Interval
    of_seeds: tuple[float, ...]


def compare(errors: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]) -> list[Comparison]:
    """All pairs of rows with common seeds, the method and its rivals before what they are held against.

    Raises InputError for runs of one seed that were tested on different frames.
    """
    known = [name for name in VARIANTS if name in errors]
    found = []
    for place, variant in enumerate(known):
        for other in known[place + 1:]:
            seeds = sorted(set(errors[variant]) & set(errors[other]))
            if not seeds:
                continue
            parts = [[errors[name][seed] for seed in seeds] for name in (variant, other)]
            for seed, one, two in zip(seeds, *parts, strict=True):
                if not np.array_equal(one["frames"], two["frames"]):
                    raise InputError(f"{variant} and {other}, {seed}: they were tested on different frames; run one of "
                                     "them again with --fresh")
            squares = [np.concatenate([one["squares"] for one in part]) for part in parts]
            groups = np.concatenate([number * 10**6 + one["groups"] for number, one in enumerate(parts[0])])
            singles = tuple(float(np.sqrt(one["squares"].sum() / two["squares"].sum()))
                            for one, two in zip(*parts, strict=True))
            found.append(Comparison(variant, other, ratio_of_errors(*squares, groups), singles))
    return found


def text(comparisons: Sequence[Comparison]) -> str:
    """A line for each pair."""
    lines = [f"{'rmse/flat of a row over another':44} ratio  95 % over videos  single seeds"]
    for one in comparisons:
        verdict = "" if one.ratio.low > 1 or one.ratio.high < 1 else "  open"
        lines.append(f"{one.variant + ' / ' + one.other:44} {one.ratio.value:5.3f}  {one.ratio.low:5.3f} to "
                     f"{one.ratio.high:5.3f}   {' '.join(f'{ratio:.3f}' for ratio in one.of_seeds)}{verdict}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """The command. Raises InputError where nothing can be compared."""
    parser = argparse.ArgumentParser(prog="python -m experiments.pyramids.order", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--workdir", type=Path, default=Path("runs"))
    flags = parser.parse_args(arguments)
    folder = preset_folder(flags.workdir, "pyramids", flags.preset)
    comparisons = compare(read_errors(folder))
    if not comparisons:
        raise InputError(f"{folder}: fewer than two finished rows of one seed have been tested; run more of them")
    print(text(comparisons))


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
