"""Errors that a user can mend. Everything else is a defect of kpjax and keeps its traceback."""
from collections.abc import Sequence


class InputError(Exception):
    """An unusable input: a file, a field, an argument. Command lines print it as one line and exit with 2.

    The message names the file or argument, the field, what was found and how to mend it.
    """


class RunError(Exception):
    """A run that cannot go on: a loss that is not finite, a checkpoint that does not restore. Exit code 1."""


def summarise(faults: Sequence[str], shown: int = 5) -> str:
    """Returns all faults of one kind in one line: the first few, and the number of those left out."""
    listed = "; ".join(faults[:shown])
    left_out = len(faults) - shown
    return listed + (f"; and {left_out} more" if left_out > 0 else "")
