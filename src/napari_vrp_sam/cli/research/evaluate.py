"""`vrp-sam evaluate one-slice`: evaluation on stacks of which one slice is annotated."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from napari_vrp_sam.cli.app import console, evaluate_app, stderr_console
from napari_vrp_sam.cli.common.downloads import OfflineOption, download_bar, forbid_downloads
from napari_vrp_sam.cli.common.options import (
    MODEL,
    AnnotationKindName,
    DeviceOption,
    PromptingName,
    PromptingOption,
    PseudoMaskName,
    PseudoMaskOption,
)
from napari_vrp_sam.cli.research.few_shot import AnnotationOption, JsonOption
from napari_vrp_sam.errors import InputError


class Baseline(StrEnum):
    """Methods to compare a model with."""

    RANDOM_FOREST = "random-forest"


@evaluate_app.command("one-slice")
def one_slice(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA",
            help="Datasets: folders, or names or uses ('evaluate', 'train') in VRP_SAM_DATA.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name or weights file of a model; none for the baseline alone.",
            rich_help_panel=MODEL,
        ),
    ] = "lite",
    baseline: Annotated[
        Baseline | None,
        typer.Option(metavar="NAME", help="Also evaluate a baseline: random-forest."),
    ] = None,
    json: JsonOption = None,
    annotation: AnnotationOption = AnnotationKindName.MASK,
    references: Annotated[
        int, typer.Option(min=1, help="References per class, evenly spaced.")
    ] = 1,
    spared: Annotated[
        int,
        typer.Option(
            min=1,
            help="Also exclude the frames that would be annotated with this number of references, "
            "to evaluate different numbers of references on the same frames.",
        ),
    ] = 1,
    pseudo_mask: PseudoMaskOption = None,
    prompting: PromptingOption = None,
    device: DeviceOption = "auto",
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of random groups and simulated annotations.")
    ] = 0,
    max_frames: Annotated[
        int | None,
        typer.Option(min=2, help="Reduce longer sequences to this number of evenly spaced frames."),
    ] = None,
    offline: OfflineOption = False,
) -> None:
    """Annotate one slice and evaluate the IoU on the others.

    The middle frame of each sequence is annotated, or the nearest one of which the class covers
    0.2-98 %. Unordered images form three random groups of seven, which count as sequences. The IoU
    is averaged over the other frames, then over classes, then over sequences. Results are written
    after each dataset.
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
    protocol = {
        "name": "one-slice",
        "model": model,
        "pseudo_mask": pseudo_mask,
        "prompting": prompting,
        "annotation": annotation.value,
        "references": references,
        "spared": spared,
        "seed": seed,
        "max_frames": max_frames,
    }
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
                    "protocol": protocol,
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
        raise InputError("Nothing to evaluate: choose a model, or --baseline random-forest.")
    return methods


def _print_table(
    results: dict[str, dict[str, dict[str, Any]]], means: dict[str, float | None]
) -> None:
    from rich.table import Table

    table = Table("dataset", "class", title="Mean IoU on the frames that were not annotated")
    for method in means:
        table.add_column(method, justify="right")
        table.add_column("s/frame", justify="right")
    for name, by_method in results.items():
        cells: list[str] = []
        for scores in (by_method[m] for m in means):
            cells += [f"{scores['mean_iou']:.3f}", f"{scores['seconds_per_frame']:.2f}"]
        table.add_row(name, "all", *cells)
        classes = list(by_method[next(iter(means))]["classes"])
        for label in classes if len(classes) > 1 else ():
            cells = [c for m in means for c in (f"{by_method[m]['classes'][label]:.3f}", "")]
            table.add_row("", label, *cells, style="dim")
    if len(results) > 1:
        table.add_section()
        cells = [cell for mean in means.values() for cell in (f"{mean:.3f}", "")]
        table.add_row("mean", "", *cells, style="bold")
    console.print(table)
