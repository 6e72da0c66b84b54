"""`python -m experiments`: every experiment and preset with a line each; `python -m experiments predict ...`."""
import importlib
import pkgutil
import sys

import experiments
from experiments.command_line import Experiment, exit_code_of


def all_experiments() -> dict[str, Experiment]:
    """Every module of this package that defines EXPERIMENT, by its name."""
    modules = [importlib.import_module(f"experiments.{entry.name}")
               for entry in pkgutil.iter_modules(experiments.__path__) if not entry.name.startswith("_")]
    return {module.EXPERIMENT.name: module.EXPERIMENT for module in modules if hasattr(module, "EXPERIMENT")}


def show() -> None:
    """Prints the list."""
    for name, experiment in all_experiments().items():
        print(f"{name}: {experiment.summary}")
        width = max(len(preset) for preset in experiment.presets)
        for preset, config in experiment.presets.items():
            print(f"  python -m experiments.{name} {preset:{width}}  {config.summary}")
    print("predict: any finished run on a folder of pictures\n"
          "  python -m experiments predict RUN IMAGES --out FOLDER")


def main() -> None:
    """Lists, or hands over to `predict`."""
    if sys.argv[1:2] == ["predict"]:
        from experiments.predict import main as predict

        raise SystemExit(exit_code_of(lambda: predict(sys.argv[2:])))
    if len(sys.argv) > 1:
        print(f"error: {sys.argv[1]!r} is no command; there is `predict`, and `python -m experiments.<name> PRESET`",
              file=sys.stderr)
        raise SystemExit(2)
    show()


if __name__ == "__main__":
    main()
