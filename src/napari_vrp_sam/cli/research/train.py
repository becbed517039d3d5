"""`vrp-sam train lite`: training of the default model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, console
from napari_vrp_sam.cli.common.options import DeviceOption
from napari_vrp_sam.errors import InputError

OutputOption = Annotated[
    Path,
    typer.Option(
        "--output",
        help="Weights file to write (.safetensors); checkpoints and the log are written beside it.",
    ),
]
BatchSizeOption = Annotated[
    int, typer.Option("--batch-size", min=1, help="Episodes per step and device.")
]


class TrainingPrecision(StrEnum):
    """Floating-point formats for training."""

    SINGLE = "32"
    BFLOAT = "bf16"


PrecisionOption = Annotated[
    TrainingPrecision,
    typer.Option("--precision", metavar="NAME", help="Floating-point format: 32, or bf16 on GPUs."),
]

train_app = typer.Typer(help="Train a model.", no_args_is_help=True)
app.add_typer(train_app, name="train")


@contextmanager
def lightning_required() -> Iterator[None]:
    """Turn the ImportError of a missing Lightning into an InputError with install advice."""
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
    output: OutputOption,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATASET",
            help="Dataset besides the synthetic worlds: a folder of images and masks, a COCO file "
            "of instances (.json), or a name or a use ('train') in VRP_SAM_DATA. Repeatable.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the images of COCO files. Default: beside the file."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of steps.")] = 3000,
    batch_size: BatchSizeOption = 6,
    size: Annotated[
        int, typer.Option(min=32, help="Height and width of the frames, a multiple of 32.")
    ] = 192,
    references: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="References per episode. Default: 1. Repeat to train with several numbers."
        ),
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0, help="Maximum learning rate.")] = 3e-4,
    backbone_rate: Annotated[
        float,
        typer.Option(
            min=0, help="Learning rate of the backbone relative to that of the rest; 0 freezes it."
        ),
    ] = 0.0,
    initial: Annotated[
        Path | None,
        typer.Option(help="Weights file of lite to start from. Default: ImageNet weights."),
    ] = None,
    keep_initial: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Weight of the initial weights in their average with the trained weights.",
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initialisation and episodes.")] = 0,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Number of devices of the chosen type.")] = 1,
    precision: PrecisionOption = TrainingPrecision.SINGLE,
    workers: Annotated[
        int, typer.Option(min=0, help="Number of processes per device that generate episodes.")
    ] = 1,
) -> None:
    """Train the default model from ImageNet weights on synthetic worlds and datasets.

    Run the same command again to resume an interrupted run.
    """
    from napari_vrp_sam.research.datasets.open import find_datasets

    datasets = find_datasets(data or [], images=images)
    with lightning_required():
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
        precision=precision.value,
        workers=workers,
    )
    console.print(path, soft_wrap=True)
