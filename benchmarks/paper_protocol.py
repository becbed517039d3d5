"""The paper's training and its ablations on other data, with `lite` in place of SAM.

    export VRP_SAM_DATA=...
    python benchmarks/paper_protocol.py --json benchmarks/results/paper-protocol.json

`lite`'s image encoder and mask decoder replace SAM, and its backbone the semantic encoder. Both are
frozen, after the decoder has been trained to follow points and boxes (see `protocol_sam`). A VRP
encoder is trained between them as by `vrp-sam train pascal5i`: pairs of one class, correlation
as pseudo-mask, SAM's "no mask" as dense prompt, AdamW, cosine decay. The mask decoder learns about
the class only from the prompts: the pseudo-mask logits that `lite` adds are 0. Three of four
classes of the `train` datasets are trained on; the fourth is evaluated, as in the paper, and so are
the classes of the `evaluate` datasets, which contain other kinds of images.

All trainings run with the first seed before the second one is started. Results are added to an
existing file with the same settings, and its trainings are not repeated.
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
from protocol_sam import DECODER, train_decoder, write_decoder
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
    """Write the features of all images and the mask decoder; return the decoder's IoU."""
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
        shown = sum(map(len, bank.occurrences))
        typer.echo(f"{name}: {len(bank.labels)} images, {len(bank.names)} classes, {shown} masks")
        save(bank, folder / f"{name}.pt")
    ious = train_decoder(network, banks["train"].to(where).split()[0], teach_steps, 32)
    write_decoder(network, folder / DECODER)
    return ious


def earlier_runs(file: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results in an existing file; fail if it was made with other settings."""
    if not file.exists():
        return []
    content = text.loads(file.read_text("utf-8"))
    made = {key: content["settings"].get(key) for key in settings}
    if made != settings:
        other = sorted(key for key in settings if made[key] != settings[key])
        raise InputError(
            f"{file} was made with different {', '.join(other)}: choose another --json."
        )
    return list(content["runs"])


def main(
    json: Annotated[
        Path, typer.Option(help="Write the results to this file, after each training.")
    ],
    learn: Annotated[
        list[str] | None, typer.Option(help="Datasets to train on. Default: train.")
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option(help="Datasets to evaluate. Default: evaluate.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    processes: Annotated[int, typer.Option(help="Number of concurrent trainings.")] = 1,
    minutes: Annotated[float, typer.Option(help="Start no training that would end later.")] = 1e6,
    teach_steps: Annotated[int, typer.Option(help="Training steps of the mask decoder.")] = 1500,
    steps: Annotated[int, typer.Option(help="Steps per training.")] = 1000,
    batch_size: Annotated[int, typer.Option(help="Pairs per step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Initial learning rate.")] = 1e-3,
    size: Annotated[int, typer.Option(help="Side of the square frames, a multiple of 32.")] = 256,
    seeds: Annotated[int, typer.Option(help="Seeds per setup.")] = 3,
    episodes: Annotated[int, typer.Option(help="Episodes per evaluation.")] = 1000,
    images: Annotated[
        int | None, typer.Option(min=6, help="Images per dataset. Default: all.")
    ] = None,
    only: Annotated[int | None, typer.Option(help="Only the first setups, for a test.")] = None,
) -> None:
    """Train and evaluate each setup."""
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
        typer.echo(f"prepared after {time.time() - begun:.0f} s, IoU from points and boxes: {ious}")
        run = Run(folder=folder, until=time.time() + 60 * minutes, **shared)
        settings["decoder_iou"] = ious
        content: dict[str, Any] = {"settings": settings, "runs": runs}
        done = [{key: run[key] for key in asdict(SETUPS[0])} for run in runs]
        wanted = [replace(s, seed=seed) for seed in range(seeds) for s in SETUPS[:only]]
        missing = [setup for setup in wanted if asdict(setup) not in done]
        # Restart processes now and then, because they do not release all memory.
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
