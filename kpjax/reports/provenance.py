"""What a report says about how its numbers came to be: commands, machines, versions, times and configurations."""
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from kpjax.reports.table import Line


def commands_section(commands: Sequence[str]) -> str:
    """The commands that reproduce the page, HTML."""
    return f"<h2>Commands</h2><pre>{escape(chr(10).join(commands))}</pre>" if commands else ""


def described(value: Any) -> str:
    """A value of results.json in a line: mappings as "key value", lists joined, numbers as they are."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {described(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(described, value))
    return "" if value is None else str(value)


def duration(seconds: float) -> str:
    """"42 s", "3 min 05 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def runs_section(measured: Sequence[Line]) -> str:
    """Steps, speed and time of every run, and the machines and versions that made them, HTML."""
    runs = [(line, run) for line in measured for run in line.runs.finished]
    if not runs:
        return ""
    machines = {}
    for _, run in runs:
        machines.setdefault((described(run.devices), described(run.versions)), []).append(run)
    parts = ["<h2>Runs</h2>"]
    for (devices, versions), on_it in machines.items():
        count = "" if len(machines) == 1 else f" ({len(on_it)} of {len(runs)} runs)"
        text = "; ".join(part for part in (devices, versions) if part)
        parts.append(f'<p class="note">{escape(text)}{count}</p>' if text else "")
    body = []
    for line, run in runs:
        speed = "–" if run.images_per_second is None else f"{run.images_per_second:,.0f}"
        time = "–" if run.wall_seconds is None else duration(run.wall_seconds)
        body.append(f'<tr><th scope="row">{escape(line.row.label or line.row.variant)}</th><td>{run.seed}</td>'
                    f"<td>{run.steps:,}</td><td>{speed}</td><td>{time}</td></tr>")
    times = [run.wall_seconds for _, run in runs if run.wall_seconds is not None]
    total = f'<p class="note">Together {duration(sum(times))}.</p>' if times else ""
    parts.append('<details><summary>Steps, speed and time of each run</summary><div class="scroll"><table><thead><tr>'
                 "<th>variant</th><th>seed</th><th>steps</th><th>images/s</th><th>time</th></tr></thead>"
                 f'<tbody>{"".join(body)}</tbody></table></div>{total}</details>')
    return "".join(parts)


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested configuration as one level: "optimizer.momentum" to its value as JSON."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{name}.")
        else:
            flat[name] = json.dumps(value, ensure_ascii=False, default=str)
    return flat


def configuration_section(measured: Sequence[Line]) -> str:
    """What all runs have in common, and what sets each variant apart, HTML that unfolds."""
    configs = {line.row.variant: [flattened(run.config) for run in line.runs.finished] for line in measured}
    every = [config for found in configs.values() for config in found]
    if not any(every):
        return ""
    names = list(dict.fromkeys(name for config in every for name in config))
    common = [name for name in names if len({config.get(name) for config in every}) == 1]
    shared = _fields([(name, every[0][name]) for name in common])
    parts = [f"<details><summary>Configuration of all runs</summary>{shared}</details>"]
    for line in measured:
        own = [(name, ", ".join(dict.fromkeys(config.get(name, "–") for config in configs[line.row.variant])))
               for name in names if name not in common]
        if own:
            label = escape(line.row.label or line.row.variant)
            parts.append(f"<details><summary>{label}: what is its own</summary>{_fields(own)}</details>")
    return "<h2>Configuration</h2>" + "".join(parts)


def _fields(fields: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td class="text">{escape(value)}</td></tr>'
                   for name, value in fields)
    return f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'
