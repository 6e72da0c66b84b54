"""The contract of every method on chips: compiled for them within a memory, and no map fetched pixel by pixel on TPUs.

    python tests/chips/contract.py v5e-4 h100-8                    all methods, for both compilers
    python tests/chips/contract.py v5e-4 --methods supervised_learning.supervised

The compilers are the dependency group `chips`. Each method takes seconds to minutes; a line is printed for each, and
the exit code is 1 if one breaks a rule. Methods have the contract's smallest parts, and its batch on every chip.
"""
import argparse
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "methods")]

from kpjax.training.chips import Slice, slice_of
from kpjax.training.planning import COMPILES, Planned, compile_stage, compiler_of, environment, key_shape, mesh_of

MEMORY = 64 * 2**20  # bytes of one chip, at the contract's sizes
PIXEL = 32  # numbers that one pixel of an image or of heatmaps has at most; longer rows are pieces of lines
COLLECTIVE = re.compile(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")
GATHER = re.compile(r"stablehlo\.gather.*slice_sizes = array<i64: ([\d, ]+)>.* -> tensor<([\dx]+)x[a-z]")


def child_environment(platform: str) -> dict[str, str]:
    """Returns the variables of a process that compiles: without those by which tests compile less."""
    found = {name: value for name, value in os.environ.items() if name != "JAX_DISABLE_MOST_OPTIMIZATIONS"}
    return found | environment(platform)


def fetched_alone(text: str, pixels: int) -> list[str]:
    """Returns a line for each gather of a lowered step that fetches `pixels` or more short rows, each alone."""
    found = []
    for sizes, shape in GATHER.findall(text):
        row = math.prod(map(int, sizes.split(", ")))
        rows = math.prod(map(int, shape.split("x"))) // row
        if row <= PIXEL and rows >= pixels:
            found.append(f"gather of {rows:,} rows of {row} numbers")
    return found


def broken_rules(name: str, slice_: Slice) -> list[str]:
    """Compiles a method of the contract for a slice and returns what it breaks, a line each."""
    import jax
    import tiny_parts

    from kpjax.training.fit import _compiled_update, compiled_update
    from kpjax.training.mesh import DATA, mesh_of as mesh_of_runs
    from kpjax.training.side_by_side import RUN

    def shapes(tree: Any, times: int = 1) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(
            (leaf.shape[0] * times, *leaf.shape[1:]) if times > 1 else leaf.shape, leaf.dtype), tree)

    method = tiny_parts.build(tiny_parts.factories()[name])
    streams = shapes(tiny_parts.streams_of(method), slice_.chips)
    state = jax.eval_shape(method.init, key_shape(), streams, tiny_parts.start())
    lowered = compiled_update(method.update, mesh_of(slice_))[0].lower(state, streams, key_shape())
    record = compile_stage(lowered, Planned(name, method, streams, 1, state), slice_)
    if "reason" in record:
        return [f"does not fit: {record['reason']}"]
    pixels = min(example.image.shape[0] * (example.image.shape[1] // 4) ** 2 for example in streams.values())
    found = fetched_alone(lowered.as_text(), pixels) if slice_.chip.platform == "tpu" else []
    if record["memory"]["total"] > MEMORY:
        found.append(f"{record['memory']['total'] / 2**20:.0f} MiB, above {MEMORY / 2**20:.0f}")
    # A run on each chip: its step waits for no other, and takes the memory of one.
    beside = mesh_of_runs(mesh_of(slice_).devices[:, None], RUN, DATA)
    compiled = _compiled_update(method.update, beside)[0].lower(
        state, shapes(tiny_parts.streams_of(method)), key_shape()).compile()
    found += [f"side by side: {one}" for one in sorted(set(COLLECTIVE.findall(compiled.as_text())))]
    held = compiled.memory_analysis()
    if held.argument_size_in_bytes + held.temp_size_in_bytes > MEMORY:
        found.append("side by side: a chip holds more than one run")
    return found


def check(slice_: Slice, names: list[str]) -> int:
    """Compiles methods for a slice and prints a line for each; returns how many break a rule. In a child's process."""
    import tiny_parts

    broken = 0
    for name in names or sorted(tiny_parts.factories()):
        rules = broken_rules(name, slice_)
        broken += bool(rules)
        print(f"{slice_.name} {name}: {'; '.join(rules) or 'kept'}", flush=True)
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
