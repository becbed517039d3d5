"""The application that the commands are registered with, and what errors become."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from napari_vrp_sam.errors import InputError

# Names of files and models are shown as they are: ex[red]x.tif is no markup, :red: no emoji.
console = Console(markup=False, emoji=False)
"""Where results go (stdout)."""
stderr_console = Console(stderr=True, markup=False, emoji=False)
"""Where everything else goes."""


class _Group(TyperGroup):
    """Turns our exceptions into exit codes, for every command at one place."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            stderr_console.print(Text.assemble(("Error:", "red"), f" {error}"), soft_wrap=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            _tell_what_is_kept(error)
            stderr_console.print("Interrupted.")
            raise typer.Exit(130) from error
        except Exception as error:
            _tell_what_is_kept(error)
            raise


def _tell_what_is_kept(error: BaseException) -> None:
    """Exceptions bring it along as notes, see `rescuing`; not every traceback shows them."""
    for note in getattr(error, "__notes__", ()):
        stderr_console.print(note, soft_wrap=True)


app = typer.Typer(
    name="vrp-sam",
    cls=_Group,
    help="Annotate a class on one slice, segment it on every frame of the stack.",
    no_args_is_help=True,
    # A traceback is for us: with the local variables it would bury the one line that matters.
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
evaluate_app = typer.Typer(help="Measure a model on data sets with truth.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
