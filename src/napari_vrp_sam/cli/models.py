"""`vrp-sam models`: what there is, where it comes from, whether it is whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vrp_sam.cli.app import app, console
from napari_vrp_sam.cli.downloads import download_bar
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from napari_vrp_sam.models.zoo.registry import ModelSpec

models_app = typer.Typer(
    help="List, show, download and verify models; import, export, rename and delete your own."
)
app.add_typer(models_app, name="models")

Name = Annotated[str, typer.Argument(help="Name of a model.")]


@models_app.callback(invoke_without_command=True)
def _models(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_all()


@models_app.command("list")
def list_all() -> None:
    """List all models: the default first, your own last."""
    from rich.table import Table

    from napari_vrp_sam.models.zoo.registry import list_models
    from napari_vrp_sam.models.zoo.user_models import list_user_models

    table = Table("model", "", "weights")
    for spec in list_models():
        table.add_row(spec.name, spec.description, _state(spec))
    for own in list_user_models():
        if own.problem:
            table.add_row(own.name, own.problem, "damaged")
    console.print(table)


@models_app.command()
def show(name: Name) -> None:
    """Show what a model is made of, and where its weights come from and lie."""
    from rich.table import Table

    from napari_vrp_sam.models.zoo.registry import model_spec, prompting_note

    spec = model_spec(name)
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("model", spec.name)
    table.add_row("", spec.description)
    table.add_row("image encoder", spec.image_encoder)
    table.add_row("semantic encoder", spec.semantic_encoder)
    if note := prompting_note(name):
        table.add_row("prompting", note)
    table.add_row("licence", spec.licence)
    table.add_row("weights", _state(spec))
    if spec.user_weights is not None:
        table.add_row("file", str(spec.user_weights))
    for file in spec.downloads:
        table.add_section()
        table.add_row("file", str(file.path))
        table.add_row("from", file.url)
        table.add_row("sha256", file.sha256)
        table.add_row("licence", file.licence)
    for key, value in sorted(spec.metadata().items()):
        table.add_row(key.replace("_", " "), _readable(value))
    console.print(table)


@models_app.command()
def download(name: Name) -> None:
    """Download what a model needs; files that are there and whole are kept.

    What broke off goes on. VRP_SAM_CACHE names the folder, VRP_SAM_MIRROR an address to try before
    the publishers'. A file that you put into the folder counts, whatever its name.
    """
    from napari_vrp_sam.models.zoo.registry import model_spec

    spec = model_spec(name)
    if not spec.downloads:
        where = "a file of your own" if spec.user_weights else "a part of the package"
        console.print(f"{name} is {where}: there is nothing to download.")
    with download_bar() as progress:
        paths = spec.download(progress=progress)
    for path in paths:
        console.print(path, soft_wrap=True)


@models_app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of models; all that are here unless given.")
    ] = None,
) -> None:
    """Check the weights of models: the digest of downloads, the fit of all other files."""
    from napari_vrp_sam.models.zoo.registry import list_models, load_model, model_spec
    from napari_vrp_sam.models.zoo.user_models import list_user_models

    specs = [model_spec(name) for name in names] if names else list_models()
    damaged = []
    unusable = [own.problem for own in list_user_models() if own.problem and not names]
    for spec in specs:
        if not spec.downloads:
            load_model(spec.name)  # says itself what is wrong
        for file in spec.downloads:
            if not file.downloaded and names:
                raise InputError(f"{spec.name} is not here: vrp-sam models download {spec.name}.")
            if file.downloaded and not file.verify():
                damaged.append(str(file.path))
        if spec.ready:
            state = "damaged" if any(str(f.path) in damaged for f in spec.downloads) else "whole"
            console.print(f"{spec.name}: {state}")
    if unusable:
        raise InputError(unusable[0])
    if damaged:
        raise InputError(f"{', '.join(damaged)} differs from what was published: download again.")


def _readable(value: str) -> str:
    """A value of a weights file's header; nested ones are JSON, here a line an entry."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    if isinstance(parsed, dict):
        return "\n".join(f"{key}: {entry}" for key, entry in parsed.items())
    if isinstance(parsed, list):
        return "\n".join(
            ", ".join(map(str, entry.values())) if isinstance(entry, dict) else str(entry)
            for entry in parsed
        )
    return value


def _state(spec: ModelSpec) -> str:
    if not spec.downloads:
        return "your own" if spec.user_weights else "in the package"
    size = sum(file.size or 0 for file in spec.downloads)
    missing = f"to be downloaded ({size / 1e6:,.0f} MB and more)"
    return "downloaded" if spec.ready else missing
