"""Lists the datasets, or checks a fetched folder and prepares it: python -m data NAME --manual-dir PATH."""
import argparse
import sys
from pathlib import Path

from data.prepared import DEFAULT_DATA_DIR, datasets, prepare
from kpjax.errors import InputError, summarise


def listing() -> str:
    """Every dataset with where a person gets it, a line each."""
    known = datasets()
    width = max(len(name) for name in known)
    return "\n".join(f"{name:{width}}  {dataset.where}" for name, dataset in known.items())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data", description=__doc__)
    parser.add_argument("name", nargs="?", help="the dataset to check and prepare; without it all are listed")
    parser.add_argument("--manual-dir", type=Path, help="the folder of the fetched set")
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR,
                        help="where prepared sets are kept (default: %(default)s)")
    parser.add_argument("--on-bad-image", choices=("stop", "skip"), default="stop",
                        help="what to do about images that cannot be read (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.name is None:
        print(listing())
        return 0
    try:
        known = datasets()
        if options.name not in known:
            raise InputError(f"dataset {options.name!r} is unknown; there are {', '.join(known)}")
        builder = prepare(known[options.name], options.manual_dir, options.data_dir, on_bad_image=options.on_bad_image)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename or options.data_dir}: {error.strerror}; free the disc or choose another "
              "--data-dir", file=sys.stderr)
        return 2
    counts = ", ".join(f"{split.num_examples} in {name}" for name, split in builder.info.splits.items())
    print(f"{options.name}: {counts}; prepared in {builder.data_dir}")
    if builder.skipped:
        print(f"left out {len(builder.skipped)} images that cannot be read: {summarise(builder.skipped)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
