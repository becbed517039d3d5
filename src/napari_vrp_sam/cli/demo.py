"""`vrp-sam demo`: segment generated stacks and a micrograph."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import DeprecatedOptionsCommand, app, console, stderr_console
from napari_vrp_sam.cli.common.options import DeviceOption, ModelOption
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
"""Hand-drawn outlines of stained epithelium in the left half of a micrograph: (column, row) in
pixels."""

VIEWER_SCRIPT = """
import sys, napari, tifffile
viewer = napari.Viewer()
viewer.add_image(tifffile.imread(sys.argv[1]), name="stack")
for path in sys.argv[2:]:
    viewer.add_labels(tifffile.imread(path), name=path.rsplit("_", 1)[-1].removesuffix(".tif"))
viewer.layers[1].visible = False
napari.run()
"""
"""Script that opens files in napari; a separate process, as only the plugin imports napari."""


@dataclass(frozen=True)
class Sample:
    """A generated stack and its ground truth, of which one frame serves as annotation."""

    name: str
    axis: str
    frame_name: str
    stack: NDArray[Any]
    truth: NDArray[np.uint8]

    @property
    def reference_frame(self) -> int:
        """Index of the annotated frame: the middle one."""
        return len(self.stack) // 2


@app.command(cls=DeprecatedOptionsCommand)
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the stacks, labels and figures.")] = Path(
        "vrp-sam-demo"
    ),
    open_napari: Annotated[
        bool, typer.Option("--open", help="Open the first stack in napari at the end.")
    ] = False,
    model: ModelOption = "lite",
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Random seed of the generated stacks.")] = 0,
) -> None:
    """Segment generated stacks and a micrograph, each from one annotated frame.

    Prints the IoU of every frame next to that of a random forest trained on the same annotation,
    and saves the stacks, the labels and figures.
    """
    start = time.perf_counter()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror or error}.") from error
    from napari_vrp_sam.io.samples import sample_nuclei, sample_stack
    from napari_vrp_sam.models.zoo.registry import load_model

    with stderr_console.status("Generating stacks") as status:
        samples = [
            Sample("mitochondria", "Z", "slice", *sample_stack(seed)),
            Sample("nuclei", "T", "frame", *sample_nuclei(seed, frames=9)),
        ]
        status.update("Loading the model")
        loaded = load_model(model, device=device)
        written = []
        for sample in samples:
            status.update(f"Segmenting {sample.name}")
            written += _run_sample(sample, loaded, device, output)
        status.update("Segmenting a micrograph")
        written.append(_run_micrograph(loaded, device, output))
    for path in written:
        console.print(path, soft_wrap=True)
    console.print(f"Finished in {time.perf_counter() - start:.0f} s.")
    if open_napari:
        files = [f"{samples[0].name}_{name}.tif" for name in ("stack", "truth", "labels")]
        command = [sys.executable, "-c", VIEWER_SCRIPT, *(str(output / file) for file in files)]
        subprocess.run(command, check=True)  # noqa: S603 - runs this Python with a fixed script


def _run_sample(sample: Sample, model: Model, device: str, out: Path) -> list[Path]:
    """Segment a stack with the model and a random forest; print the IoU, write the files."""
    import numpy as np

    from napari_vrp_sam.annotations.reference import Reference
    from napari_vrp_sam.inference.segment import segment_stack
    from napari_vrp_sam.io.labels.files import write_labels
    from napari_vrp_sam.training.metrics import iou

    stack, truth, index = sample.stack, sample.truth, sample.reference_frame
    axes = f"{sample.axis}YX"
    start = time.perf_counter()
    labels = segment_stack(
        stack, truth[index], axes=axes, reference_frame=index, model=model, device=device
    )
    seconds = [time.perf_counter() - start]
    methods: dict[str, NDArray[Any]] = {"VRP-SAM": labels}
    if find_spec("napari_vrp_sam.research") is not None:  # a wheel may leave the baseline out
        from napari_vrp_sam.research.protocols.random_forest import RandomForest

        start = time.perf_counter()
        segment = RandomForest()([], [Reference(stack[index], truth[index])])
        methods["random forest"] = np.stack([segment(f[..., None]).masks[0] for f in stack])
        seconds.append(time.perf_counter() - start)
    ious = {
        name: [iou(mask > 0, true > 0) for mask, true in zip(masks, truth, strict=True)]
        for name, masks in methods.items()
    }
    _print_table(sample, ious, seconds)
    annotation = np.zeros_like(truth)
    annotation[index] = truth[index]
    arrays = {"stack": stack, "annotation": annotation, "labels": labels, "truth": truth}
    written = [out / f"{sample.name}_{name}.tif" for name in arrays]
    for path, array in zip(written, arrays.values(), strict=True):
        write_labels(path, array, axes)
    return [*written, _draw_sample(sample, methods, ious, out)]


def _print_table(sample: Sample, ious: dict[str, list[float]], seconds: Sequence[float]) -> None:
    import numpy as np
    from rich.table import Table

    table = Table(title=f"IoU on the generated {sample.name}")
    for column in (sample.frame_name, *ious):
        table.add_column(column, justify="right")
    scores = np.array(list(ious.values()))
    for index, values in enumerate(scores.T):
        annotated = index == sample.reference_frame
        name = f"{index} annotated" if annotated else str(index)
        table.add_row(name, *(f"{v:.2f}" for v in values), style="dim" if annotated else None)
    means = np.delete(scores, sample.reference_frame, axis=1).mean(axis=1)
    table.add_section()
    table.add_row("mean of the others", *(f"{mean:.3f}" for mean in means), style="bold")
    table.add_row("seconds", *(f"{value:.1f}" for value in seconds), style="dim")
    console.print(table)


def _draw_sample(
    sample: Sample,
    methods: dict[str, NDArray[Any]],
    ious: dict[str, list[float]],
    out: Path,
) -> Path:
    """Draw five frames from the first to the last as a contact sheet."""
    import numpy as np

    from napari_vrp_sam.io.exports.contact_sheet import overlay, to_rgb

    limits = tuple(np.percentile(sample.stack, (0.5, 99.5)))
    count = len(sample.stack)
    rows, titles = [], []
    for index in sorted({0, count // 4, sample.reference_frame, 3 * count // 4, count - 1}):
        picture = to_rgb(sample.stack[index], limits)
        overlays = [overlay(picture, masks[index]) for masks in (*methods.values(), sample.truth)]
        scores = ", ".join(f"{name} {values[index]:.2f}" for name, values in ious.items())
        annotated = index == sample.reference_frame
        rows.append([picture, overlays[-1] if annotated else None, *overlays])
        titles.append(
            f"{sample.frame_name} {index} - {'annotated' if annotated else f'IoU: {scores}'}"
        )
    headings = ["image", "annotation", *methods, "ground truth"]
    title = f"{sample.name}: one {sample.frame_name} annotated, {count} segmented"
    return _save_figure(out / f"{sample.name}.png", rows, headings, titles, title=title)


def _run_micrograph(model: Model, device: str, out: Path) -> Path:
    """Annotate the left half of a micrograph, segment both halves as the frames of a stack."""
    import numpy as np
    from skimage.data import immunohistochemistry

    from napari_vrp_sam.annotations.geometry import polygon_to_mask
    from napari_vrp_sam.inference.segment import segment_stack
    from napari_vrp_sam.io.exports.contact_sheet import overlay

    picture = immunohistochemistry()
    middle = picture.shape[1] // 2
    halves = np.stack([picture[:, :middle], picture[:, middle:]])
    annotation = np.zeros(picture.shape[:2], np.uint8)
    for outline in GLANDS.split(";"):
        corners = [[float(v) for v in corner.split(",")][::-1] for corner in outline.split()]
        annotation[:, :middle] |= polygon_to_mask(corners, (len(picture), middle)) > 0
    labels = segment_stack(
        halves, annotation[:, :middle], axes="ZYXS", reference_frame=0, model=model, device=device
    )
    result = np.concatenate(list(labels), axis=1)
    return _save_figure(
        out / "glands.png",
        [[picture, overlay(picture, annotation), overlay(picture, result)]],
        ["image", "annotation of the left half", "result"],
        ["no ground truth"],
        title="A micrograph: stained glands among unstained tissue (scikit-image)",
        cell_width=420,
    )


def _save_figure(
    path: Path,
    rows: Sequence[Sequence[NDArray[np.uint8] | None]],
    headings: Sequence[str],
    titles: Sequence[str],
    **layout: Any,
) -> Path:
    from napari_vrp_sam.files import atomic
    from napari_vrp_sam.io.exports.contact_sheet import contact_sheet

    with atomic(path) as temporary:
        contact_sheet(rows, headings, titles, **layout).save(temporary)
    return path
