"""Accuracy of models that have to be downloaded, on openly licensed stacks.

    python benchmarks/accuracy_online.py --json accuracy-online.json

Needs a connection: it downloads the models, and three stacks whose addresses are listed below. One
frame of each is annotated with the ground truth, and the mean IoU on the other frames is printed as
the table of the documentation. Models whose licence was not accepted are skipped with one line.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import imageio.v3 as iio
import numpy as np
import pooch
import typer
from numpy.typing import NDArray

from napari_vrp_sam import InputError, Segmenter
from napari_vrp_sam.files import write_json

MODELS = "lite,dinov2_s,dinov2_b,dinov3_s,vit_b,vit_b_lm,vit_b_em_organelles"
MAX_FRAMES = 20
"""Frames of a stack, at regular distances."""

Stack = tuple[NDArray[Any], NDArray[np.bool_]]
"""Frames (Z, Y, X) and the ground truth of one class."""


@dataclass(frozen=True)
class OpenStack:
    """Openly licensed frames with ground truth.

    Attributes
    ----------
    name, licence : str
    images, masks : tuple of str
        Address of a ZIP archive, and a regular expression for the names in it, whose group orders
        and matches the frames.
    """

    name: str
    licence: str
    images: tuple[str, str]
    masks: tuple[str, str]

    def read(self) -> Stack:
        """Download and read the frames that have both."""
        images, masks = (_names(*source) for source in (self.images, self.masks))
        keys = sorted(images.keys() & masks.keys())
        chosen = np.unique(np.linspace(0, len(keys) - 1, MAX_FRAMES).astype(int))
        pairs = [(_image(*images[keys[i]]), _image(*masks[keys[i]])) for i in chosen]
        return np.stack([image for image, _ in pairs]), np.stack([m > 0 for _, m in pairs])


def _names(url: str, pattern: str) -> dict[str, tuple[Path, str]]:
    archive = Path(pooch.retrieve(url, known_hash=None))
    with zipfile.ZipFile(archive) as opened:
        found = ((re.search(pattern, name), name) for name in opened.namelist())
        return {match[1]: (archive, name) for match, name in found if match}


def _image(archive: Path, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(archive) as opened:
        pixels = np.asarray(iio.imread(opened.read(name)))
    return pixels[..., 0] if pixels.ndim == 3 else pixels


BROAD = "https://data.broadinstitute.org/bbbc"
VNC = "https://github.com/unidesigner/groundtruth-drosophila-vnc/archive/refs/heads/master.zip"

STACKS = (
    OpenStack(
        "mitochondria (Drosophila VNC, ssTEM)",
        "CC BY-NC-SA 3.0, Gerhard et al. 2013",
        (VNC, r"stack1/raw/(\d+)\.tif$"),
        (VNC, r"stack1/mitochondria/(\d+)\.png$"),
    ),
    OpenStack(
        "nuclei (BBBC039, fluorescence)",
        "CC0, Caicedo et al. 2018",
        (f"{BROAD}/BBBC039/images.zip", r"images/(\w+)\.tif$"),
        (f"{BROAD}/BBBC039/masks.zip", r"masks/(\w+)\.png$"),
    ),
    OpenStack(
        "worms (BBBC010, bright field)",
        "CC0, Ljosa et al. 2012",
        (f"{BROAD}/BBBC010/BBBC010_v2_images.zip", r"_([A-P]\d\d)_w2_.*\.tif$"),
        (f"{BROAD}/BBBC010/BBBC010_v1_foreground.zip", r"([A-P]\d\d)_binary\.png$"),
    ),
)


def mean_iou(model: str, frames: NDArray[Any], truth: NDArray[np.bool_], device: str) -> float:
    """Annotate the middle frame, and return the mean IoU on the others."""
    middle = len(frames) // 2
    segmenter = Segmenter(model, device=device)
    segmenter.fit(frames, truth[middle].astype(np.uint8), axes="ZYX", reference_frame=middle)
    found = np.asarray(segmenter.predict(frames).labels) > 0
    others = [i for i in range(len(frames)) if i != middle and truth[i].any()]
    return float(
        np.mean([(found[i] & truth[i]).sum() / (found[i] | truth[i]).sum() for i in others])
    )


def main(
    models: Annotated[str, typer.Option(help="Names, separated by commas.")] = MODELS,
    json: Annotated[Path, typer.Option(help="Write the results here.")] = Path("online.json"),
    device: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Download models and stacks, and print the table."""
    names = models.split(",")
    results: dict[str, dict[str, float | str]] = {}
    typer.echo("| stack | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for stack in STACKS:
        try:
            frames, truth = stack.read()
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            typer.echo(f"{stack.name} cannot be downloaded or read: {error}")
            continue
        scores: dict[str, float | str] = {}
        for name in names:
            try:
                scores[name] = mean_iou(name, frames, truth, device)
            except InputError as error:
                scores[name] = str(error).splitlines()[0]
        results[stack.name] = scores
        shown = (f"{s:.3f}" if isinstance(s, float) else "-" for s in scores.values())
        typer.echo(f"| {stack.name} | " + " | ".join(shown) + " |")
        write_json(json, {"max_frames": MAX_FRAMES, "iou": results})


if __name__ == "__main__":
    typer.run(main)
