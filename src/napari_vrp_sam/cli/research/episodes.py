"""`vrp-sam evaluate episodes`: evaluation of any dataset by the paper's protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_vrp_sam.cli.app import evaluate_app, stderr_console
from napari_vrp_sam.cli.common.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.common.options import (
    AnnotationKindName,
    DeviceOption,
    ModelOption,
    PseudoMaskOption,
)
from napari_vrp_sam.cli.research.few_shot import (
    AnnotationOption,
    EvaluationData,
    EvaluationSettings,
    JsonOption,
    PromptingsOption,
    ReferencesOption,
    SeedOption,
    SemanticEncoderOption,
    evaluate_each,
    print_results,
)


@evaluate_app.command()
def episodes(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA",
            help="Datasets: folders, COCO files, or names or uses ('evaluate', 'train') in "
            "VRP_SAM_DATA.",
        ),
    ],
    model: ModelOption = "lite",
    prompting: PromptingsOption = None,
    semantic_encoder: SemanticEncoderOption = None,
    annotation: AnnotationOption = AnnotationKindName.MASK,
    references: ReferencesOption = 1,
    count: Annotated[
        int, typer.Option("--episodes", min=1, help="Number of episodes per dataset.")
    ] = 100,
    pseudo_mask: PseudoMaskOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    json: JsonOption = None,
    offline: OfflineOption = False,
) -> None:
    """Annotate random images and evaluate the mIoU on other images of the same class.

    Same protocol as for Pascal-5i and COCO-20i, for all classes of a dataset. All images of a
    dataset have the same contrast limits.
    """
    from napari_vrp_sam.files import write_json
    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.research.datasets.few_shot_folders import SingleFoldDataset
    from napari_vrp_sam.research.datasets.open import find_datasets

    forbid_downloads(offline)
    settings = EvaluationSettings(
        model, prompting or (), semantic_encoder, pseudo_mask, annotation, references, count,
        seed, device,
    )  # fmt: skip
    datasets = [SingleFoldDataset(dataset) for dataset in find_datasets(data)]
    evaluations = [EvaluationData(d, 0, d.novel_classes(0), Normalisation.fit(d)) for d in datasets]
    results = {}
    for dataset, scores in zip(datasets, evaluate_each(settings, evaluations), strict=True):
        results[dataset.name] = scores
        if json:
            protocol = {"name": "episodes"} | settings.protocol()
            write_json(json, {"protocol": protocol, "datasets": results})
        means = ", ".join(f"{method} {s['mean_iou']:.3f}" for method, s in scores.items())
        stderr_console.print(f"{dataset.name}: {means}")
    for name, scores in results.items():
        print_results(name, scores)
