"""The command line of a plan, of a run on chips that are not there: memory by their compiler, times
by a roofline.

Command   python -m experiments plan SYSTEM PRESET --chips v5e-16       (any preset; its data sets need not be there)
          kpjax plan semi_supervised --project P --chips h100-8      (one's own project)
          python -m experiments plan regda rhd_h3d --chips v5e-256 --batch-size 8192 --variants
          regda

Every stage of the chosen variants is compiled for the slice, which takes seconds for small networks
and minutes for large ones. All other flags are those of the preset.

--chips NAME-N is the slice: v5e, v5p, v6e, h100 or a100, and its number. The numbers also lie in
RUNS/SYSTEM/PRESET/plan/NAME-N/plan.json.

No number is measured. A step takes at least what its arithmetic at the peak or its bytes at the
bandwidth take, whichever is longer, and its collectives. Not counted: evaluation, checkpoints,
compiling, reading images. The compiler runs in a process of its own.
"""

import contextlib
import importlib.metadata
import io
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from kpjax import InputError, Method, RunError, Trained
from kpjax.files import make_folder, write_json
from kpjax.input.source import stacked
from kpjax.input.stream import BatchStream
from kpjax.papers.command_line import Command, over_devices, read_command, taken
from kpjax.papers.engine import Experiment, Job, variant_of
from kpjax.papers.parsing import flags_in_messages
from kpjax.papers.reports.report import markdown
from kpjax.training import planning
from kpjax.training.chips import GIB, Slice, slice_of
from kpjax.training.fit import Evaluation, Fitted
from kpjax.training.mesh import check_divisible
from kpjax.training.planning import COMPILES, Planned, compiler_of

NOT_MEASURED = "Memory is the compiler's estimate and times are floors; nothing here was measured."

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
    chips, rest = taken(flags, "--chips")
    if not any(chips):
        raise InputError("chips", "name the slice to plan for, such as v5e-16 or h100-8")
    slice_ = slice_of(chips[-1])
    command = over_devices(
        read_command(experiment, [preset, *rest] if preset else rest), slice_.chips
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
    preset: the only one. Returns the plan as JSON in that process. Raises InputError in one line,
    and RunError where the compiler failed.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        if not arguments:
            raise InputError(f"{program}: name a system" + " and a preset" * (not preset))
        raise SystemExit(0)
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
            f"the compiler was ended by signal {-done.returncode}, as for want of this machine's memory; "
            "name fewer --variants, or plan on a larger machine"
        )
    if done.returncode:
        raise SystemExit(done.returncode)


# Stages: the variant's own `train`, with a plan in the place of `fit`. Nothing is computed or written.


class Plan(NamedTuple):
    """What a job has to be planned: its data, and the stages noted so far."""

    data: Any
    stages: list[Planned]

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
                stacked([streams[name].source[0]]),
            )
            for name in method.streams
        }
        state = jax.eval_shape(method.init, planning.key_shape(), batch, dict(start or {}))
        self.stages.append(Planned(stage, method, batch, steps, state, folder))
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
        plan = Plan(data, [])
        variant_of(job).train(job._replace(plan=plan), data)
    return plan.stages


# The whole plan


def plan(command: Command, slice_: Slice) -> dict[str, Any]:
    """Compiles all stages of a command for a slice, prints the plan and returns it as JSON.

    Raises InputError for a batch that does not divide over the chips, and for a command without a
    stage that trains.
    """
    name, preset, compiler = (
        command.experiment.paper.name,
        command.preset,
        compiler_of(slice_.chip.platform),
    )
    print(
        f"{name} {preset} on {slice_.name}: {slice_.chips} chips, {slice_.hosts} host{'s' * (slice_.hosts > 1)}, "
        f"{compiler} {importlib.metadata.version(compiler.replace('_', '-'))}\n{NOT_MEASURED}",
        flush=True,
    )
    # of all variants, for one seed, those that share a folder once
    mesh, jobs = (
        planning.mesh_of(slice_),
        [command.job(name, command.shared.first_seed) for name in command.variants],
    )
    stages = list(
        {
            (stage.folder, stage.name): stage for job in jobs for stage in planned_stages(job)
        }.values()
    )
    if not stages:
        raise InputError("variants", f"{' '.join(command.variants)} trains nothing; name others")
    for stage in stages:
        check_divisible(
            {name: example.image.shape[0] for name, example in stage.streams.items()}, mesh
        )
    records: list[dict[str, Any]] = []
    for stage in stages:
        alike = (
            record for other, record in zip(stages, records, strict=False) if stage.alike(other)
        )
        known = next(alike, None) or planning.compiled(stage, slice_, mesh)
        times = {"times": planning.times_of(known, slice_, stage.steps)} if "flops" in known else {}
        records.append({**known, "stage": stage.name, "steps": stage.steps, **times})
    result = {
        "system": name,
        "preset": preset,
        "chips": slice_.name,
        "settings": command.settings,
        "variants": list(command.variants),
        "note": NOT_MEASURED,
        "stages": records,
    }
    path = command.folder / "plan" / slice_.name / "plan.json"
    make_folder(path.parent)
    write_json(path, result)
    print("\n" + "\n\n".join(tables(records)) + f"\n\nnumbers: {path}")
    return result


def tables(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the plan as tables in Markdown, with a line on each stage that does not fit."""
    names = ("state", "temporaries", "waiting", "total", "available")
    found = [
        markdown(
            [
                "stage",
                "steps",
                "images a step",
                "GiB a chip: state",
                "temporaries",
                "read ahead",
                "total",
                "of",
            ],
            [
                [
                    record["stage"],
                    f"{record['steps']:,}",
                    f"{record['images']:,}",
                    *(
                        f"{record['memory'][name] / GIB:.2f}" if name in record["memory"] else ""
                        for name in names
                    ),
                ]
                for record in records
            ],
        )
    ]
    found += [
        f"{record['stage']}: does not fit; give a smaller --batch-size, --dtype bfloat16, or more chips"
        for record in records
        if not record["fits"]
    ]
    whole = [(record["stage"], record["times"]) for record in records if "times" in record]
    hours, chip_hours = (sum(times[name] for _, times in whole) for name in ("hours", "chip_hours"))
    if whole:
        found.append(
            markdown(
                [
                    "stage",
                    "arithmetic, ms",
                    "memory, ms",
                    "collectives, ms",
                    "step, at least, ms",
                    "images a second and chip, at most",
                    "hours, at least",
                    "chip-hours, at least",
                ],
                [
                    [
                        name,
                        *(
                            f"{1e3 * times[part]:.2f}"
                            for part in ("arithmetic", "bandwidth", "waiting", "step")
                        ),
                        f"{times['images']:,.0f}",
                        f"{times['hours']:.2f}",
                        f"{times['chip_hours']:.1f}",
                    ]
                    for name, times in whole
                ]
                + [["all", *5 * [""], f"{hours:.2f}", f"{chip_hours:.1f}"]],
            )
        )
    return [*found, NOT_MEASURED]
