"""`vrp-sam samples`: list and download real, openly licensed stacks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vrp_sam.cli.app import app, console, stderr_console
from napari_vrp_sam.cli.common.downloads import OfflineOption, download_bar, forbid_downloads
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from napari_vrp_sam.models.weights.downloads import PublishedFile

samples_app = typer.Typer(help="List and download real, openly licensed stacks to try it on.")
app.add_typer(samples_app, name="samples")


@samples_app.callback(invoke_without_command=True)
def _samples(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_all()


@samples_app.command("list")
def list_all() -> None:
    """List the stacks that can be downloaded."""
    from rich.table import Column, Table

    from napari_vrp_sam.io.samples.real_stacks import REAL_STACKS

    table = Table(Column("sample", no_wrap=True), "", "state")
    for stack in REAL_STACKS:
        sizes = ", ".join(map("{} {}".format, stack.axes, stack.shape))
        text = f"{stack.description} {sizes}. {stack.origin}, {stack.file.licence}."
        state = "downloaded" if stack.file.downloaded else "not downloaded"
        table.add_row(stack.name, text, state)
    console.print(table)


@samples_app.command()
def download(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of samples. Default: all.", metavar="NAME")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for a copy. Default: none, the files stay in the cache."),
    ] = None,
    offline: OfflineOption = False,
) -> None:
    """Download stacks, verify their SHA-256, and print the paths of the files.

    Resumes interrupted downloads. VRP_SAM_CACHE sets the cache folder, VRP_SAM_MIRROR an address
    to try before the original ones.
    """
    from napari_vrp_sam.io.samples.real_stacks import REAL_STACKS, real_stack

    forbid_downloads(offline)
    for stack in [real_stack(name) for name in names] if names else REAL_STACKS:
        with download_bar() as progress:
            path = stack.file.fetch(progress=progress)
        if output is not None:
            path = _copy(stack.file, path, output)
        stderr_console.print(
            f"{stack.name}: axes {stack.axes}, {stack.file.licence}, {stack.origin}.",
            soft_wrap=True,
        )
        console.print(path, soft_wrap=True)


def _copy(file: PublishedFile, path: Path, folder: Path) -> Path:
    """Copy a downloaded file into a folder of the user, and return its path there."""
    from napari_vrp_sam.files import atomic

    target = folder / file.name
    if target.is_file() and file.matches(target):
        return target
    if target.exists():
        raise InputError(f"{target} already exists: choose another folder, or rename it.")
    with atomic(target) as temporary:
        shutil.copyfile(path, temporary)
    return target
