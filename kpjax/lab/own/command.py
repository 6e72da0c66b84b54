"""The command line's parts for people's own data: the check of the project, the report, and what to do next."""
import itertools
import os
import re
import shlex
from pathlib import Path
from typing import Any

from kpjax import InputError
from kpjax.files import absolute, read_json
from kpjax.systems.command_line import Command, typed_fields
from kpjax.systems.configs import config_as_json, flat
from kpjax.systems.system import OwnParts
from kpjax.training.checkpoints import flat_identity


def next_lines(command: Command) -> list[str]:
    """Returns the folders of the runs, the method's first, and the command that uses one."""
    from kpjax.lab.own.animals import FOLDER as ANIMALS

    folders = [os.path.relpath(job.folder) if Path(job.folder).is_relative_to(Path.cwd()) else str(job.folder)
               for job in sorted(command.jobs(), key=lambda job: command.system.variants[job.variant].kind != "method")]
    finds = (Path(command.jobs()[0].folder) / ANIMALS).is_dir()
    boxes = " --boxes BOXES" * (flat(command.config).get("transform") == "around_box" and not finds)
    return [*(f"run: {folder}" for folder in folders),
            f"next: kpjax predict {shlex.quote(folders[0])} VIDEO{boxes} --out points --overlay"]


def check_project(command: Command) -> None:
    """Raises InputError if runs in the folder learnt from another project, or from another state of this one and
    nothing else was asked for.

    Settings that are chosen from the data differ then, too.
    """
    now = flat_identity(config_as_json(command.config))
    for path in sorted(command.folder.glob("*/seed-*/config.json")):
        there = flat_identity(read_json(path).get("config", {}))
        projects = [str(of.get("data.project", "")) for of in (there, now)]
        if all(projects) and len({Path(project).expanduser().absolute() for project in projects}) == 2:
            named = re.sub(r"[^\w.-]+", "-", Path(projects[1]).stem)
            raise InputError("workdir", f"{command.folder} has runs on another project, {projects[0]}; choose a folder "
                             f"for this one, such as --workdir runs-of-{named}")
        differ = {name.rpartition(".")[2] for name in now if name in there and there[name] != now[name]}
        other = next(f"{command.shared.workdir}-{n}" for n in itertools.count(2)
                     if not absolute(f"{command.shared.workdir}-{n}").exists())
        if "start" in differ and flat(command.config).get("start"):
            raise InputError("workdir", f"{command.folder} has runs that began otherwise; choose another folder, "
                             f"{shlex.join(['--workdir', other])}, for the one that goes on")
        if "summary" not in differ or differ & {"project", "unlabelled", "labelled", "validation", "weights", "start",
                                                *typed_fields(command.config, command.arguments)}:
            continue
        before, after = (of["summary"].partition("; held out")[0] for of in (there, now))
        goes_on = ""
        if "start" in flat(command.config) and (path.parent / "results.json").exists():
            flags = shlex.join(["--start", str(path.parent), "--workdir", other])
            goes_on = f"{flags} goes on from the last run, "
        raise InputError("project", f"it is not as the run in {path.parent} learnt it ({before}; now {after}): "
                         f"{goes_on}--fresh starts over")


def report(*parts: Any, **more: Any) -> Any:
    """Writes the report, as `kpjax.lab.own.report.own_report` does, whose libraries help need not wait for."""
    from kpjax.lab.own.report import own_report

    return own_report(*parts, **more)


OWN_PARTS = OwnParts(check_project, report, next_lines)
