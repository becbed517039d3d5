"""`vrp-sam data`: check the datasets of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, console
from napari_vrp_sam.cli.common.options import Benchmark
from napari_vrp_sam.errors import InputError

data_app = typer.Typer(help="Check the datasets of the paper.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command()
def check(
    benchmark: Annotated[
        Benchmark, typer.Argument(metavar="BENCHMARK", help="Few-shot segmentation benchmark.")
    ],
    data: Annotated[Path, typer.Option(help="Folder of the dataset.")],
) -> None:
    """Report which files of a dataset are missing, and where to download them.

    Exits with code 2 if a file is missing.
    """
    from rich.table import Column, Table

    from napari_vrp_sam.research.datasets.open import open_benchmark

    required = open_benchmark(benchmark.value, data).required_files()
    path_column = Column("", overflow="fold")  # rather than truncated
    table = Table(path_column, "files", "of", title=f"{benchmark.value} in {data}")
    for files in required:
        inside = files.path.is_relative_to(data)
        path = files.path.relative_to(data) if inside else files.path
        table.add_row(str(path), f"{files.found}", f"{files.expected}")
    console.print(table)
    incomplete = [files for files in required if not files.complete]
    if incomplete:
        for source in dict.fromkeys(files.source for files in incomplete):
            names = ", ".join(files.path.name for files in incomplete if files.source == source)
            console.print(f"Download {names} from", soft_wrap=True)
            console.print(source, soft_wrap=True)  # on its own line, for copying
        raise InputError(
            f"{len(incomplete)} of {len(required)} items are incomplete: unpack the downloads "
            f"listed above in {data}."
        )
