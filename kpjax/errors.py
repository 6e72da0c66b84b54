"""Errors that a user can mend. Everything else is a defect of kpjax and keeps its traceback."""

import difflib
import functools
import sys
from collections.abc import Iterable, Sequence


class InputError(Exception):
    """An unusable input: `InputError(message)`, or `InputError(argument, message)` where an
    argument is at fault.

    The message names the file, the field, what was found and what to do, in one line. Other
    arguments stand in backticks in it, so that a command line can spell them as flags; it prints
    the line and exits with 2.
    """

    def __init__(self, *words: str):
        super().__init__(*words)
        self.argument = words[0] if len(words) == 2 else ""

    def __str__(self) -> str:
        return ": ".join(map(str, self.args))


class WriteError(InputError):
    """A file that cannot be written: the disc is full, or a folder or bucket refuses it."""


class RunError(Exception):
    """A run that cannot go on: a loss that is not finite, a checkpoint that does not restore.

    Exit code 1.
    """


@functools.cache
def say_once(line: str) -> None:
    """Prints a line on stderr, once in a process."""
    print(printable(line), file=sys.stderr, flush=True)


def count_text(number: int, noun: str) -> str:
    """Returns "1 frame" or "11 frames"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summarise(faults: Sequence[str], shown: int = 5) -> str:
    """Returns all faults of one kind in one line: the first few, of at most 800 letters, and how
    many are left out.
    """
    listed = "; ".join(
        fault if len(fault) <= 800 else f"{fault[:600]} ... {fault[-150:]}"
        for fault in faults[:shown]
    )
    left_out = len(faults) - shown
    return listed + (f"; and {left_out} more" if left_out > 0 else "")


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Returns "; did you mean regda?" for the known name that is nearest to one, "" where none is
    near.
    """
    near = difflib.get_close_matches(name, [*known], 1)
    if not near:
        return ""
    return f"; did you mean {near[0]}?"


def printable(text: str, keep: str = "") -> str:
    """Returns text that a terminal shows as it is: control characters and lone surrogates as Python
    escapes them.

    So are characters that reorder text. keep: characters to leave, such as the end of a line.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        if letter in keep or letter == " " or letter.isprintable() or not _controls(letter)
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _controls(letter: str) -> bool:
    code = ord(letter)
    return (
        code < 0x20
        or 0x7F <= code < 0xA0
        or 0xD800 <= code < 0xE000
        or code in (0x2028, 0x2029, 0xFEFF)
        or 0x200B <= code <= 0x200F
        or 0x202A <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
    )
