"""`vrp-sam train pascal5i | coco20i`: training of a VRP encoder as in the paper."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_vrp_sam.cli.app import console, stderr_console
from napari_vrp_sam.cli.common.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.common.options import AnnotationKindName, Benchmark, DeviceOption
from napari_vrp_sam.cli.research.few_shot import AnnotationOption, DataOption, ReferencesOption
from napari_vrp_sam.cli.research.train import (
    BatchSizeOption,
    OutputOption,
    PrecisionOption,
    TrainingPrecision,
    lightning_required,
    train_app,
)

SamName = StrEnum("SamName", ["vit_b", "vit_l", "vit_h"])
# The last semantic encoder is not part of the paper.
SemanticEncoderName = StrEnum(
    "SemanticEncoderName", ["resnet50", "vgg16", "dinov2_b14", "efficientnet_lite0"]
)
LossName = StrEnum("LossName", ["both", "bce", "dice"])
InitialisationName = StrEnum("InitialisationName", ["random", "foreground", "background", "half"])


SUMMARY = (
    "Train a VRP encoder on the {} base classes of a fold of {}. Run the same command again to "
    "resume an interrupted run."
)


@train_app.command(Benchmark.COCO.value, help=SUMMARY.format(60, "COCO-20i"))
@train_app.command(Benchmark.PASCAL.value, help=SUMMARY.format(15, "Pascal-5i"))
def train(
    context: typer.Context,
    data: DataOption,
    fold: Annotated[int, typer.Option(min=0, max=3, help="Fold whose classes are excluded.")],
    output: OutputOption,
    sam: Annotated[
        SamName, typer.Option(metavar="NAME", help="Frozen SAM: vit_b, vit_l or vit_h.")
    ] = SamName.vit_h,
    semantic: Annotated[
        SemanticEncoderName,
        typer.Option(
            metavar="NAME", help=f"Frozen semantic encoder: {', '.join(SemanticEncoderName)}."
        ),
    ] = SemanticEncoderName.resnet50,
    annotation: AnnotationOption = AnnotationKindName.MASK,
    references: ReferencesOption = 1,
    loss: Annotated[
        LossName,
        typer.Option(
            metavar="NAME",
            help="Binary cross-entropy (bce), Dice loss (dice), or their sum (both).",
        ),
    ] = LossName.both,
    queries: Annotated[int, typer.Option(min=1, help="Number of prompts per reference.")] = 50,
    initialisation: Annotated[
        InitialisationName,
        typer.Option(
            metavar="NAME",
            help="Initial queries: learned (random), or prototypes of foreground, background "
            "or half of each (half).",
        ),
    ] = InitialisationName.random,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of epochs. Default: as in the paper.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Initial learning rate. Default: as in the paper.")
    ] = None,
    batch_size: BatchSizeOption = 8,
    precision: PrecisionOption = TrainingPrecision.SINGLE,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Folder for SAM's embeddings, 2 MiB per image. Default: beside the weights file."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and episodes.")] = 0,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Number of devices per machine.")] = 1,
    nodes: Annotated[
        int,
        typer.Option(
            min=1, help="Number of machines; each needs MASTER_ADDR, MASTER_PORT and NODE_RANK."
        ),
    ] = 1,
    workers: Annotated[
        int, typer.Option(min=0, help="Number of processes per device that read images.")
    ] = 4,
    offline: OfflineOption = False,
) -> None:
    """Train on the benchmark that the command is named after."""
    from napari_vrp_sam.models.devices import resolve_device
    from napari_vrp_sam.models.weights.downloads import cache_folder, text_progress
    from napari_vrp_sam.models.zoo.registry import load_model
    from napari_vrp_sam.research.datasets.open import open_benchmark

    with lightning_required():
        from napari_vrp_sam.research.few_shot.recipe import Recipe
        from napari_vrp_sam.research.few_shot.train import train_few_shot
        from napari_vrp_sam.research.resuming import weights_path
        from napari_vrp_sam.research.trainer import check_devices, check_nodes

    forbid_downloads(offline)
    benchmark = str(context.info_name)
    changes: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate}
    recipe = Recipe.published(
        benchmark,
        **{key: value for key, value in changes.items() if value is not None},
        batch_size=batch_size,
        loss=loss.value,
        queries=queries,
        initialisation=initialisation.value,
        annotation=annotation.value,
        references=references,
        seed=seed,
    )
    dataset = open_benchmark(benchmark, data, cache_folder() / "few-shot")
    # Check all inputs before SAM is downloaded or loaded.
    weights_path(output)
    check_devices(resolve_device(device), devices)
    check_nodes(nodes)
    dataset.image_ids("train")
    for files in dataset.required_files():
        if not files.complete:
            stderr_console.print(
                f"{files.path} has {files.found} of {files.expected} files; vrp-sam data check "
                "reports where to download the others.",
                soft_wrap=True,
            )
    with stderr_console.status("") as status:
        model: Any = load_model(
            sam.value, semantic_encoder=semantic.value, progress=text_progress(status.update)
        )
        path = train_few_shot(
            output,
            dataset,
            fold,
            model,
            semantic.value,
            recipe,
            cache_folder=embeddings or output.parent / "embeddings",
            device=device,
            devices=devices,
            nodes=nodes,
            workers=workers,
            precision=precision.value,
            progress=status.update,
            on_start=status.stop,
        )
    console.print(path, soft_wrap=True)
