"""`vrp-sam benchmark`: measure the speed and memory of models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, console, stderr_console
from napari_vrp_sam.cli.common.options import (
    CompileOption,
    DeviceOption,
    PrecisionName,
    PrecisionOption,
)


@app.command()
def benchmark(
    models: Annotated[
        str, typer.Option(metavar="NAMES", help="Names of models, separated by commas.")
    ] = "lite",
    device: DeviceOption = "auto",
    size: Annotated[int, typer.Option(min=16, help="Height and width of the frames.")] = 1024,
    repeats: Annotated[
        int, typer.Option(min=1, help="Timed frames per model, after one to warm up.")
    ] = 3,
    precision: PrecisionOption = PrecisionName.AUTO,
    compile: CompileOption = False,
    json: Annotated[Path | None, typer.Option(help="Write the results to this file.")] = None,
) -> None:
    """Measure the time and memory that models take per frame.

    Models are measured in turn, so that other load affects all alike. Models that would have to be
    downloaded run with random weights, which does not change their speed. For comparison,
    full-size models are also timed without the optimisations of this package: in single precision,
    frame by frame, encoding the reference again for each frame.
    """
    from rich.table import Table

    from napari_vrp_sam.files import write_json
    from napari_vrp_sam.models.zoo.loading import RANDOM
    from napari_vrp_sam.models.zoo.registry import load_model, model_spec
    from napari_vrp_sam.research.protocols.speed import measure_speed

    names = list(dict.fromkeys(name.strip() for name in models.split(",")))
    loaders = {
        name: partial(load_model, name, weights=RANDOM if model_spec(name).downloads else None)
        for name in names
    }
    with stderr_console.status("") as status:
        results = measure_speed(
            loaders,
            size=size,
            device=device,
            repeats=repeats,
            precision=precision.value,
            compile=compile,
            progress=status.update,
        )
    if json:
        write_json(json, results)
    machine = results["machine"]
    table = Table(
        "model",
        "s / frame",
        "s / frame, features cached",
        "s / frame, unoptimised",
        "s to learn",
        "peak memory",
        title=f"{size} x {size} pixels on {machine['device_name']}, {machine['cores']} cores",
    )
    for name, result in results["models"].items():
        unoptimised = result["plain_seconds_per_frame"]
        table.add_row(
            name,
            f"{result['seconds_per_frame']:.3g}",
            f"{result['cached_seconds_per_frame']:.3g}",
            f"{unoptimised:.3g}" if unoptimised else "",
            f"{result['seconds_to_learn']:.2f}",
            f"{result['peak_memory_bytes'] / 1e6:,.0f} MB",
        )
    console.print(table)
