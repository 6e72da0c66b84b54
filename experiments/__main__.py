"""`python -m experiments`: all systems and presets with a line each, and the commands for people's own data."""
import importlib
import pkgutil
import runpy
import sys

import experiments
from experiments.commands import COMMANDS, exit_code_of, run_command


def all_systems() -> dict[str, dict[str, str]]:
    """Imports every system of this package. Returns the summaries of its presets by their names, by its title."""
    from experiments.command_line import has_own
    from experiments.system import OWN, system_of

    found = {}
    for entry in pkgutil.iter_modules(experiments.__path__):
        system = getattr(importlib.import_module(f"experiments.{entry.name}"), "SYSTEM", None) if (
            not entry.name.startswith("_")) else None
        if system is not None:
            presets = system.presets | (system_of(entry.name, OWN).presets if has_own(entry.name) else {})
            found[f"{system.name}: {system.summary}"] = {name: config.summary for name, config in presets.items()}
    return found


def commands_text() -> str:
    """Returns a line of help for each command."""
    lines = [f"  python -m experiments {name} --help\n      {kind.__doc__.splitlines()[0]}"
             for name, kind in COMMANDS.items()]
    return "\n".join(["your own images and videos:", *lines])


def main() -> None:
    """Lists everything, or runs a command."""
    name, *arguments = sys.argv[1:] or [""]
    if name in COMMANDS:
        raise SystemExit(exit_code_of(lambda: run_command(name, arguments)))
    if name in ("-h", "--help"):
        print("python -m experiments lists all systems and their presets; python -m experiments.<system> PRESET runs "
              "one\n" + commands_text())
    elif name in [entry.name for entry in pkgutil.iter_modules(experiments.__path__)]:
        # `python -m kpjax regda demo` in an installed wheel, where `experiments` is on no path.
        sys.argv = [f"experiments.{name}", *arguments]
        runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
    elif name:
        print(f"error: {name!r} is no command; there are {', '.join(COMMANDS)}, and `python -m experiments.<name> "
              "PRESET`", file=sys.stderr)
        raise SystemExit(2)
    else:
        for title, presets in all_systems().items():
            print(title)
            width = max(map(len, presets))
            for preset, summary in presets.items():
                print(f"  python -m experiments.{title.partition(':')[0]} {preset:{width}}  {summary}")
        print(commands_text())


if __name__ == "__main__":
    main()
