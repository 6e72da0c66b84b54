"""Plans a run on chips that are not at hand: memory by their compiler, times by a roofline and by
the compiler's cycles.

Command   python -m experiments plan SYSTEM PRESET --chips v5e-16       (any preset; its data sets need not be there)
          kpjax plan semi_supervised --project P --chips h100-8      (one's own project)
          python -m experiments plan regda rhd_h3d --chips v5e-256 --batch-size 8192 --variants
          regda

Every stage of the chosen variants is compiled for the slice, which takes seconds for small networks
and minutes for large ones; its numbers are printed as soon as they are there. A program that was
compiled before is not compiled again. All other flags are those of the preset.

--chips NAME-N is the slice: v5e, v5p, v6e, tpu7x, h100, h200, b200 or a100, and its number; 2xv5e-16
are two slices. --stage NAME plans that stage alone. The numbers are also in
RUNS/SYSTEM/PRESET/plan/NAME-N/plan.json.

No number is measured. The estimate of a step is what its arithmetic at the peak or its bytes at the
bandwidth take, whichever is longer, and its collectives; beside it stands the sum of the cycles that
a TPU's compiler gives its operations. Where a chip gets few images, the longest stage is compiled
for one chip, too: a seed on each is often the better use of them. Not counted: evaluation,
checkpoints, compiling, reading images, and the small network that finds several animals. The
compiler runs in a process of its own.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from kpjax import InputError, Method, RunError, Trained
from kpjax.files import make_folder, write_json
from kpjax.input.source import stack_examples
from kpjax.input.stream import BatchStream
from kpjax.papers.command_line import Command, over_devices, read_command, take_flag
from kpjax.papers.engine import Experiment, Job, variant_of
from kpjax.papers.parsing import flags_in_messages
from kpjax.training import planning
from kpjax.training.chips import GIB, Slice, slice_of
from kpjax.training.fit import Evaluation, Fitted
from kpjax.training.mesh import check_divisible
from kpjax.training.planning import COMPILES, Planned, compiler_of

NOT_MEASURED = (
    "Memory and cycles are the compiler's estimates, times are ours; nothing here was measured."
)
FEW = 32  # images of a stream on a device, below which its compiler pads and its collectives wait

# The command


@flags_in_messages({"chips": "--chips"})
def read(
    arguments: Sequence[str], experiment_of: Callable[[str], Experiment], preset: str
) -> tuple[Slice, Command, Sequence[str]]:
    """Reads a command line: a system, a preset where `preset` is empty, and flags. Returns the
    stages that were named, too.

    Raises InputError in one line for an unknown system, preset, slice, flag or value.
    """
    name, *flags = arguments
    experiment = experiment_of(name)
    chips, rest = take_flag(flags, "--chips")
    if not any(chips):
        raise InputError("chips", "name the slice to plan for, such as v5e-16 or h100-8")
    slice_ = slice_of(chips[-1])
    stages, rest = take_flag(rest, "--stage")
    command = over_devices(
        read_command(experiment, [preset, *rest] if preset else rest), slice_.devices
    )
    compiler_of(slice_.chip.platform)
    return slice_, command, stages


def main(
    arguments: Sequence[str],
    *,
    experiment_of: Callable[[str], Experiment],
    program: str,
    module: str,
    preset: str = "",
) -> Any:
    """Plans what a command line asks for; in a process of its own, in which the compiler finds its
    variables.

    experiment_of: an experiment by its name. program: as it was typed. module: runs the same command line.
    preset: the only one. Returns the plan as JSON in that process. Raises InputError in one line,
    and RunError where the compiler failed.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        if not arguments:
            raise InputError(f"{program}: name a system" + " and a preset" * (not preset))
        raise SystemExit(0)
    if COMPILES in os.environ:
        slice_, command, named = read(arguments, experiment_of, preset)
        return plan(command, slice_, named)
    # what is chosen is printed by the other process
    with contextlib.redirect_stdout(io.StringIO()):
        slice_, *_ = read(arguments, experiment_of, preset)
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | planning.environment(slice_.chip.platform),
        check=False,
    )
    if done.returncode < 0:
        raise RunError(
            f"the compiler was ended by signal {-done.returncode}, perhaps for lack of memory here; "
            "name fewer --variants, or plan on a larger machine"
        )
    if done.returncode:
        raise SystemExit(done.returncode)


# Stages: the variant's own `train`, with a plan in the place of `fit`. Nothing is computed or written.


class Plan(NamedTuple):
    """What a job has to be planned: its data, and the stages noted so far."""

    data: Any
    stages: list[Planned]
    groups: int  # of BatchNorm

    def fit(
        self,
        method: Method,
        streams: Mapping[str, BatchStream],
        *,
        steps: int,
        stage: str,
        folder: Any,
        start: Mapping[str, Any] | None = None,
        **unread: Any,
    ) -> Fitted:
        """Notes what `fit` would be given, and returns its result as shapes."""
        batch = {
            name: jax.tree.map(
                lambda leaf, size=streams[name].batch_size: jax.ShapeDtypeStruct(
                    (size, *leaf.shape[1:]), leaf.dtype
                ),
                stack_examples([streams[name].source[0]]),
            )
            for name in method.streams
        }
        state = jax.eval_shape(method.init, planning.key_shape(), batch, dict(start or {}))
        self.stages.append(Planned(stage, method, batch, steps, state, folder, self.groups))
        trained, metrics = Trained(state.variables, state.frozen), defaultdict(float)
        return Fitted(trained, trained, 0, metrics, 0.0, 0.0, 0, (Evaluation(0, metrics),))


def planned_stages(job: Job) -> list[Planned]:
    """Returns the stages that a variant of one seed trains, in order, with those of variants that
    it starts from.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        data = job.experiment.open(job)
        if getattr(data, "base", None) is not None:
            data = data._replace(base=jax.eval_shape(lambda: data.base))
        plan = Plan(data, [], job.options.batch_norm_groups)
        variant_of(job).train(job._replace(plan=plan), data)
    return plan.stages


# The whole plan


def plan(command: Command, slice_: Slice, named: Sequence[str] = ()) -> dict[str, Any]:
    """Compiles stages of a command for a slice, prints the numbers of each, and returns the plan as
    JSON, which is written after every stage.

    named: the stages, all if empty. Raises InputError for a batch that does not divide over the
    chips, an unknown stage, and a command without a stage that trains.
    """
    name, preset, chip = command.experiment.paper.name, command.preset, slice_.chip
    mesh = planning.slice_mesh(slice_)
    if COMPILES in os.environ:  # a compiler of TPUs would answer with its stack
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    hosts = planning.hosts_of(mesh)
    devices = f" of {chip.devices} devices each" if chip.devices > 1 else ""
    print(
        f"{name} {preset} on {slice_.name}: {slice_.chips} chip{'s' * (slice_.chips > 1)}{devices}, "
        f"{hosts} host{'s' * (hosts > 1)}, {planning.compiler_version(chip.platform)}\n{NOT_MEASURED}",
        flush=True,
    )
    stages = _stages(command, named)
    for stage in stages:
        check_divisible(
            {name: example.image.shape[0] for name, example in stage.streams.items()},
            mesh,
            stage.groups,
        )
    result: dict[str, Any] = {
        "system": name,
        "preset": preset,
        "chips": slice_.name,
        "hosts": hosts,
        "settings": command.settings,
        "variants": list(command.variants),
        "note": NOT_MEASURED,
        "stages": [],
    }
    path = command.folder / "plan" / slice_.name / "plan.json"
    make_folder(path.parent)
    records: list[dict[str, Any]] = result["stages"]
    for number, stage in enumerate(stages, 1):
        sizes = (
            f"{example.image.shape[0]} images of {name} at {example.image.shape[1]} px"
            for name, example in stage.streams.items()
        )
        print(f"\n{number} of {len(stages)}, {stage.name}: {', '.join(sizes)}", flush=True)
        alike = (
            record | {"kept": True}
            for other, record in zip(stages, records, strict=False)
            if stage.alike(other)
        )
        known = next(alike, None) or planning.compile_for_plan(stage, slice_, mesh)
        records.append(_timed(known | {"stage": stage.name, "steps": stage.steps}, slice_))
        print(stage_text(records[-1]), flush=True)
        write_json(path, result)
    if alone := _on_one_chip(stages, records, slice_):
        result["one_chip"] = alone
        write_json(path, result)
    times = [record["times"] for record in records if "times" in record]
    hours, chip_hours = (sum(one[name] for one in times) for name in ("hours", "chip_hours"))
    lacking = len(records) - len(times)
    without = f", without {lacking} that do not fit" if lacking else ""
    print(
        f"\nall of it, for one seed{without}: {hours:.2f} hours, {chip_hours:.1f} chip-hours\n\nnumbers: {path}"
    )
    return result


def _stages(command: Command, named: Sequence[str]) -> list[Planned]:
    """Returns the stages of all variants, for one seed, those that share a folder once."""
    jobs = [command.job(name, command.shared.first_seed) for name in command.variants]
    stages = list(
        {
            (stage.folder, stage.name): stage for job in jobs for stage in planned_stages(job)
        }.values()
    )
    if not stages:
        raise InputError("variants", f"{' '.join(command.variants)} trains nothing; name others")
    names = list(dict.fromkeys(stage.name for stage in stages))
    for name in named:
        if name not in names:
            raise InputError("--stage", f"{name!r} is unknown; there are {', '.join(names)}")
    return [stage for stage in stages if not named or stage.name in named]


def _timed(record: Mapping[str, Any], slice_: Slice) -> dict[str, Any]:
    """Returns a record with the times of its steps, where it was compiled."""
    if "flops" not in record:
        return dict(record)
    return {**record, "times": planning.times_of(record, slice_, record["steps"])}


def stage_text(record: Mapping[str, Any]) -> str:
    """Returns what was found of a stage, in a few lines."""
    before = " before" * record.get("kept", False)
    took = f"  compiled{before} in {record['seconds']:,.0f} s"
    available = f"{record['memory']['available'] / GIB:.2f} GiB"
    if not record["fits"]:
        total = record["memory"].get("total")
        needed = f"{total / GIB:.2f} GiB do not fit" if total else "it does not fit"
        mend = "give a smaller --batch-size, --dtype bfloat16, or more chips"
        return f"{took}: {needed} into {available}; {mend}"
    memory = {name: f"{size / GIB:.2f}" for name, size in record["memory"].items()}
    times = record["times"]
    shown = {name: f"{1e3 * seconds:.2f}" for name, seconds in times.items()}
    lines = [
        f"{took}: {memory['total']} of {available} (state {memory['state']}, temporaries "
        f"{memory['temporaries']}, read ahead {memory['waiting']})",
        f"  a step: {shown['step']} ms, an estimate (arithmetic {shown['arithmetic']}, memory "
        f"{shown['bandwidth']}, {record['collectives']:,} collectives {shown['waiting']})",
    ]
    if "cycles" in record:
        by_clock = f", {shown['cycles']} ms" if "cycles" in times else ""
        lines.append(
            f"  its compiler's cycles: {record['cycles'] / 1e6:.1f} million{by_clock}, of which "
            f"{record['moved'] / record['cycles']:.0%} pad and copy; gathers and collectives have none"
        )
    lines.append(
        f"  {record['steps']:,} steps: {times['hours']:.2f} hours, {times['chip_hours']:.1f} chip-hours; "
        f"{times['images']:,.0f} images a second and chip"
    )
    return "\n".join(lines)


def _on_one_chip(
    stages: Sequence[Planned], records: Sequence[Mapping[str, Any]], slice_: Slice
) -> dict[str, Any] | None:
    """Returns the longest stage on one chip, where the slice gives each of its chips few images;
    prints how many times as fast the slice is, and what uses it better.
    """
    timed = [
        (stage, record)
        for stage, record in zip(stages, records, strict=True)
        if "times" in record and record["images_a_device"] < FEW
    ]
    if slice_.chips == 1 or not timed:
        return None
    stage, record = max(timed, key=lambda pair: pair[1]["times"]["hours"])
    one = slice_of(f"{slice_.chip.name}-{slice_.chip.counted}")
    print(
        f"\n{stage.name} gives each device {record['images_a_device']:g} images of a stream. On one chip, "
        f"{one.name}, with all of them:",
        flush=True,
    )
    alone = planning.compile_for_plan(stage, one, planning.slice_mesh(one))
    alone = _timed(alone | {"steps": stage.steps}, one)
    print(stage_text(alone))
    if alone["fits"]:
        both = [found["times"] for found in (alone, record)]
        kind = "cycles" if all("cycles" in times for times in both) else "step"
        waits = {"cycles": record["times"]["waiting"], "step": 0.0}[kind]
        faster = both[0][kind] / (both[1][kind] + waits)
        seeds = (
            " For several seeds, a seed on each chip uses them better: "
            f"--jobs {slice_.chip.host_chips} --seeds N on a host, "
            "experiments/launch/gke_table.yaml on several."
        )
        print(
            f"{slice_.chips} chips are {faster:.1f} times as fast as one."
            + seeds * (faster < slice_.chips / 2)
        )
    return alone
