"""Starting over: what `--fresh` removes of earlier runs, and what it says that runs use again."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack

from etils import epath

from kpjax.errors import InputError
from kpjax.files import absolute, remove
from kpjax.papers.configs import flat
from kpjax.papers.engine import Job, queue_folder
from kpjax.training.run_folder import hold_folder


def start_over(jobs: Sequence[Job]) -> None:
    """Removes the runs of all jobs, which are of one preset, those that they start from, and the
    stages of either.

    A stage that is named after another variant stays. So does what another preset keeps for these
    jobs, since its own runs read it: a line says where that is, and what removes it. Raises InUse
    where another process trains in one of the folders, and InputError where the jobs start from a run
    in one; then all stay.
    """
    variants = jobs[0].paper.variants
    needed = [
        job._replace(variant=folder.parent.name)
        for job in jobs
        for folder in (job.folder, *job.lengths)
        if folder.parent.name in variants
    ]
    runs = list(dict.fromkeys(needed))
    names = {run.variant for run in runs}
    stages = [
        stage
        for seed in dict.fromkeys(job.seed for job in jobs)
        for stage in jobs[0].preset_folder.glob(f"stages/*/seed-{seed}")
        if _owner(stage.parent.name, variants) in {None, *names}
    ]
    folders = [*(run.folder for run in runs if run.folder.is_dir()), *stages]
    _check_inputs(jobs[0], folders)
    with ExitStack() as held:
        for folder in (*map(queue_folder, runs), *folders):
            held.enter_context(hold_folder(folder))
        for folder in folders:
            remove(folder)
    for keeper, kept in kept_elsewhere(jobs).items():
        print(
            f"used again: {', '.join(map(str, kept))}; kept by the preset {keeper}, whose own "
            "--fresh removes what it keeps"
        )


def kept_elsewhere(jobs: Sequence[Job]) -> dict[str, list[epath.Path]]:
    """Returns the folders of other presets, by preset, in which there is training that jobs go on
    from.
    """
    found: dict[str, dict[epath.Path, None]] = {}
    for job in jobs:
        of_paper = job.preset_folder.parent
        for folder, steps in job.lengths.items():
            keeper = folder.relative_to(of_paper).parts[0]
            if steps and keeper != job.preset and folder.is_dir():
                found.setdefault(keeper, {})[folder] = None
    return {keeper: [*folders] for keeper, folders in found.items()}


def _check_inputs(job: Job, folders: Sequence[epath.Path]) -> None:
    """Raises InputError if an argument of a job names one of the folders, or a file in one."""
    for argument, value in flat(job.config).items():
        for path in value if isinstance(value, tuple) else (value,):
            if not isinstance(path, str) or not path:
                continue
            if "://" in path and not path.startswith("gs://"):  # such as an address of weights
                continue
            place = absolute(path)
            for folder in folders:
                if folder in (place, *place.parents):
                    raise InputError(
                        argument, f"{folder} is what `fresh` would remove; choose another `workdir`"
                    )


def _owner(stage: str, variants: Collection[str]) -> str | None:
    """Returns the variant after which a stage is named; None for one that several share."""
    fitting = [name for name in variants if f"{stage}_".startswith(f"{name}_")]
    return max(fitting, key=len, default=None)
