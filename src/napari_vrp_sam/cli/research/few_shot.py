"""`vrp-sam evaluate pascal5i | coco20i`: the paper's own protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from napari_vrp_sam.cli.app import console, evaluate_app, stderr_console
from napari_vrp_sam.cli.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.options import (
    AnnotationKindName,
    Benchmark,
    DeviceOption,
    PromptingName,
    PseudoMaskName,
    PseudoMaskOption,
)
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.research.datasets.few_shot_sets import FewShotSet
    from napari_vrp_sam.research.protocols.few_shot import FewShotScores

DataOption = Annotated[Path, typer.Option("--data", help="Its folder; see vrp-sam data check.")]
FoldOption = Annotated[int, typer.Option("--fold", min=0, max=3, help="Whose classes are novel.")]
ModelChoice = Annotated[str, typer.Option("--model", help="Name or weights file.")]
PromptingsOption = Annotated[
    list[PromptingName] | None,
    typer.Option(
        "--prompting",
        help="What prompts SAM; may be repeated, to measure several ways on the same episodes.",
    ),
]
SemanticOption = Annotated[
    str | None,
    typer.Option(
        "--semantic-encoder",
        help="resnet50, vgg16 or dinov2_b14; that of the weights, or resnet50, unless given.",
    ),
]
KindOption = Annotated[
    AnnotationKindName, typer.Option("--annotation", help="Simulated from the masks.")
]
ShotsOption = Annotated[
    int, typer.Option("--references", min=1, help="Annotated images of an episode.")
]
EpisodesOption = Annotated[
    int, typer.Option("--episodes", min=1, help="As published 1000; fewer for a first look.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of pairs and annotations.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the results here.")]
NovelToOption = Annotated[
    Benchmark | None,
    typer.Option(
        "--novel-to",
        help="Measure on classes that training on this benchmark's fold has not seen; pascal5i "
        "with coco20i is the paper's domain shift.",
    ),
]


@dataclass(frozen=True)
class Settings:
    """What every command is told alike."""

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
        """What decides the results, to be written beside them."""
        told = asdict(self)
        del told["device"]
        return told | {"prompting": [prompting.value for prompting in self.prompting]}


class Course(NamedTuple):
    """What is measured on."""

    data: FewShotSet
    fold: int
    classes: Sequence[int]
    normalisation: Normalisation


def measure(settings: Settings, courses: Sequence[Course]) -> Iterator[dict[str, Any]]:
    """Load the model once and measure each course in turn.

    Yields
    ------
    dict
        By method: `mean_iou`, `fb_iou` and, by name, `classes`.

    Raises
    ------
    InputError
        If a set or the model is not there, or the model cannot be prompted so.
    """
    from napari_vrp_sam.models.weights.downloads import in_words
    from napari_vrp_sam.models.zoo.registry import load_model, prompting_note
    from napari_vrp_sam.research.protocols.few_shot import evaluate_methods
    from napari_vrp_sam.research.protocols.model_method import prompted_methods

    if not settings.prompting and (note := prompting_note(settings.model)):
        stderr_console.print(note, soft_wrap=True)
    with stderr_console.status("") as status:
        for course in courses:
            course.data.showing("test", status.update)
        loaded = load_model(
            settings.model,
            device=settings.device,
            pseudo_mask=None if settings.pseudo_mask is None else settings.pseudo_mask.value,
            semantic_encoder=settings.semantic_encoder,
            progress=in_words(status.update),
        )

        def progress(done: int, scores: Mapping[str, FewShotScores]) -> None:
            until_now = ", ".join(f"{name} {of.mean_iou:.3f}" for name, of in scores.items())
            status.update(f"Episode {done} of {settings.episodes}, mIoU until now {until_now}")

        for data, fold, classes, normalisation in courses:
            scores = evaluate_methods(
                data,
                fold,
                prompted_methods(
                    loaded,
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
                    "mean_iou": of.mean_iou,
                    "fb_iou": of.fb_iou,
                    "classes": {data.class_names[c - 1]: iou for c, iou in of.ious.items()},
                }
                for method, of in scores.items()
            }


def learned_from(model: str) -> dict[str, Any] | None:
    """Data and fold that a weights file was trained on; None if it says nothing of that."""
    from napari_vrp_sam.models.weights.headers import read_header
    from napari_vrp_sam.models.zoo.registry import weights_file

    path = weights_file(model)
    if path is None or path.suffix != ".safetensors":
        return None
    told = read_header(path).metadata
    return {"name": told["data"], "fold": int(told["fold"])} if "fold" in told else None


def seen_before(data: FewShotSet, classes: Sequence[int], learned: Mapping[str, Any]) -> list[str]:
    """Names of the classes that weights were trained on, of those to be measured on."""
    try:
        unseen = data.novel_to(learned["name"], learned["fold"])
    except InputError:  # the classes of the two have never been compared
        unseen = ()
    return [data.class_names[c - 1] for c in classes if c not in unseen]


def print_results(title: str, results: Mapping[str, Any]) -> None:
    """A table of the classes, a column for each method."""
    from rich.table import Table

    table = Table("IoU")
    for method in results:
        table.add_column(method, justify="right")
    for name in next(iter(results.values()))["classes"]:
        ious = (of["classes"][name] for of in results.values())
        table.add_row(name, *(f"{iou:.3f}" for iou in ious))
    table.add_section()
    for name, key in (("mIoU", "mean_iou"), ("FB-IoU", "fb_iou")):
        table.add_row(name, *(f"{of[key]:.3f}" for of in results.values()))
    console.print(title)
    console.print(table)


def _register(benchmark: Benchmark, summary: str) -> None:
    """Both commands are alike."""

    @evaluate_app.command(benchmark.value, help=summary)
    def evaluate(
        data: DataOption,
        fold: FoldOption,
        model: ModelChoice = "lite",
        prompting: PromptingsOption = None,
        semantic_encoder: SemanticOption = None,
        annotation: KindOption = AnnotationKindName.MASK,
        references: ShotsOption = 1,
        episodes: EpisodesOption = 1000,
        novel_to: NovelToOption = None,
        pseudo_mask: PseudoMaskOption = None,
        device: DeviceOption = "auto",
        seed: SeedOption = 0,
        json: JsonOption = None,
        offline: OfflineOption = False,
    ) -> None:
        from napari_vrp_sam.files import write_json
        from napari_vrp_sam.models.weights.downloads import cache_folder
        from napari_vrp_sam.research.datasets.open import open_few_shot
        from napari_vrp_sam.research.protocols.model_method import WHOLE_RANGE

        forbid_downloads(offline)
        settings = Settings(
            model=model,
            prompting=prompting or (),
            semantic_encoder=semantic_encoder,
            pseudo_mask=pseudo_mask,
            annotation=annotation,
            references=references,
            episodes=episodes,
            seed=seed,
            device=device,
        )
        few_shot = open_few_shot(benchmark.value, data, cache_folder() / "few-shot")
        training = (novel_to or benchmark).value
        classes = few_shot.novel_to(training, fold)
        learned = learned_from(model)
        seen = seen_before(few_shot, classes, learned) if learned else []
        if learned and seen:
            stderr_console.print(
                f"{model} was trained on fold {learned['fold']} of {learned['name']}: not novel to "
                f"it, or not known to be, are {', '.join(seen)}.",
                soft_wrap=True,
            )
        (results,) = measure(settings, [Course(few_shot, fold, classes, WHOLE_RANGE)])
        if json:
            place: dict[str, Any] = {"name": benchmark.value, "fold": fold, "novel_to": training}
            if learned:
                place |= {"model_learned_from": learned, "not_novel": seen}
            write_json(json, {"protocol": place | settings.protocol(), "results": results})
        print_results(f"{benchmark.value}, novel to fold {fold} of {training}", results)


_register(Benchmark.PASCAL, "Pascal-5i: mIoU and FB-IoU on the five novel classes of a fold.")
_register(Benchmark.COCO, "COCO-20i: mIoU and FB-IoU on the twenty novel classes of a fold.")
