"""Lists all datasets, or checks a downloaded one and prepares it: python -m data NAME --manual-dir
PATH.
"""

import argparse
import sys
from pathlib import Path

from data.prepared import AT_SIDE, DEFAULT_DATA_DIR, dataset_named, datasets, prepare
from kpjax.errors import InputError, summarise


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m data", description=__doc__)
    parser.add_argument(
        "name", nargs="?", help="the dataset to check and prepare; omit it to list all"
    )
    parser.add_argument("--manual-dir", type=Path, help="the downloaded folder")
    parser.add_argument(
        "--data-dir",
        default=DEFAULT_DATA_DIR,
        help="the folder of prepared datasets (default: %(default)s)",
    )
    parser.add_argument(
        "--on-bad-image",
        choices=("stop", "skip"),
        default="stop",
        help="stop at images that cannot be read, or skip them (default: %(default)s)",
    )
    parser.add_argument(
        "--reduced-decoding",
        action="store_true",
        help="decode JPEG files at 1/2, 1/4 or 1/8 of their size where a run shows them smaller still: "
        "faster, with slightly other pixels",
    )
    parser.add_argument(
        "--side",
        type=int,
        metavar="PIXELS",
        help="resize images for crops of so many pixels: the shortest of the image's shorter side, its "
        "box and its labelled keypoints becomes so long, and nothing is enlarged. Such a set lies "
        "beside the others; open it with --data-dir DATA_DIR/side-PIXELS",
    )
    options = parser.parse_args(arguments)
    if options.name is None:
        known = datasets()
        print(
            *(f"{name:{max(map(len, known))}}  {dataset.where}" for name, dataset in known.items()),
            sep="\n",
        )
        return 0
    try:
        builder = prepare(
            dataset_named(options.name),
            options.manual_dir,
            options.data_dir,
            on_bad_image=options.on_bad_image,
            reduced_decoding=options.reduced_decoding,
            side=options.side,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: {error.filename or options.data_dir}: {error.strerror}; free some space, or choose another "
            "--data-dir",
            file=sys.stderr,
        )
        return 2
    counts = ", ".join(
        f"{split.num_examples} in {name}" for name, split in builder.info.splits.items()
    )
    opened = (
        f"; open it with --data-dir {options.data_dir}/{AT_SIDE}{options.side}"
        if options.side
        else ""
    )
    print(f"{options.name}: {counts}; prepared in {builder.data_dir}{opened}")
    if builder.skipped:
        print(f"skipped {len(builder.skipped)} unreadable: {summarise(builder.skipped)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
