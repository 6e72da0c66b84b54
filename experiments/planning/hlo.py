"""Compiled programs as text: operations, what they move, who asked for them, and the compiler's estimates.

XLA prints a program as computations of operations, one a line. Behind a step's operations stand `op_name`, the path of
transforms and layers, and the number of a stack frame, by which files and functions of Python are known. The compiler
of TPUs adds `estimated_cycles` to most operations. Computations that a fusion calls are parts of it and count no
further.
"""
import functools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

SIZES = {"pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s32": 4, "u32": 4,
         "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "f8e4m3fn": 1, "f8e5m2": 1}  # bytes of a number
# Operations that move nothing themselves.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id",
        "opt-barrier", "iota", "while", "conditional", "call"}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all")
BY_ROWS = ("gather", "scatter")
PIXEL = 32  # numbers that one pixel of an image or of heatmaps has at most; longer rows are pieces of lines
SHORT = 128  # numbers, below which a row does not fill a line of a tile
TILE = 1024  # numbers: what a TPU's vector memory holds together


class Frame(NamedTuple):
    """A line of Python that asked for an operation."""

    file: str
    function: str


class Array(NamedTuple):
    """An array in a program."""

    dtype: str
    shape: tuple[int, ...]
    near: bool  # whether it lies in the chip's own memory, so that nothing of it crosses to the large one

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> float:
        """What crosses to and from the large memory."""
        return 0.0 if self.near else self.numbers * SIZES.get(self.dtype, 4)


@dataclass(frozen=True)
class Operation:
    """One line of a computation."""

    name: str
    kind: str  # such as fusion, copy, all-reduce-start
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    literal: str = field(repr=False)  # what stands between the brackets: operands, or the value of a constant
    attributes: str = field(repr=False)

    @functools.cached_property
    def path(self) -> str:
        """Transforms and layers, such as jit(step)/transpose(jvp(Net))/conv1/conv_general_dilated; "" if none."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""

    @functools.cached_property
    def frame(self) -> int:
        """The number of the innermost stack frame, from 1; 0 if none."""
        found = re.search(r"stack_frame_id=(\d+)", self.attributes)
        return int(found[1]) if found else 0

    @functools.cached_property
    def cycles(self) -> int | None:
        """The compiler's estimate; None without one."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        return int(found[1]) if found else None

    @functools.cached_property
    def called(self) -> tuple[str, ...]:
        """Names of the computations that it calls."""
        found = re.findall(r"(?:calls|body|condition|to_apply|true_computation|false_computation)=%?([\w.\-]+)",
                           self.attributes)
        branches = re.search(r"branch_computations=\{([^}]*)\}", self.attributes)
        return (*found, *(re.findall(r"[\w.\-]+", branches[1]) if branches else ()))

    @property
    def collective(self) -> bool:
        """Whether it exchanges data between chips; the end of one that was started before does not count again."""
        return self.kind in COLLECTIVES or self.kind.removesuffix("-start") in COLLECTIVES


@dataclass(frozen=True)
class Program:
    """A compiled program."""

    computations: Mapping[str, Mapping[str, Operation]]  # by name, in the order of the schedule
    entry: str
    stacks: Mapping[int, tuple[Frame, ...]] = field(repr=False)  # by number, the outermost first

    def executed(self, computation: str = "", times: int = 1) -> Iterator[tuple[Operation, str, int]]:
        """Yields the operations that run one after another, with their computation, and how often each runs.

        Bodies of loops are repeated, see `trips`. Of the branches of a condition all are counted.
        """
        computation = computation or self.entry
        for operation in self.computations[computation].values():
            yield operation, computation, times
            if operation.kind in ("while", "call", "conditional", "async-start"):
                for name in operation.called:
                    yield from self.executed(name, times * self.trips(operation, computation))

    def trips(self, operation: Operation, computation: str = "") -> int:
        """Returns how often the body of a loop runs: as XLA notes it, or the number that its counter is compared with.

        Where neither is there, data decide; then it runs as if its counter ended at 1: once from 0, and from 1, where
        the first turn stands before the loop, not at all. 1 for what is no loop.
        """
        if operation.kind != "while":
            return 1
        if found := re.search(r'known_trip_count":\{"n":"(\d+)"', operation.attributes):
            return int(found[1])
        condition = re.search(r"condition=%?([\w.\-]+)", operation.attributes)
        inside = self.computations.get(condition[1], {}) if condition else {}
        compared = [[inside[name] for name in one.operands if name in inside] for one in inside.values()
                    if "direction=LT" in one.attributes]
        limits = [one.literal for pair in compared for one in pair if one.kind == "constant"]
        if len(limits) == 1 and limits[0].isdigit():
            return int(limits[0])
        places = [re.search(r"index=(\d+)", pair[0].attributes) for pair in compared if pair]
        start = self._given(operation, computation, int(places[0][1])) if len(places) == 1 and places[0] else None
        return 0 if start and start.literal == "1" else 1

    def _given(self, loop: Operation, computation: str, place: int) -> Operation | None:
        """Returns the operation whose result a loop is given at a place of its tuple, behind all copies of it."""
        known = self.computations.get(computation, {})
        found = known.get(loop.operands[0])
        while found and (found.kind == "tuple" or found.kind.startswith("copy")):
            found = known.get(found.operands[place if found.kind == "tuple" else 0])
        return found

    def parts_of(self, operation: Operation) -> Iterator[Operation]:
        """Yields the operations of the fusion that an operation is, or the operation itself."""
        if operation.kind != "fusion":
            yield operation
        for name in operation.called if operation.kind == "fusion" else ():
            for part in self.computations[name].values():
                yield from self.parts_of(part)

    def moved(self, operation: Operation, computation: str) -> float:
        """Returns the bytes that an operation reads from and writes to the large memory, each operand once."""
        if operation.kind in FREE or operation.kind.endswith("-done"):
            return 0.0
        written = sum(array.bytes for array in operation.results)
        if operation.kind.endswith("-start"):  # its result holds the operands, too
            return written
        if operation.kind in ("gather", "slice", "dynamic-slice"):
            return 2 * written
        known = self.computations[computation]
        return written + sum(array.bytes for name in operation.operands if name in known
                             for array in known[name].results)

    def files(self, operation: Operation) -> tuple[Frame, ...]:
        """Returns the stack of an operation, the outermost first; () if it is not known."""
        return self.stacks.get(operation.frame, ())


_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\](?:\{([^{}]*)\})?")
_NAME = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = ")
_HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")


def arrays_of(text: str) -> tuple[Array, ...]:
    """Reads the type of a result, an array or a tuple of them."""
    return tuple(Array(dtype, tuple(int(one) for one in shape.split(",") if one),
                       bool(re.search(r"S\([1-9]", layout or "")))
                 for dtype, shape, layout in _ARRAY.findall(text))


def _closing(text: str, start: int) -> int:
    """Returns the position behind the bracket that closes the one at `start`."""
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == "(") - (text[position] == ")")
        if not depth:
            return position + 1
    raise ValueError(f"no closing bracket in {text[start:start + 80]!r}")


def _operation(line: str) -> Operation | None:
    named = _NAME.match(line)
    if not named:
        return None
    at = named.end()
    end = _closing(line, at) if line[at] == "(" else line.index(" ", at)
    kind = re.compile(r" ([\w\-]+)\(").match(line, end)
    if not kind:
        return None
    close = _closing(line, kind.end() - 1)
    literal = line[kind.end():close - 1]
    return Operation(named[1], kind[1], arrays_of(line[at:end]), tuple(re.findall(r"%([\w.\-]+)", literal)), literal,
                     line[close:])


def _numbered(text: str, title: str) -> dict[int, str]:
    """Reads a table of numbered lines that stands under a title."""
    found = re.search(rf"^{title}\n((?:\d+ .*\n)*)", text, re.M)
    return {int(number): rest for number, _, rest in
            (line.partition(" ") for line in found[1].splitlines())} if found else {}


def _stacks(text: str) -> dict[int, tuple[Frame, ...]]:
    names, functions = ({number: name.strip('"') for number, name in _numbered(text, title).items()}
                        for title in ("FileNames", "FunctionNames"))
    places = {number: tuple(map(int, re.search(r"file_name_id=(\d+) function_name_id=(\d+)", line).groups()))
              for number, line in _numbered(text, "FileLocations").items()}
    # The parent's number is stored with one added; 0 stands for none.
    frames = {number: tuple(map(int, re.search(r"file_location_id=(\d+) parent_frame_id=(\d+)", line).groups()))
              for number, line in _numbered(text, "StackFrames").items()}
    stacks: dict[int, tuple[Frame, ...]] = {}
    for number in sorted(frames):
        place, above = frames[number]
        file, function = places[place]
        stacks[number] = (*stacks.get(above - 1, ()), Frame(names[file], functions[function]))
    return stacks


def read_program(text: str) -> Program:
    """Reads a compiled program as `Compiled.as_text` prints it. Raises ValueError for a text without an entry."""
    computations: dict[str, dict[str, Operation]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if current is None and (head := _HEAD.match(line)):
            current = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (operation := _operation(line)):
            current[operation.name] = operation
    if not entry:
        raise ValueError("the text has no entry computation; give what Compiled.as_text returns")
    return Program(computations, entry, _stacks(text))


class Rows(NamedTuple):
    """A gather or scatter: how many rows it fetches or writes one by one, and how long they are."""

    kind: str
    rows: int
    numbers: int  # of a row
    itemsize: float

    def single(self, pixels: int) -> bool:
        """Returns whether it moves as many short rows as there are `pixels`, as a warp that fetches each alone."""
        return self.numbers <= PIXEL and self.rows >= pixels


def rows_of(program: Program, computation: str, operation: Operation) -> Rows | None:
    """Returns the rows of a gather or scatter of a computation; None of any other operation."""
    if operation.kind not in BY_ROWS:
        return None
    known = program.computations[computation]
    moved = operation.results[0] if operation.kind == "gather" else None
    if moved is None:  # a scatter's updates are its last operand
        last = known.get(operation.operands[-1])
        moved = last.results[0] if last else operation.results[0]
        window = re.search(r"update_window_dims=\{([\d,]*)\}", operation.attributes)
        kept = [moved.shape[int(one)] for one in window[1].split(",") if one] if window else []
    else:
        sizes = re.search(r"slice_sizes=\{([\d,]*)\}", operation.attributes)
        kept = [int(one) for one in sizes[1].split(",") if one] if sizes else []
    numbers = max(math.prod(kept), 1)
    return Rows(operation.kind, max(moved.numbers // numbers, 1), numbers, SIZES.get(moved.dtype, 4))
