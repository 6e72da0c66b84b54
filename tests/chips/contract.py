"""The contract of every method on chips: compiled for them, and nothing dear beside the network.

    python tests/chips/contract.py v5e-4 h100-8                    all methods, for both compilers
    python tests/chips/contract.py v5e-4 --methods supervised_learning.supervised

The compilers are the dependency group `chips`. Each method takes seconds to minutes; a line is printed for each, and
the exit code is 1 if one breaks a rule. Methods have the contract's smallest parts, and its batch on every chip. No
map may be fetched pixel by pixel on TPUs; graphics processors do that well.
"""
import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "methods")]

from experiments.planning.chips import Slice, slice_of
from experiments.planning.compiling import COMPILES, compiler_of, environment

NETWORK = ("forward", "backward", "collectives")
DEAREST = 0.25  # share of a step that one operation outside the network may take
MEMORY = 64 * 2**20  # bytes of one chip, at the contract's sizes


def child_environment(platform: str) -> dict[str, str]:
    """Returns the variables of a process that compiles: without those by which tests compile less."""
    found = {name: value for name, value in os.environ.items() if name != "JAX_DISABLE_MOST_OPTIMIZATIONS"}
    return found | environment(platform)


def broken_rules(record: dict[str, Any], platform: str) -> list[str]:
    """Returns what a compiled method breaks on a platform, a line each."""
    if "parts" not in record:
        return [f"does not fit: {record['reason']}"]
    step = sum(part["seconds"] for part in record["parts"].values())
    found = [f"{one['kind']} of {one['rows']:,} rows of {one['numbers']} numbers: {one['path']}"
             for one in record["gathers"] if one["single_pixels"] and platform == "tpu"]
    found += [f"{one['seconds'] / step:.0%} of the step is one operation outside the network: {one['part']}, "
              f"{one['path']}" for one in record["dearest"]
              if one["part"] not in NETWORK and one["seconds"] > DEAREST * step]
    if record["memory"]["total"] > MEMORY:
        found.append(f"{record['memory']['total'] / 2**20:.0f} MiB, above {MEMORY / 2**20:.0f}")
    return found


def compiled(name: str, slice_: Slice) -> dict[str, Any]:
    """Compiles a method of the contract for a slice and returns its numbers."""
    import jax
    import tiny_parts

    from experiments.planning.compiling import Traced, compile_stage
    from experiments.planning.stages import Planned, shapes_of, state_of

    method = tiny_parts.build(tiny_parts.factories()[name])
    streams = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((leaf.shape[0] * slice_.chips, *leaf.shape[1:]), leaf.dtype),
        tiny_parts.streams_of(method))
    start = shapes_of(tiny_parts.start())
    return compile_stage(Traced(Planned(name, method, streams, start, 1, state_of(method, streams, start)), slice_))


def check(slice_: Slice, names: list[str]) -> int:
    """Compiles methods for a slice and prints a line for each; returns how many break a rule. In a child's process."""
    import tiny_parts

    broken = 0
    for name in names or sorted(tiny_parts.factories()):
        record = compiled(name, slice_)
        rules = broken_rules(record, slice_.chip.platform)
        broken += bool(rules)
        print(f"{slice_.name} {name}: {'; '.join(rules) or 'kept'} ({record['compile_seconds']:.0f} s)", flush=True)
    return broken


def main() -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chips", nargs="+", type=slice_of)
    parser.add_argument("--methods", nargs="*", default=[])
    asked = parser.parse_args()
    if COMPILES in os.environ:
        return min(sum(check(slice_, asked.methods) for slice_ in asked.chips), 1)
    codes = []
    for slice_ in asked.chips:
        compiler_of(slice_.chip.platform)
        command = [sys.executable, __file__, slice_.name, *(["--methods", *asked.methods] if asked.methods else [])]
        codes.append(subprocess.run(command, env=child_environment(slice_.chip.platform), check=False).returncode)
    return max(map(abs, codes))


if __name__ == "__main__":
    raise SystemExit(main())
