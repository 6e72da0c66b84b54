"""The program `kpjax`, also as `python -m kpjax`."""

import sys
from importlib.util import find_spec

NEEDED = ("av", "jinja2", "matplotlib", "tensorboardX", "tyro")  # needed of the extra `lab`


def main() -> None:
    """Runs the command of the process's command line; without the extra `lab`, it says so."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        print(
            f"error: the program kpjax needs {', '.join(absent)}; pip install 'kpjax[lab]'",
            file=sys.stderr,
        )
        raise SystemExit(2)
    from kpjax.lab import program

    program.main()


if __name__ == "__main__":
    main()
