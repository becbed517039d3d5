"""`vrp-sam train pascal5i | coco20i`: the paper's own training, and its ablations."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_vrp_sam.cli.app import console, stderr_console
from napari_vrp_sam.cli.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.options import AnnotationKindName, Benchmark, DeviceOption
from napari_vrp_sam.cli.research.few_shot import DataOption
from napari_vrp_sam.cli.research.train import lightning_needed, train_app


class Variant(StrEnum):
    """Of SAM."""

    VIT_B = "vit_b"
    VIT_L = "vit_l"
    VIT_H = "vit_h"


class Semantic(StrEnum):
    """Where classes are read from; the last is no part of the paper."""

    RESNET50 = "resnet50"
    VGG16 = "vgg16"
    DINOV2 = "dinov2_b14"
    EFFICIENTNET = "efficientnet_lite0"


class Loss(StrEnum):
    """What is minimised."""

    BOTH = "both"
    BCE = "bce"
    DICE = "dice"


class Initialisation(StrEnum):
    """What queries begin as."""

    RANDOM = "random"
    FOREGROUND = "foreground"
    BACKGROUND = "background"
    HALF = "half"


class Precision(StrEnum):
    """Of what is computed."""

    SINGLE = "32"
    BFLOAT = "bf16"


FoldOption = Annotated[
    int, typer.Option("--fold", min=0, max=3, help="Whose classes are left for the measurement.")
]
OutputOption = Annotated[
    Path, typer.Option(help="Weights file to write (.safetensors); checkpoints and log beside it.")
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--embeddings",
        help="Folder for SAM's embeddings of the images, 2 MiB each; beside the weights unless "
        "given.",
    ),
]
AnnotationOption = Annotated[
    AnnotationKindName, typer.Option("--annotation", help="Simulated from the masks.")
]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="As published unless given.")]
RateOption = Annotated[float | None, typer.Option(min=0, help="At first; as published.")]


def _register(benchmark: Benchmark, summary: str) -> None:
    """Both commands are alike."""

    @train_app.command(benchmark.value, help=summary)
    def train(
        data: DataOption,
        fold: FoldOption,
        output: OutputOption,
        sam: Annotated[Variant, typer.Option(help="Stays frozen.")] = Variant.VIT_H,
        semantic: Annotated[Semantic, typer.Option(help="Stays frozen.")] = Semantic.RESNET50,
        annotation: AnnotationOption = AnnotationKindName.MASK,
        references: Annotated[int, typer.Option(min=1, help="Of an episode.")] = 1,
        loss: Annotated[Loss, typer.Option(help="Cross-entropy, Dice, or their sum.")] = Loss.BOTH,
        queries: Annotated[int, typer.Option(min=1, help="Prompts of each reference.")] = 50,
        initialisation: Annotated[
            Initialisation, typer.Option(help="Of the queries: learned, or prototypes.")
        ] = Initialisation.RANDOM,
        epochs: EpochsOption = None,
        learning_rate: RateOption = None,
        batch_size: Annotated[int, typer.Option(min=1, help="Episodes a step.")] = 8,
        precision: Annotated[Precision, typer.Option(help="bf16 is for GPUs.")] = Precision.SINGLE,
        embeddings: CacheOption = None,
        seed: Annotated[int, typer.Option(min=0, help="Of weights and episodes.")] = 0,
        device: DeviceOption = "auto",
        devices: Annotated[
            int, typer.Option(min=1, help="On each machine; each takes a batch of its own.")
        ] = 1,
        nodes: Annotated[
            int,
            typer.Option(
                min=1, help="Machines; MASTER_ADDR, MASTER_PORT and NODE_RANK tell them apart."
            ),
        ] = 1,
        workers: Annotated[
            int, typer.Option(min=0, help="Processes that read images, for each device.")
        ] = 4,
        offline: OfflineOption = False,
    ) -> None:
        from napari_vrp_sam.models.devices import resolve_device
        from napari_vrp_sam.models.weights.downloads import cache_folder, in_words
        from napari_vrp_sam.models.zoo.registry import load_model
        from napari_vrp_sam.research.datasets.open import open_few_shot

        with lightning_needed():
            from napari_vrp_sam.research.few_shot.recipe import Recipe
            from napari_vrp_sam.research.few_shot.train import train_few_shot
            from napari_vrp_sam.research.resuming import weights_path
            from napari_vrp_sam.research.trainer import check_devices, check_nodes

        forbid_downloads(offline)
        changes: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate}
        recipe = Recipe.published(
            benchmark.value,
            **{key: value for key, value in changes.items() if value is not None},
            batch_size=batch_size,
            loss=loss.value,
            queries=queries,
            initialisation=initialisation.value,
            annotation=annotation.value,
            references=references,
            seed=seed,
        )
        few_shot = open_few_shot(benchmark.value, data, cache_folder() / "few-shot")
        # All mistakes before SAM is loaded, or even downloaded.
        weights_path(output)
        check_devices(resolve_device(device), devices)
        check_nodes(nodes)
        few_shot.ids("train")
        for part in few_shot.parts():
            if not part.whole:
                stderr_console.print(
                    f"{part.path} has {part.found} of {part.expected} files; "
                    "vrp-sam data check tells where the others are.",
                    soft_wrap=True,
                )
        with stderr_console.status("") as status:
            model: Any = load_model(
                sam.value, semantic_encoder=semantic.value, progress=in_words(status.update)
            )
            path = train_few_shot(
                output,
                few_shot,
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


_register(
    Benchmark.PASCAL,
    "Train a VRP encoder on the 15 classes of Pascal-5i outside a fold. The same command again "
    "resumes a run that was interrupted.",
)
_register(
    Benchmark.COCO,
    "Train a VRP encoder on the 60 classes of COCO-20i outside a fold. The same command again "
    "resumes a run that was interrupted.",
)
