"""Errors that a user can mend. Everything else is a defect of kpjax and keeps its traceback."""
from collections.abc import Sequence


class InputError(Exception):
    """An unusable input: `InputError(message)`, or `InputError(argument, message)` where an argument is at fault.

    The message names the file, the field, what was found and what to do, in one line. Other arguments stand in
    backticks in it, so that a command line can spell them as flags; it prints the line and exits with 2.
    """

    def __init__(self, *words: str):
        super().__init__(*words)
        self.argument = words[0] if len(words) == 2 else ""

    def __str__(self) -> str:
        return ": ".join(map(str, self.args))


class RunError(Exception):
    """A run that cannot go on: a loss that is not finite, a checkpoint that does not restore. Exit code 1."""


def summarise(faults: Sequence[str], shown: int = 5) -> str:
    """Returns all faults of one kind in one line: the first few, and the number of those left out."""
    listed = "; ".join(faults[:shown])
    left_out = len(faults) - shown
    return listed + (f"; and {left_out} more" if left_out > 0 else "")
