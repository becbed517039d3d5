"""`vrp-sam benchmark`: speed and memory of models, side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, console, stderr_console
from napari_vrp_sam.cli.options import CompileOption, DeviceOption, PrecisionName, PrecisionOption


@app.command()
def benchmark(
    models: Annotated[str, typer.Option(help="Names of models, separated by commas.")] = "lite",
    device: DeviceOption = "auto",
    size: Annotated[int, typer.Option(min=16, help="Height and width of a frame.")] = 1024,
    repeats: Annotated[int, typer.Option(min=1, help="Timed frames, after one to warm up.")] = 3,
    precision: PrecisionOption = PrecisionName.AUTO,
    compile: CompileOption = False,
    json: Annotated[Path | None, typer.Option(help="Write the results here.")] = None,
) -> None:
    """Measure the time and memory that models take for a frame, in turns in the same run.

    Models whose weights would have to be downloaded run with random ones: the speed is the same.
    Beside them stands the plain way, with the same networks: single precision, one frame at a time,
    the reference encoded again for every frame.
    """
    from rich.table import Table

    from napari_vrp_sam.files import write_json
    from napari_vrp_sam.models.zoo.registry import RANDOM, load_model, model_spec
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
        "again, other prompts",
        "the plain way",
        "learning",
        "peak memory",
        title=f"{size} x {size} pixels on {machine['device_name']}, {machine['cores']} cores",
    )
    for name, result in results["models"].items():
        table.add_row(
            name,
            f"{result['seconds_per_frame']:.3g}",
            f"{result['cached_seconds_per_frame']:.3g}",
            f"{plain:.3g}" if (plain := result["plain_seconds_per_frame"]) else "",
            f"{result['seconds_to_learn']:.2f}",
            f"{result['peak_memory_bytes'] / 1e6:,.0f} MB",
        )
    console.print(table)
