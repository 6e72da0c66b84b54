"""Plans that were written as JSON, taken into `results.csv`, from which pages show them."""
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.engine.configs import settings_text
from experiments.engine.parsing import exit_code_of
from experiments.engine.results import EXPERIMENTS, Result, merged, read_results, write_results
from kpjax import InputError

ROOM = EXPERIMENTS / "planning"
COMPILED = "compiled"  # in place of a seed: nothing is drawn


def numbers_of(plan: Mapping[str, Any], date: str) -> Iterator[Result]:
    """Yields the numbers of a plan: of every stage, and the hours of all of them together."""
    place = f"{plan['system']}/{plan['preset']}", settings_text({"chips": plan["chips"], **plan["settings"]})
    run = {"device": plan["chips"], "date": date}
    for stage in plan["stages"]:
        run["commit"] = stage.get("commit") or "unknown"  # at which it was compiled
        values = {"memory": stage["memory"]["total"], "available": stage["memory"]["available"]}
        if "times" in stage:
            values |= stage["times"] | {name: part["seconds"] for name, part in stage["parts"].items()}
            values |= {"all_reduces": stage["collectives"], "collective_bytes": stage["collective_bytes"]}
            values |= {f"efficiency_{one['chips']}": one["efficiency"] for one in stage["weak_scaling"]}
        if "largest" in stage:
            values["largest"] = stage["largest"]["images_per_chip"]
        for metric, value in values.items():
            yield Result(*place, stage["stage"], COMPILED, metric, float(value), steps=stage["steps"], **run)
    if all("times" in stage for stage in plan["stages"]):
        for metric in ("hours", "chip_hours"):
            found = sum(stage["times"][metric] for stage in plan["stages"])
            yield Result(*place, "all", COMPILED, metric, found, **run)


def record(paths: Sequence[Path], room: Path = ROOM) -> int:
    """Writes the numbers of plans into a room's file, and returns how many. Raises InputError for another file."""
    new: list[Result] = []
    for path in paths:
        try:
            plan, date = json.loads(path.read_text(encoding="utf-8")), datetime.fromtimestamp(path.stat().st_mtime, UTC)
            new += numbers_of(plan, date.date().isoformat())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: is no plan that `kpjax plan --json` wrote ({error!r:.100})") from None
    write_results(room, merged(read_results(room), new))
    return len(new)


def main(arguments: Sequence[str]) -> None:
    """Runs `python -m experiments.planning.recorded PLAN.json...`."""
    if not arguments:
        raise InputError("name the files that kpjax plan --json wrote")
    print(f"{record([Path(one) for one in arguments])} numbers in {ROOM / 'results.csv'}; "
          "python -m experiments results render shows them")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
