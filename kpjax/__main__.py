"""The program `kpjax`, also `python -m kpjax`: the commands of a clone, or those that an installed wheel carries.

A wheel holds `experiments` and `data` in `kpjax/bundled`, since no distribution should own top-level packages of these
names. Their folder comes first on the path of this process alone.
"""
import sys
from pathlib import Path


def root(package: Path) -> Path:
    """Returns the folder that holds `experiments` and `data`: the bundle of a wheel, or the clone of `package`."""
    bundled = package / "bundled"
    return bundled if bundled.is_dir() else package.parent


def main() -> None:
    """Runs a command of the process's command line."""
    sys.path.insert(0, str(root(Path(__file__).resolve().parent)))
    from experiments.__main__ import main

    main("kpjax")


if __name__ == "__main__":
    main()
