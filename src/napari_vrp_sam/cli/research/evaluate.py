"""`vrp-sam evaluate`: measure a model, and what users have today, on data sets with truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_vrp_sam.cli.app import console, evaluate_app, stderr_console
from napari_vrp_sam.cli.downloads import OfflineOption, download_bar, forbid_downloads
from napari_vrp_sam.cli.options import (
    AnnotationKindName,
    DeviceOption,
    PromptingName,
    PromptingOption,
    PseudoMaskName,
    PseudoMaskOption,
)
from napari_vrp_sam.errors import InputError


class Baseline(StrEnum):
    """What a model can be measured beside."""

    RANDOM_FOREST = "random-forest"


@evaluate_app.command("one-slice")
def one_slice(
    data: Annotated[
        list[str],
        typer.Argument(
            help="Data sets: folders; or names or uses ('evaluate', 'train') in VRP_SAM_DATA."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="Name or weights file; 'none' for the baseline alone.")
    ] = "lite",
    baseline: Annotated[
        Baseline | None, typer.Option(help="Measure this too, in the same run.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the results here, after every data set.")
    ] = None,
    annotation: Annotated[
        AnnotationKindName, typer.Option(help="Annotation; all but the mask are simulated from it.")
    ] = AnnotationKindName.MASK,
    references: Annotated[
        int, typer.Option(min=1, help="Annotated frames of each class, evenly spaced.")
    ] = 1,
    spared: Annotated[
        int,
        typer.Option(
            min=1,
            help="Leave the frames unmeasured that so many references would take: to compare.",
        ),
    ] = 1,
    pseudo_mask: PseudoMaskOption = None,
    prompting: PromptingOption = None,
    device: DeviceOption = "auto",
    seed: Annotated[
        int, typer.Option(min=0, help="Of random groups and simulated annotations.")
    ] = 0,
    max_frames: Annotated[
        int | None, typer.Option(min=2, help="Thin longer sequences out to so many frames.")
    ] = None,
    offline: OfflineOption = False,
) -> None:
    """Annotate one slice, measure the IoU on the others.

    The reference is the middle frame (or the nearest of which the class covers 0.2-98 %) of each
    sequence or, where images have no order, of each of three random groups of seven. The score is
    the mean over the other frames, then classes, then sequences.
    """
    from rich.text import Text

    from napari_vrp_sam.files import write_json
    from napari_vrp_sam.research.datasets.open import find_datasets
    from napari_vrp_sam.research.protocols.one_slice import (
        calibration_over_datasets,
        evaluate_dataset,
        mean_over_datasets,
    )

    forbid_downloads(offline)
    datasets = find_datasets(data)
    methods = _methods(model, baseline, pseudo_mask, prompting, device)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    with stderr_console.status("") as status:
        for dataset in datasets:
            results[dataset.name] = evaluate_dataset(
                dataset,
                methods,
                kind=annotation.value,
                references=references,
                spared=spared,
                seed=seed,
                max_frames=max_frames,
                progress=lambda text: status.update(Text(text)),
            )
            if json:
                content = {
                    "protocol": {
                        "name": "one-slice",
                        "model": model,
                        "pseudo_mask": pseudo_mask,
                        "prompting": prompting,
                        "annotation": annotation.value,
                        "references": references,
                        "spared": spared,
                        "seed": seed,
                        "max_frames": max_frames,
                    },
                    "datasets": results,
                    "mean_iou": mean_over_datasets(results),
                    "calibration_error": calibration_over_datasets(results),
                }
                write_json(json, content)
            scores = ", ".join(f"{m} {r['mean_iou']:.3f}" for m, r in results[dataset.name].items())
            stderr_console.print(f"{dataset.name}: {scores}")
    _print_table(results, mean_over_datasets(results))


def _methods(
    model: str,
    baseline: Baseline | None,
    pseudo_mask: PseudoMaskName | None,
    prompting: PromptingName | None,
    device: str,
) -> dict[str, Any]:
    methods: dict[str, Any] = {}
    if model != "none":
        from napari_vrp_sam.models.zoo.registry import load_model
        from napari_vrp_sam.research.protocols.model_method import ModelMethod

        with download_bar() as progress:
            loaded = load_model(
                model,
                device=device,
                pseudo_mask=None if pseudo_mask is None else pseudo_mask.value,
                prompting=None if prompting is None else prompting.value,
                progress=progress,
            )
        methods["model"] = ModelMethod(loaded, device)
    if baseline is Baseline.RANDOM_FOREST:
        from napari_vrp_sam.research.protocols.random_forest import RandomForest

        methods[baseline.value] = RandomForest()
    if not methods:
        raise InputError("Nothing to measure: name a model, or --baseline random-forest.")
    return methods


def _print_table(
    results: dict[str, dict[str, dict[str, Any]]], means: dict[str, float | None]
) -> None:
    from rich.table import Table

    table = Table("data set", "class", title="Mean IoU on the frames that were not annotated")
    for method in means:
        table.add_column(method, justify="right")
        table.add_column("s/frame", justify="right")
    for name, of_method in results.items():
        row = [f"{of_method[m]['mean_iou']:.3f}" for m in means]
        seconds = [f"{of_method[m]['seconds_per_frame']:.2f}" for m in means]
        table.add_row(
            name, "all", *(cell for pair in zip(row, seconds, strict=True) for cell in pair)
        )
        classes = list(of_method[next(iter(means))]["classes"])
        for label in classes if len(classes) > 1 else ():
            cells = [(f"{of_method[m]['classes'][label]:.3f}", "") for m in means]
            table.add_row("", label, *(cell for pair in cells for cell in pair), style="dim")
    if len(results) > 1:
        table.add_section()
        cells = [(f"{mean:.3f}", "") for mean in means.values()]
        table.add_row("mean", "", *(cell for pair in cells for cell in pair), style="bold")
    console.print(table)
