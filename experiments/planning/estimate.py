"""Costs of a compiled step by part: the compiler's cycles where it gives them, stated rules where it does not.

Rules, each for operations without an estimate:
    gather, scatter   rows x the bytes that the TPU's cost analysis counts for each: a tile of 1,024 numbers, and 16 of
                      them for rows of 2 to 127 numbers; on a graphics processor 32 bytes a row, at least
    collectives       `chips.all_reduce_seconds`, as if nothing else ran beside them
    copies and slices that are started ahead    nothing: they run beside others
    all others        bytes over the bandwidth
The compiler of graphics processors estimates no time at all. There a part takes what its bytes or its arithmetic take
at the least, whichever is longer, so that the sum is a floor.
"""
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from experiments.planning.chips import Slice, all_reduce_seconds
from experiments.planning.hlo import SHORT, TILE, Frame, Operation, Program, Rows, rows_of

PARTS = ("input", "augmentation", "forward", "backward", "terms", "optimizer", "collectives", "other")
NETWORK = ("input", "forward", "backward", "terms", "optimizer", "collectives")  # a step without augmentation
SECTOR = 32  # bytes that a graphics processor reads together


def part_of(path: str, stack: tuple[Frame, ...]) -> str:
    """Returns the part of a step that asked for an operation: one of PARTS; "" if nothing is known of it.

    The network's layers are forward, and backward where a derivative passes through them. `terms` is all else that the
    method computes: heatmaps, losses, and derivatives of these.
    """
    for frame in stack:
        file = frame.file
        if "/kpjax/augment/" in file or file.endswith(("/view_pairs.py", "/easy_hard_views.py")):
            return "augmentation"
        if frame.function in ("unit_range", "imagenet_normalise", "symmetric_normalise"):
            return "input"
        if file.endswith("/kpjax/optimization.py") or "/optax/" in file:
            return "optimizer"
    if any("/kpjax/models/" in frame.file for frame in stack):
        return "backward" if "transpose(" in path or "rematted" in path else "forward"
    if any("/kpjax/" in frame.file and "/kpjax/training/" not in frame.file for frame in stack):
        return "terms"
    return "other" if stack else ""


def row_seconds(rows: Rows, slice_: Slice) -> float:
    """Computes the time of a gather or scatter by its rule."""
    if slice_.chip.platform == "tpu":
        tiles = 16 if 1 < rows.numbers < SHORT else math.ceil(rows.numbers / TILE)
        of_row = TILE * rows.itemsize * tiles
    else:
        of_row = SECTOR * math.ceil(rows.numbers * rows.itemsize / SECTOR)
    return rows.rows * of_row / slice_.chip.bandwidth


@dataclass
class Part:
    """What operations of one part cost on one chip."""

    seconds: float = 0.0  # of the compiler's cycles and of rules
    ruled: float = 0.0  # seconds of these that are by a rule
    bytes: float = 0.0
    flops: float = 0.0  # of products, counted from the traced step
    operations: int = 0


@dataclass
class Gathering:
    """A gather or scatter, for the list of what fetches rows one by one."""

    path: str
    part: str
    kind: str
    rows: int
    numbers: int
    times: int
    seconds: float
    single_pixels: bool


@dataclass
class Dear:
    """One of the operations that take longest."""

    path: str
    part: str
    kind: str
    seconds: float  # all times that it runs


DEAREST = 20  # operations that are listed


@dataclass
class Costs:
    """What a compiled step costs on one chip, as its text says."""

    parts: dict[str, Part] = field(default_factory=dict)
    gathers: list[Gathering] = field(default_factory=list)
    collectives: int = 0
    collective_bytes: float = 0.0
    sorts: int = 0
    dearest: list[Dear] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def costs_of(program: Program, slice_: Slice, flops: Mapping[str, float], pixels: int) -> Costs:
    """Adds up what the operations of a step cost, by part.

    flops: of each part, on one chip. pixels: of the smallest maps of one chip, from which on rows count as single
    pixels.
    """
    parts: dict[str, Part] = defaultdict(Part)
    for name, count in flops.items():
        parts[name].flops += count
    found, chip = Costs(), slice_.chip
    asked = _origins(program)
    for operation, computation, times in program.executed():
        moved = times * program.moved(operation, computation)
        rows = [one for one in (rows_of(program, inside, part) for part, inside in _inside(program, operation,
                                                                                          computation)) if one]
        ruled = True
        if operation.collective:
            part, size = "collectives", sum(one.numbers * 4 for one in _sent(operation))
            seconds = all_reduce_seconds(slice_, size)
            found.collectives += times
            found.collective_bytes += times * size
        else:
            part = asked.get((computation, operation.name), "other")
            found.sorts += times * (operation.kind == "sort")
            if operation.cycles is not None:
                seconds, ruled = operation.cycles / chip.clock, False
            elif rows:
                seconds = sum(row_seconds(one, slice_) for one in rows)
            elif operation.kind.startswith(("copy-", "slice-")):
                seconds = 0.0  # runs beside others
            else:
                seconds = moved / times / chip.bandwidth if times else 0.0
        for one in rows:
            found.gathers.append(Gathering(operation.path or "?", part, one.kind, one.rows, one.numbers, times,
                                           times * row_seconds(one, slice_), one.single(pixels)))
        if seconds or moved:
            of_part = parts[part]
            of_part.seconds += times * seconds
            of_part.ruled += times * seconds * ruled
            of_part.bytes += moved
            of_part.operations += times
            found.dearest.append(Dear(operation.path or operation.name, part, operation.kind, times * seconds))
    if chip.platform == "cuda":
        for name, of_part in parts.items():
            if name != "collectives":
                of_part.seconds = of_part.ruled = max(of_part.seconds, of_part.flops / chip.peak)
    found.dearest = sorted(found.dearest, key=lambda one: -one.seconds)[:DEAREST]
    found.parts = {name: parts[name] for name in PARTS if name in parts}
    return found


def _sent(operation: Operation):
    """Returns the arrays of a collective; the start of one has operands and results beside each other."""
    results = operation.results
    return results[len(results) // 2:] if operation.kind == "all-gather-start" else results


def _inside(program: Program, operation: Operation, computation: str):
    """Yields an operation, or those of the fusion that it is, with their computation."""
    if operation.kind != "fusion":
        yield operation, computation
        return
    for name in operation.called:
        for part in program.computations.get(name, {}).values():
            yield from _inside(program, part, name)


def _origins(program: Program) -> dict[tuple[str, str], str]:
    """Returns the part of every operation that runs.

    One that XLA has added, such as a copy to another layout, belongs to the part of its operand, or of its first user.
    """
    parts: dict[tuple[str, str], str] = {}
    unknown = []
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for operation, computation, _ in program.executed():
        place = computation, operation.name
        part = part_of(operation.path, program.files(operation))
        if not part and operation.kind == "fusion":
            votes = Counter(filter(None, (part_of(one.path, program.files(one))
                                          for one in program.parts_of(operation))))
            part = votes.most_common(1)[0][0] if votes else ""
        if part:
            parts[place] = part
        else:
            unknown.append((place, operation.operands))
        for name in operation.operands:
            users[computation, name].append(operation.name)
    for place, operands in unknown:
        parts.setdefault(place, next((parts[place[0], name] for name in operands if (place[0], name) in parts), ""))
    for place, _ in reversed(unknown):
        if not parts[place]:
            parts[place] = next((part for name in users[place] if (part := parts.get((place[0], name)))), "other")
    return parts


@dataclass(frozen=True)
class Times:
    """Times of a step, and what follows from them."""

    step: float  # s
    arithmetic: float  # s, products at the peak
    bandwidth: float  # s, bytes at the bandwidth
    share_of_peak: float
    over_network: float  # the step over the same without augmentation
    images: float  # a second and chip
    input_cores: float  # of one host, that decode what its chips read
    hours: float  # of all steps
    chip_hours: float


def times_of(parts: Mapping[str, Part], slice_: Slice, *, images: int, steps: int, read_rate: float) -> Times:
    """Computes times of a step and of its run. images: of a step, on all chips. read_rate: images a second and core."""
    step = sum(part.seconds for part in parts.values())
    flops, size = (sum(getattr(part, name) for part in parts.values()) for name in ("flops", "bytes"))
    without = step - parts["augmentation"].seconds if "augmentation" in parts else step
    rate = images / slice_.chips / step if step else 0.0
    return Times(step, flops / slice_.chip.peak, size / slice_.chip.bandwidth,
                 flops / slice_.chip.peak / step if step else 0.0, step / without if without else math.inf, rate,
                 rate * min(slice_.chips, slice_.chip.host_chips) / read_rate, steps * step / 3600,
                 steps * step / 3600 * slice_.chips)
