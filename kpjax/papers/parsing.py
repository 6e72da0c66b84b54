"""The parser, messages and exit codes of all command lines.

Nothing here imports JAX before a command runs, so that help is quick.
"""

import atexit
import contextlib
import dataclasses
import errno
import gc
import io
import os
import re
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_type_hints

import tyro
from tyro.conf import Positional, arg

from kpjax import InputError, RunError
from kpjax.allocator import keep_freed_memory, only_cpu, set_compiler_flags
from kpjax.errors import printable, suggest_name

Parsed = TypeVar("Parsed")
ALIASES = {"size": "image_size", "imagenet": "weights"}  # other names of flags
WIDTH = 110  # letters in a line on the screen
# letters of a message at either end of what is left out, where a file has names of thousands
LONGEST = 1000
# exit code after SIGTERM, as shells count: all processes of a run end with it together
INTERRUPTED = 143
LAST_WORDS = 3.0  # seconds in which other processes can say their own line


def typed_flags(arguments: Sequence[str]) -> list[str]:
    """Returns the names of flags as fields have them, whichever way they were typed."""
    typed = [
        argument[2:].partition("=")[0].replace("-", "_")
        for argument in arguments
        if argument.startswith("--")
    ]
    return [ALIASES.get(name, name) for name in typed]


def parse(
    command_type: Callable[..., Parsed],
    arguments: Sequence[str],
    *,
    prog: str,
    description: str | None = None,
    **options: Any,
) -> Parsed:
    """Returns a command of a type that tyro builds, with the values of a command line. Exits with 0
    for --help.

    prog: the program's name in help and errors. description: above the flags in help; by default
    the docstring of the type. options: of `tyro.cli`. Raises InputError, in one line, for an
    unknown or repeated flag, a missing argument or an invalid value.
    """
    flags = typed_flags(arguments)
    # the last would win without a word
    if twice := next((flag for flag in flags if flags.count(flag) > 1), ""):
        raise InputError(
            f"--{twice.replace('_', '-')}: is given twice; put all its values after one flag"
        )
    caught = io.StringIO()
    plain = _Plain(getattr(sys.stdout, "colourful", sys.stdout), screen_width(), keep="\n\t\x1b")
    stdout: Any = plain if {"-h", "--help"} & set(arguments) else caught
    try:
        with contextlib.redirect_stderr(caught), contextlib.redirect_stdout(stdout):
            return tyro.cli(
                command_type, args=arguments, prog=prog, description=description, **options
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        # tyro's error is a coloured box, with a title and hints.
        text = re.sub(r"\x1b\[[0-9;]*m", "", caught.getvalue())
        lines = [line.strip("│╭╮╰╯─ \t") for line in text.splitlines()]
        words = " ".join(line for line in lines[1:] if line.strip("-"))
        words = re.split(r" ?(?:For full helptext|Argument helptext)", words)[0].rstrip(".")
        words = re.sub("^Missing from [^:]*:", "missing", words)
        close = ", ".join(
            line.split()[0].rstrip(",") for line in lines if re.match("--[a-z]", line)
        )
        words = re.sub(
            " (?:Perhaps you meant:|Arguments similar to).*", f". Perhaps you meant {close}", words
        )
        words = re.sub(r"(?<=[^.;]) (?=Unrecognized options)", ". ", words)
        raise InputError(f"{prog.removeprefix('python -m ')}: {words}; see --help") from None


def run_named(commands: Mapping[str, type], arguments: Sequence[str], *, prog: str) -> None:
    """Runs one of several commands, types that tyro builds and that are called. prog: before a
    command's name.

    Raises InputError for an unknown command, and for flags that cannot be used, by their names.
    """
    name, *flags = arguments or [""]
    if name not in commands:
        raise InputError(
            f"{prog}: {name!r} is not a command; there are {', '.join(commands)}"
            f"{suggest_name(name, commands)}"
        )
    with flags_in_messages(flags_of(commands[name])):
        parse(commands[name], flags, prog=f"{prog} {name}")()


def flags_of(command_type: type) -> dict[str, str]:
    """Returns the spelling of each field on the command line, such as {"video_root":
    "--video-root", "run": "RUN"}.
    """
    flags = {}
    for name, hint in get_type_hints(command_type, include_extras=True).items():
        inner, *marks = get_args(hint) or [hint]
        given = next((mark for mark in marks if hasattr(mark, "metavar")), arg())
        if dataclasses.is_dataclass(inner):
            flags |= flags_of(inner)
        elif Positional in marks:
            flags[name] = (given.metavar or name.upper()).rstrip(".")
        else:
            flags[name] = "--" + (given.name or name.replace("_", "-"))
    return flags


def as_flags(message: str, flags: Mapping[str, str]) -> str:
    """Spells the arguments that stand in backticks in a message as flags.

    flags: as `flags_of` returns.
    """
    return re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), message)


@contextlib.contextmanager
def flags_in_messages(flags: Mapping[str, str]) -> Iterator[None]:
    """Spells arguments in the messages of errors as flags: the one at fault, and those in
    backticks.
    """
    try:
        yield
    except (InputError, RunError) as error:
        argument, message = (
            getattr(error, "argument", ""),
            as_flags(str(error.args[-1]) if error.args else "", flags),
        )
        raise type(error)(
            *([flags.get(argument, argument)] if argument else []), message
        ) from error.__cause__


def screen_width() -> int:
    """Returns WIDTH, or what the environment's COLUMNS says if that is less."""
    asked = os.environ.get("COLUMNS", "")
    return min(WIDTH, int(asked)) if asked.isdecimal() and int(asked) > 40 else WIDTH


def fold_lines(text: str, width: int = WIDTH) -> str:
    """Breaks lines that are longer at spaces; what goes on is set in, below the second column if
    there are two. Commands stay whole: in pieces they cannot be pasted.
    """

    def broken(line: str) -> str:
        if len(line) <= width or "│" in line or "──" in line:  # tyro's boxes have their own width
            return line
        if line.removeprefix("next: ").startswith(("kpjax ", "python -m ")):
            return line
        columns = re.match(r" {2,}\S+(?: \S+)? {2,}", line)
        indent = (
            columns.end()
            if columns and columns.end() <= width // 3
            else len(line) - len(line.lstrip()) + 4
        )
        return "\n".join(
            textwrap.wrap(
                line,
                width,
                subsequent_indent=" " * indent,
                break_long_words=False,
                break_on_hyphens=False,
                replace_whitespace=False,
                drop_whitespace=True,
            )
        )

    return "\n".join(map(broken, text.split("\n")))


class _Plain:
    """Standard output that shows control characters, as of names in files, and does not send them
    to the terminal.

    width: in letters, of folded lines; None leaves lines as they are. keep: control characters that
    are sent.
    """

    def __init__(self, stream: Any, width: int | None = None, keep: str = "\n\t"):
        self.colourful, self.width, self.keep = stream, width, keep

    def write(self, text: str) -> int:
        shown = printable(text, keep=self.keep)
        self.colourful.write(fold_lines(shown, self.width) if self.width else shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:  # such as `flush` and `isatty`
        return getattr(self.colourful, name)


def asks_for_words(arguments: Sequence[str]) -> bool:
    """Returns whether a command line asks for a help text or the version, and computes nothing."""
    return not arguments or bool({"-h", "--help", "--help-all", "--version"} & set(arguments))


def exit_code_of(main: Callable[[], Any], width: int | None = None) -> int:
    """Runs a command and returns its exit code, after printing an error's one line.

    width: in letters, to which lines are folded; None for tables that must not be, and for errors
    in one line.

    0 at the end, 2 for input that a user can mend, 1 for a run that cannot go on, 130 after Ctrl-C,
    141 where nobody reads on, as after `| head`, and 143 after SIGTERM, which leaves a checkpoint
    of the exact step. Of several processes, one that fails ends here at once: Python would wait for
    the others, and they for it.
    """
    code, message = 0, ""
    # Python's last search for cycles in millions of objects takes a second
    atexit.register(gc.freeze)
    computes = not asks_for_words(sys.argv[1:])
    if only_cpu():
        keep_freed_memory()
        set_compiler_flags(ask=computes)
    if computes:
        from kpjax.compile_cache import keep_programs  # help texts need it late

        keep_programs()
    if hasattr(sys.stdout, "reconfigure"):
        # A terminal in ASCII has no ±. A log is read while it is written.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    try:
        with (
            contextlib.redirect_stdout(_Plain(sys.stdout, width))
            if sys.stdout
            else contextlib.nullcontext()
        ):
            main()
            print(end="", flush=True)
    except InputError as error:
        code, message = 2, f"error: {error}"
    except RunError as error:
        code = getattr(error, "exit_code", 1)  # that of `kpjax.training.process.Interrupted`
        message = f"error: {error}" if code == 1 else str(error)
    except KeyboardInterrupt as error:
        code, message = (
            130,
            str(error) or "stopped; the same command goes on from its last checkpoint",
        )
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            code = 141
        elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EBADF, errno.EIO):
            code, message = (
                1,
                f"error: {error.filename or 'standard output'} cannot be written: {error.strerror}",
            )
        elif why := _without_backend(error):
            code, message = 2, f"error: JAX_PLATFORMS: {why}; unset it, or name cpu"
        elif "Disallowed" in str(error) and "transfer" in str(error):
            code, message = 2, "error: JAX_TRANSFER_GUARD forbids what every run does; unset it"
        else:
            code, message = 1, _of_bucket(error) or (_process() and _end_of_others(error))
            if not (message or _process()):
                raise
            message = message or traceback.format_exc()
    if message:
        defect = message.startswith("Traceback")
        if len(message) > 2 * LONGEST and not defect:
            message = f"{message[:LONGEST]} ... {message[-LONGEST:]}"
        shown = _process() + printable(message, keep="\n" if defect else "")
        print(
            fold_lines(shown, width) if width and not defect else shown, file=sys.stderr, flush=True
        )
    if code and code != INTERRUPTED and _process():
        sys.stdout.flush()
        if sys.modules["jax"].process_index() == 0:
            # It serves JAX's coordination, and whoever asks that in vain is aborted with a stack
            # trace. What differs between hosts ends all of them, a moment apart.
            time.sleep(LAST_WORDS)
        os._exit(code)
    return code


def _without_backend(error: Exception) -> str:
    """Returns why JAX has no backend that JAX_PLATFORMS names, "" for another error.

    JAX says so, or asserts it without a word where it knows the name and no package is installed.
    """
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    if isinstance(error, RuntimeError) and "Unable to initialize backend" in str(error):
        return " ".join(str(error).split())[:300]
    if isinstance(error, AssertionError) and raised_in.endswith("xla_bridge.py"):
        return f"JAX has no backend {os.environ.get('JAX_PLATFORMS', '')!r} here"
    return ""


def _nobody_reads() -> bool:
    """Returns whether standard output is a closed pipe, and then gives up what is still to be
    written there.
    """
    try:
        # what could not be written before is lost, and flushing it alone tells nothing
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _process() -> str:
    """Returns "process 1: " in a run on several hosts, and nothing otherwise."""
    jax = sys.modules.get("jax")
    return f"process {jax.process_index()}: " if jax and jax.distributed.is_initialized() else ""


def _of_bucket(error: Exception) -> str:
    """Returns a line if an error was raised by a bucket's client, which tries what is worth it
    (429, 503) by itself.
    """
    clients = {"gcsfs", "aiohttp", "fsspec"}
    callers = (
        frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)
    )
    if not clients & {name.partition(".")[0] for name in callers}:
        return ""
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"error: a bucket cannot be read: {reason}; nothing there is lost, and the same command goes on"


def _end_of_others(error: Exception) -> str:
    """Returns a line if an error says no more than that another process has ended."""
    first = str(error).splitlines()[0] if str(error) else ""
    gone = ("Connection closed by peer", "Connection reset by peer", "coordination service", "NCCL")
    return (
        f"error: another process has ended; its own message says why ({first})"
        if any(word in first for word in gone)
        else ""
    )
