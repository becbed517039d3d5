"""The paper's training and its ablations with what is at hand: does the paper's order hold?

    export VRP_SAM_DATA=...
    python benchmarks/paper_protocol.py --json benchmarks/results/paper-protocol.json

`lite`'s image encoder and mask decoder stand for SAM, its backbone for the semantic encoder; both
stay frozen (the decoder once it has been taught to follow points and boxes, see `protocol_sam`),
and a VRP encoder of the paper's design learns between them, by the code that
`vrp-sam train pascal5i` runs: pairs of one class, correlation as pseudo-mask, SAM's "no mask" as
dense prompt, AdamW, cosine decay. Nothing but the prompts tells the mask decoder of the class: the
logits to which `lite` adds its own are 0. It learns from three of four classes of the `train` sets
and is measured on the fourth, as in the paper, and on the classes of the `evaluate` sets, of which
it has not even seen the kind of images.

Several seeds of each training follow each other, the first of all trainings first. A file that
holds trainings of the same settings is added to: what is in it is not done again.
"""

from __future__ import annotations

import json as text
import os
import tempfile
import time
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from protocol_bank import build_bank, read_pictures, save
from protocol_sam import DECODER, teach, write_decoder
from protocol_training import SETUPS, WHERE, Run, Worker

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.open import find_datasets


def prepare(
    folder: Path,
    sets: dict[str, list[str]],
    size: int,
    images: int | None,
    device: str,
    teach_steps: int,
) -> list[float]:
    """Write the features of all images, and the mask decoder; how well that follows prompts."""
    workers = len(os.sched_getaffinity(0))
    pictures = {
        name: read_pictures(
            find_datasets(of), size=size, training=name == "train", workers=workers, most=images
        )
        for name, of in sets.items()
    }
    where = resolve_device(device)
    network = cast(LiteModel, load_model("lite")).network
    banks = {name: build_bank(own, network, where) for name, own in pictures.items()}
    for name, bank in banks.items():
        shown = sum(map(len, bank.shown))
        typer.echo(f"{name}: {len(bank.labels)} images, {len(bank.names)} classes, {shown} masks")
        save(bank, folder / f"{name}.pt")
    ious = teach(network, banks["train"].to(where).split()[0], teach_steps, 32)
    write_decoder(network, folder / DECODER)
    return ious


def earlier_runs(file: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """What a file holds already, if it was made with the same settings."""
    if not file.exists():
        return []
    content = text.loads(file.read_text("utf-8"))
    made = {key: content["settings"].get(key) for key in settings}
    if made != settings:
        other = sorted(key for key in settings if made[key] != settings[key])
        raise InputError(f"{file} was made with another {', '.join(other)}: choose another --json.")
    return list(content["runs"])


def main(
    json: Annotated[Path, typer.Option(help="Write the results here, after every training.")],
    learn: Annotated[list[str] | None, typer.Option(help="Sets; 'train' unless given.")] = None,
    measure: Annotated[
        list[str] | None, typer.Option(help="Sets; 'evaluate' unless given.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    processes: Annotated[int, typer.Option(help="Trainings at a time.")] = 1,
    minutes: Annotated[float, typer.Option(help="For the trainings; none starts later.")] = 1e6,
    teach_steps: Annotated[int, typer.Option(help="Of the mask decoder, before all.")] = 1500,
    steps: Annotated[int, typer.Option(help="Of each training.")] = 1000,
    batch_size: Annotated[int, typer.Option(help="Pairs a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="At first.")] = 1e-3,
    size: Annotated[int, typer.Option(help="Side of the square frames, a multiple of 32.")] = 256,
    seeds: Annotated[int, typer.Option(help="Trainings of each setup.")] = 3,
    episodes: Annotated[int, typer.Option(help="To measure each with.")] = 1000,
    images: Annotated[
        int | None, typer.Option(min=6, help="Of each set; all unless given.")
    ] = None,
    only: Annotated[int | None, typer.Option(help="First setups alone, for a trial.")] = None,
) -> None:
    """Train and measure every setup."""
    begun = time.time()
    sets = {"train": learn or ["train"], "evaluate": measure or ["evaluate"]}
    shared: dict[str, Any] = {
        "device": device,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "episodes": episodes,
    }
    settings = {**shared, "size": size, "images": images, **sets, "teach_steps": teach_steps}
    runs = earlier_runs(json, settings)
    with tempfile.TemporaryDirectory() as folder:
        ious = prepare(Path(folder), sets, size, images, device, teach_steps)
        typer.echo(
            f"prepared after {time.time() - begun:.0f} s, decoder's IoU from points and box: {ious}"
        )
        run = Run(folder=folder, until=time.time() + 60 * minutes, **shared)
        settings["decoder_iou"] = ious
        content: dict[str, Any] = {"settings": settings, "runs": runs}
        done = [{key: run[key] for key in asdict(SETUPS[0])} for run in runs]
        wanted = [replace(s, seed=seed) for seed in range(seeds) for s in SETUPS[:only]]
        missing = [setup for setup in wanted if asdict(setup) not in done]
        # A process keeps gigabytes of what its trainings used: a new one after some.
        pool = get_context("spawn").Pool(processes, Worker.start, (run,), maxtasksperchild=4)
        with pool:
            for result in pool.imap_unordered(Worker.work, missing):
                if result is None:
                    typer.echo("no time left for a training")
                    continue
                content["runs"].append(result)
                settings["seconds"] = round(time.time() - begun)
                write_json(json, content)
                scores = {w: [round(r["mean_iou"], 3) for r in result[w].values()] for w in WHERE}
                named = {key: result[key] for key in asdict(SETUPS[0])}
                typer.echo(
                    f"{time.time() - begun:.0f} s: {named}: {scores}, took {result['seconds']} s"
                )


if __name__ == "__main__":
    typer.run(main)
