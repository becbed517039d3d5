"""`vrp-sam evaluate pascal5i | coco20i`: evaluation by the paper's protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from napari_vrp_sam.cli.app import console, evaluate_app, stderr_console
from napari_vrp_sam.cli.common.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.common.options import (
    MODEL,
    AnnotationKindName,
    Benchmark,
    DeviceOption,
    ModelOption,
    PromptingName,
    PseudoMaskName,
    PseudoMaskOption,
)
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.research.datasets.few_shot_sets import FewShotDataset
    from napari_vrp_sam.research.protocols.few_shot import FewShotScores

DataOption = Annotated[
    Path, typer.Option("--data", help="Folder of the dataset; see vrp-sam data check.")
]
FoldOption = Annotated[int, typer.Option("--fold", min=0, max=3, help="Fold of the novel classes.")]
PromptingsOption = Annotated[
    list[PromptingName] | None,
    typer.Option(
        "--prompting",
        metavar="NAME",
        help=f"Prompts for SAM in full-size models: {', '.join(PromptingName)}. Repeat to compare "
        "several on the same episodes.",
        rich_help_panel=MODEL,
    ),
]
SemanticEncoderOption = Annotated[
    str | None,
    typer.Option(
        "--semantic-encoder",
        metavar="NAME",
        help="resnet50, vgg16 or dinov2_b14. Default: the one that the model was trained with, "
        "else resnet50.",
        rich_help_panel=MODEL,
    ),
]
AnnotationOption = Annotated[
    AnnotationKindName,
    typer.Option(
        "--annotation",
        metavar="KIND",
        help="Annotation of the references: mask, box, scribble or point, simulated from masks.",
    ),
]
ReferencesOption = Annotated[
    int, typer.Option("--references", min=1, help="References per episode.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of episodes and annotations.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the results to this file.")]


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation by the few-shot protocol."""

    model: str
    prompting: Sequence[PromptingName]
    semantic_encoder: str | None
    pseudo_mask: PseudoMaskName | None
    annotation: AnnotationKindName
    references: int
    episodes: int
    seed: int
    device: str

    def protocol(self) -> dict[str, Any]:
        """Return the settings that determine the results, to be written with them."""
        settings = asdict(self)
        del settings["device"]
        return settings | {"prompting": [prompting.value for prompting in self.prompting]}


class EvaluationData(NamedTuple):
    """Classes of a dataset to evaluate."""

    dataset: FewShotDataset
    fold: int
    classes: Sequence[int]
    normalisation: Normalisation


def evaluate_each(
    settings: EvaluationSettings, evaluations: Sequence[EvaluationData]
) -> Iterator[dict[str, Any]]:
    """Load a model and evaluate it on several datasets in turn.

    Yields
    ------
    dict
        By method: `mean_iou`, `fb_iou` and, by name, `classes`.

    Raises
    ------
    InputError
        If a dataset or the model is missing, or the model does not support the prompting.
    """
    from napari_vrp_sam.models.weights.downloads import text_progress
    from napari_vrp_sam.models.zoo.registry import describe_prompting, load_model
    from napari_vrp_sam.research.protocols.few_shot import evaluate_methods
    from napari_vrp_sam.research.protocols.model_method import prompted_methods

    if not settings.prompting and (note := describe_prompting(settings.model)):
        stderr_console.print(note, soft_wrap=True)
    with stderr_console.status("") as status:
        for evaluation in evaluations:
            evaluation.dataset.images_by_class("test", status.update)
        model = load_model(
            settings.model,
            device=settings.device,
            pseudo_mask=None if settings.pseudo_mask is None else settings.pseudo_mask.value,
            semantic_encoder=settings.semantic_encoder,
            progress=text_progress(status.update),
        )

        def progress(done: int, scores: Mapping[str, FewShotScores]) -> None:
            means = ", ".join(f"{name} {score.mean_iou:.3f}" for name, score in scores.items())
            status.update(f"Episode {done} of {settings.episodes}, mIoU so far: {means}")

        for dataset, fold, classes, normalisation in evaluations:
            scores = evaluate_methods(
                dataset,
                fold,
                prompted_methods(
                    model,
                    [prompting.value for prompting in settings.prompting],
                    settings.device,
                    normalisation=normalisation,
                ),
                classes=classes,
                count=settings.episodes,
                references=settings.references,
                kind=settings.annotation.value,
                seed=settings.seed,
                progress=progress,
            )
            yield {
                method: {
                    "mean_iou": score.mean_iou,
                    "fb_iou": score.fb_iou,
                    "classes": {dataset.class_names[c - 1]: iou for c, iou in score.ious.items()},
                }
                for method, score in scores.items()
            }


def training_data_of(model: str) -> dict[str, Any] | None:
    """Return the dataset and fold that a weights file was trained on; None if unknown."""
    from napari_vrp_sam.models.weights.headers import read_header
    from napari_vrp_sam.models.zoo.registry import weights_file

    path = weights_file(model)
    if path is None or path.suffix != ".safetensors":
        return None
    metadata = read_header(path).metadata
    if "fold" not in metadata:
        return None
    return {"name": metadata["data"], "fold": int(metadata["fold"])}


def seen_class_names(
    dataset: FewShotDataset, classes: Sequence[int], training: Mapping[str, Any]
) -> list[str]:
    """Return the names of the classes that a model may have been trained on."""
    try:
        unseen = dataset.unseen_classes(training["name"], training["fold"])
    except InputError:  # the classes cannot be compared
        unseen = ()
    return [dataset.class_names[c - 1] for c in classes if c not in unseen]


def print_results(title: str, results: Mapping[str, Any]) -> None:
    """Print a table of the IoU of each class, with a column for each method."""
    from rich.table import Table

    table = Table("IoU")
    for method in results:
        table.add_column(method, justify="right")
    for name in next(iter(results.values()))["classes"]:
        ious = (result["classes"][name] for result in results.values())
        table.add_row(name, *(f"{iou:.3f}" for iou in ious))
    table.add_section()
    for name, key in (("mIoU", "mean_iou"), ("FB-IoU", "fb_iou")):
        table.add_row(name, *(f"{result[key]:.3f}" for result in results.values()))
    console.print(title)
    console.print(table)


@evaluate_app.command(
    Benchmark.COCO.value,
    help="Evaluate on the 20 novel classes of a fold of COCO-20i: mIoU and FB-IoU.",
)
@evaluate_app.command(
    Benchmark.PASCAL.value,
    help="Evaluate on the 5 novel classes of a fold of Pascal-5i: mIoU and FB-IoU.",
)
def evaluate(
    context: typer.Context,
    data: DataOption,
    fold: FoldOption,
    model: ModelOption = "lite",
    prompting: PromptingsOption = None,
    semantic_encoder: SemanticEncoderOption = None,
    annotation: AnnotationOption = AnnotationKindName.MASK,
    references: ReferencesOption = 1,
    episodes: Annotated[
        int, typer.Option(min=1, help="Number of episodes; the paper uses 1000.")
    ] = 1000,
    novel_to: Annotated[
        Benchmark | None,
        typer.Option(
            metavar="NAME",
            help="Evaluate on the classes that a model trained on the same fold of this benchmark, "
            "pascal5i or coco20i, has not seen. The paper's domain shift: pascal5i with coco20i.",
        ),
    ] = None,
    pseudo_mask: PseudoMaskOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    json: JsonOption = None,
    offline: OfflineOption = False,
) -> None:
    """Evaluate on the benchmark that the command is named after."""
    from napari_vrp_sam.files import write_json
    from napari_vrp_sam.models.weights.downloads import cache_folder
    from napari_vrp_sam.research.datasets.open import open_benchmark
    from napari_vrp_sam.research.protocols.model_method import FULL_RANGE

    forbid_downloads(offline)
    settings = EvaluationSettings(
        model, prompting or (), semantic_encoder, pseudo_mask, annotation, references, episodes,
        seed, device,
    )  # fmt: skip
    name = str(context.info_name)
    dataset = open_benchmark(name, data, cache_folder() / "few-shot")
    novel_name = novel_to.value if novel_to else name
    classes = dataset.unseen_classes(novel_name, fold)
    protocol: dict[str, Any] = {"name": name, "fold": fold, "novel_to": novel_name}
    if training := training_data_of(model):
        seen = seen_class_names(dataset, classes, training)
        protocol |= {"model_learned_from": training, "not_novel": seen}
        if seen:
            stderr_console.print(
                f"{model} was trained on fold {training['fold']} of {training['name']}: these "
                f"classes are not novel to it, or not known to be: {', '.join(seen)}.",
                soft_wrap=True,
            )
    evaluation = EvaluationData(dataset, fold, classes, FULL_RANGE)
    (results,) = evaluate_each(settings, [evaluation])
    if json:
        write_json(json, {"protocol": protocol | settings.protocol(), "results": results})
    print_results(f"{name}, novel to fold {fold} of {novel_name}", results)
