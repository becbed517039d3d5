"""`vrp-sam evaluate pascal5i | coco20i`: the paper's own protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import console, evaluate_app, notes
from napari_vrp_sam.cli.options import Benchmark, DeviceOption, Kind, PseudoMaskOption

DataOption = Annotated[Path, typer.Option("--data", help="Its folder; see vrp-sam data check.")]
FoldOption = Annotated[int, typer.Option("--fold", min=0, max=3, help="Whose classes are novel.")]
ModelChoice = Annotated[str, typer.Option("--model", help="Name or weights file.")]
KindOption = Annotated[Kind, typer.Option("--annotation", help="Simulated from the masks.")]
ShotsOption = Annotated[
    int, typer.Option("--references", min=1, help="Annotated images of an episode.")
]
EpisodesOption = Annotated[
    int, typer.Option("--episodes", min=1, help="As published 1000; fewer for a first look.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of pairs and annotations.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the results here.")]


def _register(benchmark: Benchmark, summary: str) -> None:
    """Both commands are alike."""

    @evaluate_app.command(benchmark.value, help=summary)
    def evaluate(
        data: DataOption,
        fold: FoldOption,
        model: ModelChoice = "lite",
        annotation: KindOption = Kind.MASK,
        references: ShotsOption = 1,
        episodes: EpisodesOption = 1000,
        pseudo_mask: PseudoMaskOption = None,
        device: DeviceOption = "auto",
        seed: SeedOption = 0,
        json: JsonOption = None,
    ) -> None:
        from napari_vrp_sam.evaluation.few_shot import FewShotScores, evaluate_fold
        from napari_vrp_sam.evaluation.model_method import one_image_method
        from napari_vrp_sam.io.atomic import write_json
        from napari_vrp_sam.io.few_shot_sets import open_few_shot
        from napari_vrp_sam.models.downloads import cache_folder
        from napari_vrp_sam.models.registry import load_model

        few_shot = open_few_shot(benchmark.value, data, cache_folder() / "few-shot")
        with notes.status("") as status:
            few_shot.showing("test", status.update)
            loaded = load_model(
                model, device=device, pseudo_mask=pseudo_mask.value if pseudo_mask else None
            )

            def progress(done: int, scores: FewShotScores) -> None:
                status.update(f"Episode {done} of {episodes}, mIoU until now {scores.mean_iou:.3f}")

            scores = evaluate_fold(
                few_shot,
                fold,
                one_image_method(loaded, device),
                count=episodes,
                references=references,
                kind=annotation.value,
                seed=seed,
                progress=progress,
            )
        names = few_shot.class_names
        by_class = {names[class_id - 1]: iou for class_id, iou in scores.ious.items()}
        if json:
            content = {
                "protocol": {
                    "name": benchmark.value,
                    "fold": fold,
                    "model": model,
                    "pseudo_mask": pseudo_mask.value if pseudo_mask else None,
                    "annotation": annotation.value,
                    "references": references,
                    "episodes": episodes,
                    "seed": seed,
                },
                "mean_iou": scores.mean_iou,
                "fb_iou": scores.fb_iou,
                "classes": by_class,
            }
            write_json(json, content)
        for name, iou in by_class.items():
            console.print(f"{name}: {iou:.3f}")
        console.print(f"fold {fold}: mIoU {scores.mean_iou:.3f}, FB-IoU {scores.fb_iou:.3f}")


_register(Benchmark.PASCAL, "Pascal-5i: mIoU and FB-IoU on the five novel classes of a fold.")
_register(Benchmark.COCO, "COCO-20i: mIoU and FB-IoU on the twenty novel classes of a fold.")
