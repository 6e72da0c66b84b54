"""The command line of a plan, of a run on chips that are not there: memory by their compiler, times by a roofline.

Command   python -m experiments plan SYSTEM PRESET --chips v5e-16       (any preset; its data sets need not be there)
          kpjax plan semi_supervised --project P --chips h100-8      (one's own project)
          python -m experiments plan regda rhd_h3d --chips v5e-256 --batch-size 8192 --variants regda

Every stage of the chosen variants is compiled for the slice, which takes seconds for small networks and minutes for
large ones. All other flags are those of the preset.

--chips NAME-N is the slice: v5e, v5p, v6e, h100 or a100, and its number. The numbers also lie in
RUNS/SYSTEM/PRESET/plan/NAME-N/plan.json.

No number is measured. A step takes at least what its arithmetic at the peak or its bytes at the bandwidth take,
whichever is longer, and its collectives. Not counted: evaluation, checkpoints, compiling, reading images. The compiler
runs in a process of its own.
"""
import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kpjax import InputError, RunError
from kpjax.systems.command_line import Command, over_devices, read_command, taken
from kpjax.systems.plan.plan import COMPILES, compiler_of, environment, plan
from kpjax.systems.system import System
from kpjax.training.chips import Slice, slice_of


def read(arguments: Sequence[str], system_of: Callable[[str], System], preset: str) -> tuple[Slice, Command]:
    """Reads a command line: a system, a preset where `preset` is empty, and flags.

    Raises InputError in one line for an unknown system, preset, slice, flag or value.
    """
    name, *flags = arguments
    system = system_of(name)
    chips, rest = taken(flags, "--chips")
    if not chips:
        raise InputError("chips", "name the slice to plan for, such as v5e-16 or h100-8")
    slice_ = slice_of(chips)
    command = read_command(system, [preset, *rest] if preset else rest)
    compiler_of(slice_.chip.platform)
    command = over_devices(command, slice_.chips)
    if command.shared.side_by_side:
        each = max(slice_.chips // len(command.seeds), 1)
        print(f"{min(len(command.seeds), slice_.chips)} seeds at a time on {slice_.name}, each as planned here")
        slice_ = slice_of(f"{slice_.chip.name}-{each}")
    return slice_, command


def main(arguments: Sequence[str], *, system_of: Callable[[str], System], program: str, module: str, preset: str = ""
         ) -> Any:
    """Plans what a command line asks for; in a process of its own, in which the compiler finds its variables.

    system_of: a system by its name. program: as it was typed. module: runs the same command line. preset: the only one.
    Returns the plan as JSON in that process. Raises InputError in one line, and RunError where the compiler failed.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        if not arguments:
            raise InputError(f"{program}: name a system" + " and a preset" * (not preset))
        raise SystemExit(0)
    if COMPILES in os.environ:
        slice_, command = read(arguments, system_of, preset)
        return plan(command, slice_)
    with contextlib.redirect_stdout(io.StringIO()):  # what is chosen is printed by the other process
        slice_, _ = read(arguments, system_of, preset)
    done = subprocess.run([sys.executable, "-m", module, *arguments],
                          env=os.environ | environment(slice_.chip.platform), check=False)
    if done.returncode < 0:
        raise RunError(f"the compiler was ended by signal {-done.returncode}, as for want of this machine's memory; "
                       "name fewer --variants, or plan on a larger machine")
    if done.returncode:
        raise SystemExit(done.returncode)
    return None
