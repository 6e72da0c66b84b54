"""Plans a run on chips that are not there: memory by their compiler, and floors of its times by a roofline.

Command   kpjax plan semi_supervised --project P --chips h100-8      (one's own project)

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

from kpjax.lab.own.systems import own_system
from kpjax.systems.parsing import exit_code_of
from kpjax.systems.plan import command
from kpjax.systems.system import OWN


def main(arguments: Sequence[str]) -> Any:
    """Plans a run on a person's own project, as `kpjax.systems.plan.command.main` does."""
    return command.main(arguments, system_of=own_system, program="kpjax plan", module="kpjax.lab.commands.plan",
                        usage=__doc__, preset=OWN)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
