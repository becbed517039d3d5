"""`vrp-sam train lite`: the training that made the model that ships, to be repeated by anyone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, console
from napari_vrp_sam.cli.options import DeviceOption
from napari_vrp_sam.errors import InputError

train_app = typer.Typer(help="Train a model.", no_args_is_help=True)
app.add_typer(train_app, name="train")


@contextmanager
def lightning_needed() -> Iterator[None]:
    """Say what to install where Lightning, which trains, is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "lightning":
            raise
        raise InputError(
            "Training needs Lightning: python -m pip install 'napari-vrp-sam[train]'."
        ) from error


@train_app.command()
def lite(
    output: Annotated[
        Path,
        typer.Option(
            help="Weights file to write (.safetensors); checkpoints and log lie beside it."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Data beside the synthetic worlds: a folder of images and masks, a COCO file of "
            "instances (.json), or a name or a use ('train') in VRP_SAM_DATA. May be repeated."
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images of COCO files, if not beside them.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps in all.")] = 3000,
    batch_size: Annotated[int, typer.Option(min=1, help="Episodes a step.")] = 6,
    size: Annotated[
        int, typer.Option(min=32, help="Height and width of frames, a multiple of 32.")
    ] = 192,
    references: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Annotated frames of an episode, 1 unless given; repeat it to mix numbers."
        ),
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0, help="At its peak.")] = 3e-4,
    backbone_rate: Annotated[
        float, typer.Option(min=0, help="Of the backbone, as a share of the rest's; 0 freezes it.")
    ] = 0.0,
    initial: Annotated[
        Path | None, typer.Option(help="Weights file of lite to start from, not ImageNet's alone.")
    ] = None,
    keep_initial: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the initial weights in those that are written."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of initialisation and episodes.")] = 0,
    device: DeviceOption = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="How many of them; each takes a batch of its own.")
    ] = 1,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that make episodes, for each device.")
    ] = 1,
) -> None:
    """Train the default model from ImageNet weights on synthetic worlds and data sets.

    The same command again resumes a run that was interrupted.
    """
    from napari_vrp_sam.research.datasets.open import find_datasets

    datasets = find_datasets(data or [], images=images)
    with lightning_needed():
        from napari_vrp_sam.research.lite.train import train

    path = train(
        output,
        datasets=datasets,
        steps=steps,
        batch_size=batch_size,
        size=size,
        references=references or (1,),
        learning_rate=learning_rate,
        backbone_rate=backbone_rate,
        initial=initial,
        keep_initial=keep_initial,
        seed=seed,
        device=device,
        devices=devices,
        workers=workers,
    )
    console.print(path, soft_wrap=True)
