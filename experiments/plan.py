"""Plans a run on chips that are not there: memory by their compiler, and floors of its times by a roofline.

Command   python -m experiments plan SYSTEM PRESET --chips v5e-16       (any preset; its data sets need not be there)
          kpjax plan semi_supervised --project P --chips h100-8      (one's own project)
          python -m experiments plan regda rhd_h3d --chips v5e-256 --batch-size 8192 --variants regda --fit

Every stage of the chosen variants is compiled for the slice, which takes seconds for small networks and minutes for
large ones. What is compiled is kept, and the same command goes on. All other flags are those of the preset.

--chips NAME-N   the slice: v5e, v5p, v6e, h100 or a100, and its number
--fit            also finds the largest batch of each stage that fits into the memory
--json FILE      the numbers, also as JSON; they always lie in RUNS/SYSTEM/PRESET/plan/NAME-N

No number is measured. A step takes at least what its arithmetic at the peak or its bytes at the bandwidth take,
whichever is longer, and its collectives. Not counted: evaluation, checkpoints, compiling, reading images.
"""
import sys
from collections.abc import Sequence
from typing import Any

from experiments import system_of
from kpjax.systems.parsing import exit_code_of
from kpjax.systems.plan import command


def main(arguments: Sequence[str]) -> Any:
    """Plans a preset, as `kpjax.systems.plan.command.main` does."""
    return command.main(arguments, system_of=system_of, program="python -m experiments plan",
                        module="experiments.plan", usage=__doc__)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
