"""Plans a run on chips that are not at hand: memory by their compiler, times by a roofline.

Command   python -m experiments plan SYSTEM PRESET --chips v5e-16       (any preset; its data sets need not be there)
          kpjax plan semi_supervised --project P --chips h100-8      (one's own project)
          python -m experiments plan regda rhd_h3d --chips v5e-256 --batch-size 8192 --variants
          regda

Every stage of the chosen variants is compiled for the slice, which takes seconds for small networks
and minutes for large ones; its numbers are printed as soon as they are there. --chips NAME-N is the
slice: v5e, v5p, v6e, tpu7x, h100, h200, b200 or a100, and its number. All other flags are those of
the preset.

No number is measured. A step takes at least what its arithmetic at the peak, or its memory at the
bandwidth, takes. Not counted: collectives, evaluation, checkpoints, compiling, reading images, and
the small network that finds several animals. The compiler runs in a process of its own.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from kpjax import InputError, RunError, Trained
from kpjax.input.source import stack_examples
from kpjax.papers.command_line import Command, over_devices, read_command, take_flag
from kpjax.papers.engine import NOTHING_TRAINED, Experiment, Job, Outcome, Stage, Work, imagine
from kpjax.papers.parsing import flags_in_messages
from kpjax.training import planning
from kpjax.training.chips import GIB, Slice, slice_of
from kpjax.training.mesh import check_divisible
from kpjax.training.planning import COMPILES, Planned, compiler_of

NOT_MEASURED = "Memory is the compiler's estimate, times are a bound; nothing here was measured."

# The command


@flags_in_messages({"chips": "--chips"})
def read(
    arguments: Sequence[str], experiment_of: Callable[[str], Experiment], preset: str
) -> tuple[Slice, Command]:
    """Reads a command line: a system, a preset where `preset` is empty, and flags.

    Raises InputError in one line for an unknown system, preset, slice, flag or value.
    """
    name, *flags = arguments
    experiment = experiment_of(name)
    chips, rest = take_flag(flags, "--chips")
    if not any(chips):
        raise InputError("chips", "name the slice to plan for, such as v5e-16 or h100-8")
    slice_ = slice_of(chips[-1])
    command = over_devices(
        read_command(experiment, [preset, *rest] if preset else rest), slice_.devices
    )
    compiler_of(slice_.chip.platform)
    return slice_, command


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
    preset: the only one. Returns the plan in that process. Raises InputError in one line,
    and RunError where the compiler failed.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        if arguments:
            raise SystemExit(0)
        raise InputError(f"{program}: name a system{'' if preset else ' and a preset'}")
    if COMPILES in os.environ:
        slice_, command = read(arguments, experiment_of, preset)
        return plan(command, slice_)
    # what is chosen is printed by the other process
    with contextlib.redirect_stdout(io.StringIO()):
        slice_, _ = read(arguments, experiment_of, preset)
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


# Stages


def planned_stages(job: Job) -> list[Planned]:
    """Returns the stages that a variant of one seed trains, in order, with those of variants that
    it starts from. Nothing is computed or written.
    """
    found: list[Planned] = []

    def note(job: Job, stage: Stage) -> Outcome:
        found.append(_planned(job, stage))
        state = found[-1].state
        return NOTHING_TRAINED._replace(trained=Trained(state.variables, state.frozen))

    with contextlib.redirect_stdout(io.StringIO()):
        imagine(job, job.experiment.open(job), note)
    return found


def _planned(job: Job, stage: Stage) -> Planned:
    """Returns what `fit` would be given, as shapes."""
    training = stage.training()
    batch = {
        name: jax.tree.map(
            lambda leaf, size=stream.batch_size: jax.ShapeDtypeStruct(
                (size, *leaf.shape[1:]), leaf.dtype
            ),
            stack_examples([stream.source[0]]),
        )
        for name, stream in training.streams.items()
    }
    start = {
        name: tree.planned() if isinstance(tree, Work) else tree
        for name, tree in training.start.items()
    }
    state = jax.eval_shape(training.method.init, planning.key_shape(), batch, start)
    groups = job.options.batch_norm_groups
    return Planned(stage.name, training.method, batch, stage.steps, state, job.place(stage), groups)


# The whole plan


def plan(command: Command, slice_: Slice) -> list[dict[str, Any]]:
    """Compiles the stages of a command for a slice, prints the numbers of each, and returns them.

    Raises InputError for a batch that does not divide over the chips, and for a command without a
    stage that trains.
    """
    mesh = planning.slice_mesh(slice_)
    if COMPILES in os.environ:  # a compiler of TPUs would answer with its stack
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    stages = _stages(command)
    for stage in stages:
        sizes = {name: example.image.shape[0] for name, example in stage.streams.items()}
        check_divisible(sizes, mesh, stage.groups)
    print(f"{command.preset} on {slice_.name}, {slice_.devices} devices\n{NOT_MEASURED}")
    records: list[dict[str, Any]] = []
    for stage in stages:
        images = ", ".join(
            f"{example.image.shape[0]} images of {name} at {example.image.shape[1]} px"
            for name, example in stage.streams.items()
        )
        print(f"\n{stage.name}: {images}", flush=True)
        alike = (
            record for other, record in zip(stages, records, strict=False) if stage.alike(other)
        )
        record = next(alike, None) or planning.compile_stage(stage, slice_, mesh)
        records.append(record | {"stage": stage.name, "images": stage.images, "steps": stage.steps})
        print(stage_text(records[-1]), flush=True)
    seconds = sum(one["steps"] * one.get("step", 0) for one in records)
    print(f"\nall of it, for one seed: at least {seconds / 3600:.2f} hours")
    return records


def _stages(command: Command) -> list[Planned]:
    """Returns the stages of all variants, for one seed, those that share a folder once."""
    jobs = [command.job(name, command.shared.first_seed) for name in command.variants]
    found = {(stage.folder, stage.name): stage for job in jobs for stage in planned_stages(job)}
    if not found:
        raise InputError("variants", f"{' '.join(command.variants)} trains nothing; name others")
    return list(found.values())


def stage_text(record: Mapping[str, Any]) -> str:
    """Returns what was found of a stage, in a few lines."""
    memory = {name: f"{size / GIB:.2f}" for name, size in record["memory"].items()}
    if not record["fits"]:
        return (
            f"  {memory.get('total', 'it')} does not fit into {memory['available']} GiB; give a "
            "smaller --batch-size, --dtype bfloat16, or more chips"
        )
    step = record["step"]
    return (
        f"  {memory['total']} of {memory['available']} GiB (state {memory['state']}, temporaries "
        f"{memory['temporaries']}, read ahead {memory['waiting']})\n"
        f"  a step: at least {1e3 * step:.2f} ms, and {record['collectives']:,} collectives; "
        f"{record['steps']:,} steps: {record['steps'] * step / 3600:.2f} hours"
    )
