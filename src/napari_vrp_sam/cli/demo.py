"""`vrp-sam demo`: the whole job on generated stacks with truth, and on a real picture."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import app, console, stderr_console
from napari_vrp_sam.cli.options import DeviceOption, ModelOption
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_vrp_sam.models.base import Model

GLANDS = """
0,0 50,0 58,16 75,16 90,0 138,0 146,30 162,55 168,80 172,114 181,112 179,75 165,50 156,0 255,0
255,222 230,245 200,260 175,262 155,250 140,232 100,222 65,210 20,150 0,138;
0,146 12,162 70,216 90,250 110,285 140,320 152,350 158,400 160,450 157,511 40,511 42,450 48,400
51,340 45,325 20,290 0,270
"""
"""Stained epithelium in the left half of the real picture, drawn by hand: outlines of
(column, row) in pixels."""

_OPEN = """
import sys, napari, tifffile
viewer = napari.Viewer()
viewer.add_image(tifffile.imread(sys.argv[1]), name="stack")
for path in sys.argv[2:]:
    viewer.add_labels(tifffile.imread(path), name=path.rsplit("_", 1)[-1].removesuffix(".tif"))
viewer.layers[1].visible = False
napari.run()
"""
"""Run by another Python: the command line itself knows no window."""


@dataclass(frozen=True)
class Sample:
    """A generated stack, its truth, and what it shows."""

    name: str
    axis: str
    frame_name: str
    stack: NDArray[Any]
    truth: NDArray[np.uint8]

    @property
    def annotated(self) -> int:
        """The middle frame, of which the truth serves as the annotation."""
        return len(self.stack) // 2


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for stacks, labels and pictures.")] = Path(
        "vrp-sam-demo"
    ),
    open_napari: Annotated[
        bool, typer.Option("--open", help="Show the first stack in napari at the end.")
    ] = False,
    model: ModelOption = "lite",
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Of the generated stacks.")] = 0,
) -> None:
    """Annotate one slice, segment all: on generated stacks with truth and on a real picture.

    Prints the IoU of every frame beside that of a random forest trained on the same slice, and
    leaves the stacks, the label stacks and contact sheets.
    """
    start = time.perf_counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}.") from error
    from napari_vrp_sam.io.samples import sample_nuclei, sample_stack

    with stderr_console.status("Generating stacks") as status:
        samples = [
            Sample("mitochondria", "Z", "slice", *sample_stack(seed)),
            Sample("nuclei", "T", "frame", *sample_nuclei(seed, frames=9)),
        ]
        status.update("Loading the model")
        from napari_vrp_sam.models.zoo.registry import load_model

        loaded = load_model(model, device=device)
        written = []
        for sample in samples:
            status.update(f"Segmenting {sample.name}")
            written += _run_sample(sample, loaded, device, out)
        status.update("Segmenting a real picture")
        written.append(_run_picture(loaded, device, out))
    for path in written:
        console.print(path, soft_wrap=True)
    console.print(f"Done in {time.perf_counter() - start:.0f} s.")
    if open_napari:
        files = [f"{samples[0].name}_{part}.tif" for part in ("stack", "truth", "labels")]
        command = [sys.executable, "-c", _OPEN, *(str(out / file) for file in files)]
        subprocess.run(command, check=True)  # noqa: S603 - this Python, our script


def _run_sample(sample: Sample, model: Model, device: str, out: Path) -> list[Path]:
    """Segment a stack by both methods, print and write what came out."""
    import numpy as np

    from napari_vrp_sam.annotations.reference import Reference
    from napari_vrp_sam.inference.segment import segment_stack
    from napari_vrp_sam.io.images.stacks import write_labels
    from napari_vrp_sam.research.protocols.metrics import iou
    from napari_vrp_sam.research.protocols.random_forest import RandomForest

    stack, truth, annotated = sample.stack, sample.truth, sample.annotated
    axes = f"{sample.axis}YX"
    start = time.perf_counter()
    labels = segment_stack(
        stack, truth[annotated], axes=axes, frame=annotated, model=model, device=device
    )
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    reference = Reference(stack[annotated], truth[annotated])
    segment = RandomForest()([], [reference])
    forest = np.stack([segment(frame[..., None]).masks[0] for frame in stack])
    forest_seconds = time.perf_counter() - start

    ious = {
        "VRP-SAM": [iou(a > 0, b > 0) for a, b in zip(labels, truth, strict=True)],
        "random forest": [iou(a, b > 0) for a, b in zip(forest, truth, strict=True)],
    }
    _print_table(sample, ious, (seconds, forest_seconds))
    annotation = np.zeros_like(truth)
    annotation[annotated] = truth[annotated]
    arrays = {"stack": stack, "annotation": annotation, "labels": labels, "truth": truth}
    written = [out / f"{sample.name}_{part}.tif" for part in arrays]
    for path, array in zip(written, arrays.values(), strict=True):
        write_labels(path, array, axes)
    sheet = out / f"{sample.name}.png"
    _draw_sample(sample, labels, forest, ious, sheet)
    return [*written, sheet]


def _print_table(
    sample: Sample, ious: dict[str, list[float]], seconds: tuple[float, float]
) -> None:
    from rich.table import Table

    table = Table(title=f"IoU on the generated {sample.name}")
    table.add_column(sample.frame_name, justify="right")
    for name in ious:
        table.add_column(name, justify="right")
    count = len(sample.stack)
    for index in range(count):
        cells = [f"{values[index]:.2f}" for values in ious.values()]
        if index == sample.annotated:
            table.add_row(f"{index} annotated", *cells, style="dim")
        else:
            table.add_row(str(index), *cells)
    others = [index for index in range(count) if index != sample.annotated]
    means = [sum(values[index] for index in others) / len(others) for values in ious.values()]
    table.add_section()
    table.add_row("mean of the others", *(f"{mean:.3f}" for mean in means), style="bold")
    table.add_row("seconds", *(f"{value:.1f}" for value in seconds), style="dim")
    console.print(table)


def _draw_sample(
    sample: Sample,
    labels: NDArray[Any],
    forest: NDArray[np.bool_],
    ious: dict[str, list[float]],
    path: Path,
) -> None:
    """The contact sheet: five frames from end to end."""
    import numpy as np

    from napari_vrp_sam.files import atomic
    from napari_vrp_sam.io.exports.contact_sheet import as_picture, contact_sheet, overlay

    low, high = np.percentile(sample.stack, (0.5, 99.5))
    count = len(sample.stack)
    shown = sorted({0, count // 4, sample.annotated, 3 * count // 4, count - 1})
    rows, titles = [], []
    for index in shown:
        picture = as_picture(sample.stack[index], (low, high))
        annotated = index == sample.annotated
        rows.append(
            [
                picture,
                overlay(picture, sample.truth[index]) if annotated else None,
                overlay(picture, labels[index]),
                overlay(picture, forest[index]),
                overlay(picture, sample.truth[index]),
            ]
        )
        scores = ", ".join(f"{name} {values[index]:.2f}" for name, values in ious.items())
        here = "the annotated one" if annotated else f"IoU: {scores}"
        titles.append(f"{sample.frame_name} {index} - {here}")
    headings = ["image", "annotation", "result", "random forest", "truth"]
    title = f"{sample.name}: one {sample.frame_name} annotated, {count} segmented"
    with atomic(path) as temporary:
        contact_sheet(rows, headings, titles, title=title).save(temporary)


def _run_picture(model: Model, device: str, out: Path) -> Path:
    """Annotate the left half of a real picture, segment both halves as two frames of a stack."""
    import numpy as np
    from skimage.data import immunohistochemistry

    from napari_vrp_sam.annotations.geometry import polygon_to_mask
    from napari_vrp_sam.files import atomic
    from napari_vrp_sam.inference.segment import segment_stack
    from napari_vrp_sam.io.exports.contact_sheet import contact_sheet, overlay

    picture = immunohistochemistry()
    middle = picture.shape[1] // 2
    halves = np.stack([picture[:, :middle], picture[:, middle:]])
    annotation = np.zeros(picture.shape[:2], np.uint8)
    for outline in GLANDS.split(";"):
        corners = [[float(v) for v in corner.split(",")][::-1] for corner in outline.split()]
        annotation[:, :middle] |= polygon_to_mask(corners, (len(picture), middle)) > 0
    labels = segment_stack(
        halves, annotation[:, :middle], axes="ZYXS", frame=0, model=model, device=device
    )
    result = np.concatenate(list(labels), axis=1)
    row = [picture, overlay(picture, annotation), overlay(picture, result)]
    headings = ["image", "annotation of the left half", "result"]
    title = "A real picture: stained glands among unstained tissue (scikit-image)"
    path = out / "glands.png"
    with atomic(path) as temporary:
        sheet = contact_sheet([row], headings, ["no truth"], title=title, cell_width=420)
        sheet.save(temporary)
    return path
