"""The Typer application that commands register with: exit codes, consoles, logging."""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
import signal
import threading
import warnings
from collections.abc import Generator, Sequence
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from napari_vrp_sam.errors import InputError

# File and model names are printed verbatim: "ex[red]x.tif" is not markup, ":red:" is not an emoji.
console = Console(markup=False, emoji=False)
"""Console for results (stdout)."""
stderr_console = Console(stderr=True, markup=False, emoji=False)
"""Console for progress, messages and errors (stderr)."""

RENAMED_OPTIONS = {
    "--frame": "--reference-frame",
    "--kind": "--annotation-kind",
    "--limits": "--contrast-limits",
    "--out": "--output",
    "--tile": "--tile-size",
}
"""Current name of each option that was renamed."""

logger = logging.getLogger(__name__)


class _ConsoleHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        stderr_console.print(self.format(record), soft_wrap=True)


_handler = _ConsoleHandler()
_handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))


class TerminatedError(KeyboardInterrupt):
    """Request to end the process, by SIGTERM: from a scheduler, a container or `kill`."""


@contextlib.contextmanager
def raise_on_termination() -> Generator[None]:
    """Raise `TerminatedError` at the first SIGTERM; a second one ends the process at once."""

    def terminate(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise TerminatedError

    if threading.current_thread() is not threading.main_thread():  # which receives all signals
        yield
        return
    earlier = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


class CommandGroup(TyperGroup):
    """Command group that maps exceptions to exit codes and unwraps the help of its commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        _unwrap_help(self)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            with raise_on_termination(), warnings.catch_warnings():
                warnings.showwarning = _print_warning
                return super().invoke(ctx)
        except InputError as error:
            text = _name_options(str(error), self.commands.get(ctx.invoked_subcommand))
            stderr_console.print(Text.assemble(("Error:", "red"), f" {text}"), soft_wrap=True)
            raise typer.Exit(2) from error
        except OSError as error:
            _print_notes(error)
            if error.filename is None:
                raise
            # Paths that users give: names that are too long, folders that may not be entered.
            text = f"{error.filename} cannot be used: {error.strerror}. Choose another path."
            stderr_console.print(Text.assemble(("Error:", "red"), f" {text}"), soft_wrap=True)
            logger.debug("The command failed", exc_info=error)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            _print_notes(error)
            terminated = isinstance(error, TerminatedError)
            stderr_console.print("Terminated." if terminated else "Interrupted.")
            raise typer.Exit(128 + (signal.SIGTERM if terminated else signal.SIGINT)) from error
        except Exception as error:
            _print_notes(error)
            raise


class DeprecatedOptionsCommand(TyperCommand):
    """Command that accepts deprecated options, and prints a warning for each one in use.

    Renamed options are those of `RENAMED_OPTIONS`. Every hidden option is deprecated too; its help
    text names the replacement.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Replace the old names of renamed options, then parse."""
        known = {name for param in self.params for name in param.opts}
        end = args.index("--") if "--" in args else len(args)
        for index, argument in enumerate(args[:end]):
            old, equals, value = argument.partition("=")
            new = RENAMED_OPTIONS.get(old)
            if new in known and old not in known:
                _warn_deprecated(old, new)
                args[index] = new + equals + value
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        for param in self.params:
            if getattr(param, "hidden", False) and is_given(ctx, param.name or ""):
                _warn_deprecated(param.opts[0], getattr(param, "help", ""))
        return super().invoke(ctx)


def progress_bar(*columns: str | ProgressColumn) -> Progress:
    """Return a progress bar on stderr, which disappears when done; nothing without a terminal."""
    return Progress(
        *columns,
        console=stderr_console,
        transient=True,
        disable=not stderr_console.is_interactive,
    )


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether the user gave a value for a parameter of the command."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def refuse_stored(context: typer.Context, names: Sequence[str], source: str) -> None:
    """Refuse options whose values are stored in a file that the user gave.

    Parameters
    ----------
    context : Context
    names : sequence of str
        Parameters of the command.
    source : str
        Option of the file without dashes, such as "session".

    Raises
    ------
    InputError
        If the user gave one of the options.
    """
    options = {param.name: param.opts[0] for param in context.command.params}
    for name in names:
        if is_given(context, name):
            option = options[name]
            raise InputError(f"{option} is stored in the {source}: omit {option}, or --{source}.")


def _name_options(text: str, command: Any) -> str:
    """Replace the names of Python's arguments in a message by the options of a command."""
    options = {param.name: param.opts[0] for param in getattr(command, "params", ())}
    return re.sub(r"`(\w+)`", lambda found: str(options.get(found[1], found[0])), text)


def _warn_deprecated(option: str, replacement: str) -> None:
    logger.warning(
        "%s is deprecated and will be removed in the next release; use %s.", option, replacement
    )


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Print what the user should know in one line, and what a programmer should know in full."""
    text = f"Warning: {message}"
    if not issubclass(category, UserWarning):
        text = warnings.formatwarning(message, category, filename, lineno)
    stderr_console.print(text.rstrip(), soft_wrap=True)


def _print_notes(error: BaseException) -> None:
    """Print the notes of an exception, which say where finished results were saved."""
    for note in getattr(error, "__notes__", ()):
        stderr_console.print(note, soft_wrap=True)


def _unwrap_help(command: Any) -> None:
    """Join the lines of each paragraph: Typer keeps line breaks after the first one."""
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.help or ""))
    for subcommand in getattr(command, "commands", {}).values():
        _unwrap_help(subcommand)


app = typer.Typer(
    name="vrp-sam",
    cls=CommandGroup,
    help="Segment an object class on every frame of a stack after annotating it on one frame.",
    no_args_is_help=True,
    # Local variables would bury the line of a traceback that matters.
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
evaluate_app = typer.Typer(
    help="Measure a model on datasets with ground truth.", no_args_is_help=True
)
app.add_typer(evaluate_app, name="evaluate")


@app.callback()
def _configure_logging(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print log messages to stderr.")
    ] = False,
) -> None:
    package = logging.getLogger("napari_vrp_sam")
    package.setLevel(logging.INFO if verbose else logging.WARNING)
    package.addHandler(_handler)
