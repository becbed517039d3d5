"""`vrp-sam models`: list, show, download and verify models; manage user models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, console, stderr_console
from napari_vrp_sam.cli.common.downloads import download_bar
from napari_vrp_sam.errors import InputError

models_app = typer.Typer(
    help="List, show, download and verify models; import, export, rename and delete user models."
)
app.add_typer(models_app, name="models")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a model.")]
UserModelName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a user model.")]


@models_app.callback(invoke_without_command=True)
def _models(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_all()


@models_app.command("list")
def list_all() -> None:
    """List all models: the default first, user models last."""
    from rich.table import Column, Table

    from napari_vrp_sam.models.zoo.model_entry import ModelEntry
    from napari_vrp_sam.models.zoo.registry import list_models
    from napari_vrp_sam.models.zoo.user_models import list_user_models

    table = Table(Column("model", no_wrap=True), "", "device", "weights")
    for entry in map(ModelEntry.of, list_models()):
        text = f"{entry.description} Licence: {entry.licence}."
        state = entry.state_text.replace(" (", "\n(")  # leaves more width for the description
        table.add_row(entry.name, text, entry.speed, state)
    for model in list_user_models():
        if model.problem:
            table.add_row(model.name, model.problem, "", "damaged")
    console.print(table)


@models_app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name of a model, or a weights file.")
    ],
) -> None:
    """Show the networks of a model, and the source and location of its weights."""
    from rich.table import Table

    from napari_vrp_sam.models.zoo.model_entry import ModelEntry
    from napari_vrp_sam.models.zoo.registry import (
        describe_prompting,
        file_spec,
        is_weights_path,
        model_spec,
    )

    spec = file_spec(name) if is_weights_path(name) else model_spec(name)
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("model", spec.name)
    table.add_row("", spec.description)
    table.add_row("image encoder", spec.image_encoder)
    table.add_row("semantic encoder", spec.semantic_encoder)
    if prompting := describe_prompting(name):
        table.add_row("prompting", prompting)
    entry = ModelEntry.of(spec)
    table.add_row("licence", spec.licence)
    if entry.agreement:
        table.add_row("to be accepted at", entry.agreement)
    if entry.citation:
        table.add_row("cite", entry.citation)
    table.add_row("device", entry.speed)
    table.add_row("weights", entry.state_text)
    if spec.user_weights is not None:
        table.add_row("file", str(spec.user_weights))
    for file in spec.downloads:
        table.add_section()
        table.add_row("file", str(file.path))
        table.add_row("from", file.url)
        table.add_row("digest", file.digest)
        table.add_row("licence", file.licence)
    for key, value in sorted(spec.metadata().items()):
        table.add_row(key.replace("_", " "), _format_metadata(value))
    console.print(table)


@models_app.command()
def download(name: Name) -> None:
    """Download the weights of a model, except for files that are already in the cache.

    Resumes interrupted downloads. VRP_SAM_CACHE sets the cache folder, VRP_SAM_MIRROR an address
    to try before the original ones. Weights that you copy to the cache folder yourself are found
    under any file name.
    """
    from napari_vrp_sam.models.zoo.model_entry import ModelEntry
    from napari_vrp_sam.models.zoo.registry import model_spec

    spec = model_spec(name)
    if not spec.downloads:
        kind = "a user model" if spec.user_weights else "included in the package"
        console.print(f"{name} is {kind}: there is nothing to download.")
    if not spec.ready and (agreement := ModelEntry.of(spec).agreement):
        stderr_console.print(
            f"{spec.licence}: accept it at {agreement} before the download.", soft_wrap=True
        )
    with download_bar() as progress:
        paths = spec.download(progress=progress)
    for path in paths:
        console.print(path, soft_wrap=True)


@models_app.command()
def remove(name: Name) -> None:
    """Remove the downloaded weights of a model, except for files that other models need too."""
    from napari_vrp_sam.models.zoo.model_entry import remove_downloads
    from napari_vrp_sam.models.zoo.registry import model_spec

    for path in remove_downloads(model_spec(name)):
        console.print(f"Removed {path}.", soft_wrap=True)


@models_app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names of models. Default: all available ones."),
    ] = None,
) -> None:
    """Check weights files: the SHA-256 of downloads, the tensors of all others."""
    from napari_vrp_sam.models.zoo.registry import list_models, load_model, model_spec
    from napari_vrp_sam.models.zoo.user_models import list_user_models

    specs = [model_spec(name) for name in names] if names else list_models()
    damaged = []
    problems = [model.problem for model in list_user_models() if model.problem and not names]
    for spec in specs:
        if not spec.downloads:
            load_model(spec.name)  # raises if its weights do not fit
        for file in spec.downloads:
            if not file.downloaded and names:
                raise InputError(
                    f"{spec.name} is not downloaded: run vrp-sam models download {spec.name}."
                )
            if file.downloaded and not file.verify():
                damaged.append(str(file.path))
        if spec.ready:
            state = "damaged" if any(str(f.path) in damaged for f in spec.downloads) else "intact"
            console.print(f"{spec.name}: {state}")
    if problems:
        raise InputError(problems[0])
    if damaged:
        raise InputError(f"Not the published weights, download them again: {', '.join(damaged)}.")


@models_app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Model file: .safetensors, or .pth of the paper's code; or published weights of "
            "SAM or a semantic encoder, under any file name.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the model. Default: the name of the file.")
    ] = None,
) -> None:
    """Copy a model file to the user models, or published weights to the cache."""
    from napari_vrp_sam.models.weights.catalogue import find_published
    from napari_vrp_sam.models.weights.downloads import copy_to_cache
    from napari_vrp_sam.models.zoo import user_models

    published = find_published(file) if file.is_file() else None
    if published is not None:
        console.print(f"Published weights: {copy_to_cache(file, published)}", soft_wrap=True)
        return
    model = user_models.add(file, name)
    console.print(f"{model.name}: {model.path}", soft_wrap=True)


@models_app.command()
def export(
    name: UserModelName,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="File to write: .safetensors, or .zip for a BioImage Model Zoo package.",
        ),
    ],
) -> None:
    """Export a user model as a file to import on another machine, or as a Model Zoo package."""
    from napari_vrp_sam.models.zoo import user_models
    from napari_vrp_sam.research.model_zoo.package import export_package

    write = export_package if file.suffix == ".zip" else user_models.export
    console.print(write(name, file), soft_wrap=True)


@models_app.command()
def rename(
    old: UserModelName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="New name.")],
) -> None:
    """Rename a user model."""
    from napari_vrp_sam.models.zoo import user_models

    console.print(f"Renamed {old} to {user_models.rename(old, new).name}.", soft_wrap=True)


@models_app.command()
def delete(
    name: UserModelName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a user model permanently."""
    from napari_vrp_sam.models.zoo import user_models

    user_models.user_model(name)
    if not yes:
        try:
            confirmed = typer.confirm(f"Delete the model '{name}' permanently?")
        except typer.Abort:
            confirmed = False
        if not confirmed:
            raise InputError(f"'{name}' was not deleted: answer y to delete it, or add --yes.")
    user_models.delete(name)
    console.print(f"Deleted {name}.", soft_wrap=True)


def _format_metadata(value: str) -> str:
    """Format a value of a weights file's header; of nested JSON, one line per entry."""
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
