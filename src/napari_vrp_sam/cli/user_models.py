"""`vrp-sam models import | export | rename | delete`: the user's own models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import console
from napari_vrp_sam.cli.models import Name, models_app
from napari_vrp_sam.errors import InputError


@models_app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Model file: .safetensors, or .pth of the paper's code; or the published weights "
            "of SAM or a semantic encoder, under any name."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Its name; that of the file unless given.")
    ] = None,
) -> None:
    """Take a copy of a model file into your own models, or of published weights into the cache."""
    from napari_vrp_sam.models.weights.catalogue import published_as
    from napari_vrp_sam.models.weights.downloads import keep
    from napari_vrp_sam.models.zoo.user_models import add

    published = published_as(file) if file.is_file() else None
    if published is not None:
        console.print(f"Published weights: {keep(file, published)}", soft_wrap=True)
        return
    own = add(file, name)
    console.print(f"{own.name}: {own.path}", soft_wrap=True)


@models_app.command()
def export(
    name: Name,
    file: Annotated[
        Path,
        typer.Argument(
            help="File to write: .safetensors, or .zip for a package of the BioImage Model Zoo."
        ),
    ],
) -> None:
    """Write a copy of one of your own models, to be imported on any machine; or a package."""
    from napari_vrp_sam.models.zoo import user_models as store
    from napari_vrp_sam.research.model_zoo.package import export_package

    write = export_package if file.suffix == ".zip" else store.export
    console.print(write(name, file), soft_wrap=True)


@models_app.command()
def rename(
    old: Annotated[str, typer.Argument(help="Name of one of your own models.")],
    new: Annotated[str, typer.Argument(help="The name that it gets.")],
) -> None:
    """Give one of your own models another name."""
    from napari_vrp_sam.models.zoo import user_models as store

    console.print(f"{old} is now {store.rename(old, new).name}", soft_wrap=True)


@models_app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Delete one of your own models for good."""
    from napari_vrp_sam.models.zoo import user_models as store

    store.user_model(name)
    if not yes:
        try:
            agreed = typer.confirm(f"Delete the model '{name}' for good?")
        except typer.Abort:
            agreed = False
        if not agreed:
            raise InputError(f"'{name}' was kept: answer y to delete it, or give --yes.")
    store.delete(name)
    console.print(f"{name} is deleted", soft_wrap=True)
