"""`vrp-sam evaluate episodes`: the paper's protocol on any data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_vrp_sam.cli.app import evaluate_app, stderr_console
from napari_vrp_sam.cli.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.options import AnnotationKindName, DeviceOption, PseudoMaskOption
from napari_vrp_sam.cli.research.few_shot import (
    Course,
    JsonOption,
    KindOption,
    ModelChoice,
    PromptingsOption,
    SeedOption,
    SemanticOption,
    Settings,
    ShotsOption,
    measure,
    print_results,
)


@evaluate_app.command()
def episodes(
    data: Annotated[
        list[str],
        typer.Argument(
            help="Data sets: folders, COCO files; or names or uses ('evaluate', 'train') in "
            "VRP_SAM_DATA."
        ),
    ],
    model: ModelChoice = "lite",
    prompting: PromptingsOption = None,
    semantic_encoder: SemanticOption = None,
    annotation: KindOption = AnnotationKindName.MASK,
    references: ShotsOption = 1,
    count: Annotated[int, typer.Option("--episodes", min=1, help="Of each data set.")] = 100,
    pseudo_mask: PseudoMaskOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    json: JsonOption = None,
    offline: OfflineOption = False,
) -> None:
    """Draw pairs of images that share a class, annotate one, measure the mIoU on the other.

    As on Pascal-5i and COCO-20i, on all classes of a data set; intensities are scaled alike for all
    of its images.
    """
    from napari_vrp_sam.files import write_json
    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.research.datasets.few_shot_folders import FolderSet
    from napari_vrp_sam.research.datasets.open import find_datasets

    forbid_downloads(offline)
    settings = Settings(
        model=model,
        prompting=prompting or (),
        semantic_encoder=semantic_encoder,
        pseudo_mask=pseudo_mask,
        annotation=annotation,
        references=references,
        episodes=count,
        seed=seed,
        device=device,
    )
    sets = [FolderSet(dataset) for dataset in find_datasets(data)]
    courses = [Course(one, 0, one.novel(0), Normalisation.fit(one)) for one in sets]
    results = {}
    for course, of_set in zip(courses, measure(settings, courses), strict=True):
        name = course.data.name
        results[name] = of_set
        if json:
            content = {"protocol": {"name": "episodes"} | settings.protocol(), "datasets": results}
            write_json(json, content)
        stderr_console.print(
            f"{name}: " + ", ".join(f"{m} {r['mean_iou']:.3f}" for m, r in of_set.items())
        )
    for name, of_set in results.items():
        print_results(name, of_set)
