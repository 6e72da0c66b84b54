"""A plan as text and JSON: all stages of a command on a slice, their memory, times, hours, and what hosts must read."""
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from etils import epath

from experiments.engine.command_line import Command
from experiments.planning.chips import GIB, WEAK_SCALING, Slice, all_reduce_seconds, same_chips
from experiments.planning.compiling import Traced, as_numbers, kept, mesh_of, version_of
from experiments.planning.estimate import PARTS, Times, times_of
from experiments.planning.stages import Planned, planned_stages
from kpjax import InputError
from kpjax.files import write_json
from kpjax.reports.table import markdown
from kpjax.training.mesh import check_divisible

LARGEST = 1024  # images of a chip, above which no larger batch is looked for
GUESSES = 3  # of a largest batch, after the second one that is compiled
NOT_MEASURED = "Estimates of compilers and stated rules; nothing here was measured."


@functools.cache
def read_rate() -> float:
    """Returns how many images a second one core reads, as the benchmark measured: JPEG of 640x480 px, at 256 px."""
    return 244.0


def stages_of(command: Command) -> list[Planned]:
    """Returns the stages of all variants of a command, for one seed, those that variants share once."""
    found: list[Planned] = []
    for variant in command.variants:
        for stage in planned_stages(command.job(variant, command.shared.first_seed)):
            if not any(stage.name == other.name and stage.alike(other) for other in found):
                found.append(stage)
    return found


def plan(command: Command, slice_: Slice, *, fit: bool = False, json: Path | None = None) -> dict[str, Any]:
    """Compiles all stages of a command for a slice, prints the plan and returns it as JSON.

    fit: also looks for the largest batch of each stage. json: a file for the numbers, too. Raises InputError for a
    batch that does not divide over the chips, and for a command without a stage that trains.
    """
    system, preset = command.system.name, command.preset
    print(f"{system} {preset} on {slice_.name}: {slice_.chips} chips, {slice_.hosts} host{'s' * (slice_.hosts > 1)}, "
          f"{version_of(slice_.chip.platform)}\n{NOT_MEASURED}", flush=True)
    stages, mesh = stages_of(command), mesh_of(slice_)
    if not stages:
        raise InputError("variants", f"{' '.join(command.variants)} trains nothing; name others")
    folder, records, programs = command.folder / "plan" / slice_.name, [], []
    for stage in stages:
        check_divisible({name: example.image.shape[0] for name, example in stage.streams.items()}, mesh)
    for stage in stages:
        known = next((record for other, record in programs if stage.alike(other)), None)
        if known is None:
            print(f"{stage.name}: {', '.join(sizes_of(stage))}", flush=True)
            known = compiled(folder, stage, slice_, fit)
            programs.append((stage, known))
        records.append(known | {"stage": stage.name, "steps": stage.steps, **of_run(known, slice_, stage.steps)})
    result = {"system": system, "preset": preset, "chips": slice_.name, "settings": command.settings,
              "variants": list(command.variants), "note": NOT_MEASURED, "stages": records}
    for path in (folder / "plan.json", json and epath.Path(json)):
        if path:
            write_json(path, result)
    print("\n" + "\n\n".join(tables(records, slice_)) + f"\n\nnumbers: {folder / 'plan.json'}")
    return result


def sizes_of(stage: Planned) -> list[str]:
    """Returns the batch of each stream in words."""
    return [f"{example.image.shape[0]} images of {name} at {example.image.shape[1]} px"
            for name, example in stage.streams.items()]


def compiled(folder: epath.Path, stage: Planned, slice_: Slice, fit: bool) -> dict[str, Any]:
    """Returns the numbers of a stage, compiled or kept; with `fit` also its largest batch."""
    record = kept(folder, Traced(stage, slice_))
    if not fit:
        return record
    counts = [example.image.shape[0] // slice_.chips for example in stage.streams.values()]
    per_chip, available = sum(counts), record["memory"]["available"]

    def tried(images: float) -> Tried:
        resized = stage.resized(images / per_chip, slice_.chips)
        found = kept(folder, Traced(resized, slice_))
        return Tried(resized.images / slice_.chips, found["memory"]["total"], found["fits"])

    first = Tried(per_chip, record["memory"]["total"], record["fits"])
    largest = largest_batch(tried, first, available, per_chip // math.gcd(*counts))
    return record | {"largest": {"images_per_chip": largest.images, "memory": largest.memory, "available": available}}


class Tried(NamedTuple):
    """A batch that was compiled."""

    images: float  # of a chip, of all streams together
    memory: float  # bytes
    fits: bool


def largest_batch(compiled: Callable[[float], Tried], first: Tried, available: float, unit: int) -> Tried:
    """Finds the largest batch that fits, by lines through the memory of batches that were compiled, and a compilation
    of what they say.

    Where memory is no line of the batch, GUESSES of them are followed at most. Above LARGEST images nothing is tried.

    Args:
        compiled: compiles a batch of so many images a chip.
        first: a batch that was compiled before.
        available: bytes.
        unit: images of the smallest batch whose streams keep their shares; all others are multiples of it.

    Returns the largest of those that were compiled and fit; one without images if none did.
    """
    tried = [first]
    guess = 2.0 * max(first.images, 4) if first.fits else first.images / 2
    for _ in range(1 + GUESSES):
        lower, above = _between(tried)
        guess = max(min(guess, LARGEST) // unit * unit, unit)
        if not lower.images < guess < above:
            break
        tried.append(compiled(guess))
        guess = _on_a_line(tried, available)
    return _between(tried)[0]


def _between(tried: Sequence[Tried]) -> tuple[Tried, float]:
    """Returns the largest batch that fits, and images of the smallest that does not."""
    return (max((one for one in tried if one.fits), default=Tried(0, 0.0, True)),
            min((one.images for one in tried if not one.fits), default=math.inf))


def _on_a_line(tried: Sequence[Tried], available: float) -> float:
    """Returns the images of a batch that takes all memory, by a line through the two that come nearest to it.

    In the middle between what fits and what does not, where a line leads beyond that or there is none: a compiler may
    refuse a batch without a number.
    """
    lower, above = _between(tried)
    known = [one for one in tried if one.fits or one.memory > available]
    near, *others = sorted(known, key=lambda one: abs(one.memory - available)) or [lower]
    slope = (near.memory - others[0].memory) / (near.images - others[0].images) if others else 0.0
    found = near.images + (available - near.memory) / slope if slope > 0 else math.inf
    return (lower.images + above) / 2 if found >= above else found


def of_run(record: Mapping[str, Any], slice_: Slice, steps: int) -> dict[str, Any]:
    """Returns the times of a stage as JSON, with weak scaling; {} where its memory does not suffice."""
    parts = as_numbers(record)
    if not parts:
        return {}
    times = times_of(parts, slice_, images=record["images"], steps=steps, read_rate=read_rate())
    return {"times": asdict(times), "weak_scaling": weak_scaling(record, slice_, times)}


def weak_scaling(record: Mapping[str, Any], slice_: Slice, times: Times) -> list[dict[str, float]]:
    """Returns the time of collectives and the share of a step that is not theirs, with as many images a chip."""
    own = record["parts"].get("collectives", {"seconds": 0.0})["seconds"]
    found = []
    for count in WEAK_SCALING:
        if other := same_chips(slice_.chip, count):
            # The time of each is linear in count and bytes.
            seconds = all_reduce_seconds(other, record["collective_bytes"], record["collectives"])
            found.append({"chips": count, "collectives": seconds,
                          "efficiency": (times.step - own) / (times.step - own + seconds)})
    return found


# Tables


def tables(records: Sequence[Mapping[str, Any]], slice_: Slice) -> list[str]:
    """Returns the plan as tables in Markdown, with a line on what each says."""
    floor = "" if slice_.chip.platform == "tpu" else ", at least"
    whole = [record for record in records if "times" in record]
    found = [markdown(
        ["stage", "steps", "images a step", "GiB a chip: state", "temporaries", "read ahead", "total", "of"],
        [[record["stage"], f"{record['steps']:,}", f"{record['images']:,}", *memory_texts(record["memory"])]
         for record in records])]
    if refused := [record for record in records if not record["fits"]]:
        found.append("\n".join(f"{record['stage']}: does not fit; give a smaller --batch-size, --dtype bfloat16, or "
                               "more chips" for record in refused))
    if whole:
        found += [markdown([f"step{floor}, ms", *PARTS, "all"], [part_texts(record) for record in whole]),
                  markdown(["stage", "floor by arithmetic, ms", "by bandwidth, ms", "of the peak, %",
                            "step / without augmentation", "by a rule, %"], [floor_texts(record) for record in whole]),
                  markdown(["stage", f"images a second and chip{', at most' * bool(floor)}",
                            f"cores of a host that reads them (it has {slice_.chip.host_cores})", f"hours{floor}",
                            f"chip-hours{floor}"], [rate_texts(record) for record in whole] + [sum_texts(whole)]),
                  markdown(["stage", "collectives of a step", "MiB", *(
                      f"{one['chips']} chips, ms (share of a step that is not theirs)"
                      for one in whole[0]["weak_scaling"])], [scaling_texts(record) for record in whole])]
        if gathered := gather_lines(whole):
            found.append("\n".join(gathered))
    if largest := [record for record in records if "largest" in record]:
        found.append(markdown(["stage", "largest batch, images a chip", "GiB"], [
            [record["stage"], largest_text(record["largest"]["images_per_chip"]),
             f"{record['largest']['memory'] / GIB:.2f}"]
            for record in largest]))
    found.append(f"{NOT_MEASURED} Cores: where images are decoded at every step, at {read_rate():.0f} images a second "
                 "each, JPEG of 640x480 px in full.")
    return found


def memory_texts(memory: Mapping[str, float]) -> list[str]:
    return [f"{memory[name] / GIB:.2f}" if name in memory else "" for name in (
        "arguments", "temporaries", "waiting", "total", "available")]


def largest_text(images: float) -> str:
    """Returns the largest batch of a chip in words: above LARGEST none is tried."""
    return f"{images:g}{' or more' * (images >= LARGEST)}"


def part_texts(record: Mapping[str, Any]) -> list[str]:
    parts = record["parts"]
    return [record["stage"], *(f"{1e3 * parts[name]['seconds']:.2f}" if name in parts else "" for name in PARTS),
            f"{1e3 * record['times']['step']:.2f}"]


def floor_texts(record: Mapping[str, Any]) -> list[str]:
    times, ruled = record["times"], sum(part["ruled"] for part in record["parts"].values())
    return [record["stage"], f"{1e3 * times['arithmetic']:.2f}", f"{1e3 * times['bandwidth']:.2f}",
            f"{100 * times['share_of_peak']:.1f}", f"{times['over_network']:.2f}", f"{100 * ruled / times['step']:.0f}"]


def rate_texts(record: Mapping[str, Any]) -> list[str]:
    times = record["times"]
    return [record["stage"], f"{times['images']:,.0f}", f"{times['input_cores']:.0f}", f"{times['hours']:.2f}",
            f"{times['chip_hours']:.1f}"]


def sum_texts(records: Sequence[Mapping[str, Any]]) -> list[str]:
    hours, chip_hours = (sum(record["times"][name] for record in records) for name in ("hours", "chip_hours"))
    return ["all", "", "", f"{hours:.2f}", f"{chip_hours:.1f}"]


def scaling_texts(record: Mapping[str, Any]) -> list[str]:
    return [record["stage"], f"{record['collectives']}", f"{record['collective_bytes'] / 2**20:.1f}", *(
        f"{1e3 * one['collectives']:.2f} ({100 * one['efficiency']:.0f} %)" for one in record["weak_scaling"])]


def gather_lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a line for each stage that fetches single pixels, with the dearest of them."""
    lines = []
    for record in records:
        single = [one for one in record["gathers"] if one["single_pixels"]]
        if single:
            seconds, worst = sum(one["seconds"] for one in single), max(single, key=lambda one: one["seconds"])
            lines.append(f"{record['stage']}: {len(single)} gathers or scatters of single pixels, {1e3 * seconds:.1f} "
                         f"ms by their rule; the dearest, in {worst['part']}: {worst['rows']:,} rows of "
                         f"{worst['numbers']}")
    return lines
