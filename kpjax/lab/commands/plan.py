"""Plans a run on chips that are not there: memory by their compiler, and floors of its times by a roofline.

Command   kpjax plan SYSTEM PRESET --chips v5e-16                    (any preset; its data sets need not be there)
          kpjax plan semi_supervised --project P --chips h100-8      (one's own project)
          kpjax plan regda rhd_h3d --chips v5e-256 --batch-size 8192 --variants regda --fit

Every stage of the chosen variants is compiled for the slice, which takes seconds for small networks and minutes for
large ones. What is compiled is kept, and the same command goes on. All other flags are those of the preset.

--chips NAME-N   the slice: v5e, v5p, v6e, h100 or a100, and its number
--fit            also finds the largest batch of each stage that fits into the memory
--json FILE      the numbers, also as JSON; they always lie in RUNS/SYSTEM/PRESET/plan/NAME-N

No number is measured. A step takes at least what its arithmetic at the peak or its bytes at the bandwidth take,
whichever is longer, and its collectives. Not counted: evaluation, checkpoints, compiling, reading images.
"""
import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import experiments
from kpjax.systems.command_line import Command, over_devices, read_command
from kpjax.systems.parsing import exit_code_of, parse_known
from kpjax.systems.system import OWN, System, system_of
from kpjax.systems.plan.chips import slice_of
from kpjax.systems.plan.plan import COMPILES, compiler_of, environment, plan
from kpjax import InputError, RunError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is planned for; all other flags are those of the preset."""

    chips: str = ""  # the slice, such as v5e-16
    fit: bool = False  # find the largest batch
    json: Path | None = None  # a file for the numbers


def systems() -> list[str]:
    """Returns the names of all systems."""
    return sorted(path.parent.name for path in Path(experiments.__path__[0]).glob("*/presets.py")) + ["supervised"]


def read(arguments: Sequence[str]) -> tuple[Plan, Command]:
    """Reads a command line: a system, a preset or flags of one's own data, and flags.

    Raises InputError in one line for an unknown system, preset, slice, flag or value.
    """
    name, *flags = arguments
    known = systems()
    if name not in known:
        raise InputError("plan", f"{name!r} is not a system; there are {', '.join(known)}")
    asked, rest = parse_known(Plan, flags, prog="kpjax plan")
    if not asked.chips:
        raise InputError("chips", "name the slice to plan for, such as v5e-16 or h100-8")
    slice_ = slice_of(asked.chips)
    preset, *more = rest if rest and not rest[0].startswith("-") else [OWN, *rest]
    command = read_command(system(name, preset), [preset, *more])
    compiler_of(slice_.chip.platform)
    return asked, over_devices(command, slice_.chips)


def system(name: str, preset: str) -> System:
    """Returns the system of a preset. Raises InputError where it has none for one's own data."""
    try:
        return system_of(name, preset)
    except ModuleNotFoundError:
        raise InputError("plan", f"{name}: name a preset, too") from None


def main(arguments: Sequence[str]) -> Any:
    """Plans what a command line asks for; in a process of its own, in which the compiler finds its variables.

    Returns the plan as JSON in that process. Raises InputError in one line, and RunError where the compiler failed.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        if not arguments:
            raise InputError("kpjax plan: name a system and a preset")
        raise SystemExit(0)
    if COMPILES in os.environ:
        asked, command = read(arguments)
        return plan(command, slice_of(asked.chips), fit=asked.fit, json=asked.json)
    with contextlib.redirect_stdout(io.StringIO()):  # what is chosen is printed by the other process
        slice_ = slice_of(read(arguments)[0].chips)
    root = os.pathsep.join(filter(None, (str(Path(experiments.__path__[0]).parent), os.environ.get("PYTHONPATH"))))
    done = subprocess.run([sys.executable, "-m", "kpjax.lab.commands.plan", *arguments],
                          env=os.environ | environment(slice_.chip.platform) | {"PYTHONPATH": root}, check=False)
    if done.returncode < 0:
        raise RunError(f"the compiler was ended by signal {-done.returncode}, as for want of this machine's memory; "
                       "what was compiled is kept, and the same command goes on")
    if done.returncode:
        raise SystemExit(done.returncode)
    return None


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
