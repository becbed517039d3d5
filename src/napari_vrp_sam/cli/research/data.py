"""`vrp-sam data`: what there is of the data sets that the paper is measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, console
from napari_vrp_sam.cli.options import Benchmark
from napari_vrp_sam.errors import InputError

data_app = typer.Typer(help="Data sets that the paper is measured on.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command()
def check(
    benchmark: Annotated[Benchmark, typer.Argument(help="Which data.")],
    data: Annotated[Path, typer.Option(help="Its folder.")],
) -> None:
    """Say what is there, what is missing, and where to get it.

    Exits with 2 unless everything is there.
    """
    from rich.table import Column, Table

    from napari_vrp_sam.research.datasets.open import open_few_shot

    parts = open_few_shot(benchmark.value, data).parts()
    path_column = Column("", overflow="fold")  # never cut off
    table = Table(path_column, "files", "of", title=f"{benchmark.value} in {data}")
    for part in parts:
        inside = part.path.is_relative_to(data)
        path = part.path.relative_to(data) if inside else part.path
        table.add_row(str(path), f"{part.found}", f"{part.expected}")
    console.print(table)
    missing = [part for part in parts if not part.whole]
    if missing:
        for source in dict.fromkeys(part.source for part in missing):
            names = ", ".join(part.path.name for part in missing if part.source == source)
            console.print(f"Get {names} from", soft_wrap=True)
            console.print(source, soft_wrap=True)  # a line of its own, to be copied
        raise InputError(
            f"{len(missing)} of {len(parts)} parts are not whole: unpack what is named above in "
            f"{data}."
        )
