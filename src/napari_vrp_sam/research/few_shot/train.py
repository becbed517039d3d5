"""Training of a VRP encoder on Pascal-5i or COCO-20i, from SAM's embeddings to the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning
import torch

from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.catalogue import VRP_ENCODER_KIND
from napari_vrp_sam.models.weights.checkpoints import write_checkpoint
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotSet, Progress
from napari_vrp_sam.research.few_shot.batches import PairStream
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache, digest
from napari_vrp_sam.research.few_shot.encoding import encode_images
from napari_vrp_sam.research.few_shot.frozen_sam import Canvas, FrozenSam
from napari_vrp_sam.research.few_shot.module import VRPModule
from napari_vrp_sam.research.few_shot.pairs import TrainingPairs, groups_of
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.research.resuming import LAST, checkpoint_of, folder_of, weights_path
from napari_vrp_sam.research.trainer import (
    StreamData,
    check_devices,
    check_nodes,
    fit,
    make_trainer,
    quiet,
)

Precision = Literal["32", "bf16"]


def train_few_shot(
    output: str | os.PathLike[str],
    data: FewShotSet,
    fold: int,
    model: FullSizeModel,
    semantic_encoder: str,
    recipe: Recipe,
    *,
    cache_folder: Path,
    device: str | torch.device = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int = 4,
    precision: Precision = "32",
    checkpoint_every: int = 500,
    metadata: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    on_start: Callable[[], None] | None = None,
) -> Path:
    """Train a VRP encoder on the classes outside a fold; call it again to resume.

    A run that is resumed ends with the weights that it would have had without the break.

    Parameters
    ----------
    output : path-like
        The `.safetensors` file to write. Checkpoints and the log lie in a folder beside it,
        named like it with `.training` added; a run that finds a checkpoint there goes on from it.
    data : FewShotSet
    fold : int
        0..3, whose classes are left out.
    model : FullSizeModel
        SAM and the semantic encoder, with their weights; a VRP encoder that it has is left alone.
    semantic_encoder : str
        Its name, for the file.
    recipe : Recipe
    cache_folder : Path
        Where SAM's embeddings of the training images are kept.
    device : str or torch.device
        See `resolve_device`.
    devices, nodes : int
        Devices of each machine, and machines; see `make_trainer`. Each device takes
        `recipe.batch_size` episodes a step: N of them see in each step what one with N times the
        batch size sees, and an epoch has as many fewer steps.
    workers : int
        Processes that read images, for each device.
    precision : {"32", "bf16"}
    checkpoint_every : int
        Steps between checkpoints.
    metadata : mapping of str to str, optional
        Added to the file's header.
    progress : callable, optional
        Told how far it is until the training begins, which shows its own.
    on_start : callable, optional
        Called when the training begins.

    Returns
    -------
    Path
        The weights file; machines but the first write none.

    Raises
    ------
    InputError
        If the data is not there, nothing can be written, or a run of other settings was begun
        at `output`.
    KeyboardInterrupt
        If it was interrupted: the last checkpoint stays, no weights file is written.
    """
    output = weights_path(output)
    where = resolve_device(device)
    check_devices(where, devices)
    check_nodes(nodes)
    pairs = TrainingPairs(
        data, fold, references=recipe.references, seed=recipe.seed, progress=progress
    )
    world = devices * nodes
    steps = max(1, recipe.epochs * pairs.epoch // (recipe.batch_size * world))
    sam = digest(model.sam)
    settings: dict[str, Any] = {
        "data": data.name,
        "fold": fold,
        "sam": sam,
        "semantic_encoder": semantic_encoder,
        **recipe.as_settings(),
        "steps": steps,
        "devices": world,
        "precision": precision,
    }
    folder = folder_of(output)
    checkpoint = checkpoint_of(folder, settings)
    done = int(checkpoint["global_step"]) if checkpoint else 0

    with quiet():
        lightning.seed_everything(recipe.seed, workers=True, verbose=False)
        encoder = VRPEncoder(
            sum(model.semantic.channels[:2]),
            model.sam.prompt_encoder.embed_dim,
            queries=recipe.queries,
            initialisation=recipe.initialisation,
        )
        module = VRPModule(
            FrozenSam(model),
            encoder,
            steps,
            learning_rate=recipe.learning_rate,
            loss=recipe.loss,
            seed=recipe.seed,
        )
        if done < steps:
            embeddings = EmbeddingCache(cache_folder, data.name, sam, groups_of(data), pairs.images)
            encode_images(embeddings, model.sam, data, where, devices, progress)
            make_stream = partial(
                PairStream,
                data,
                pairs,
                embeddings,
                Canvas.of(model),
                recipe,
                steps,
                start=done,
                world=world,
            )
            trainer = make_trainer(
                folder,
                where,
                devices,
                steps,
                checkpoint_every,
                done,
                nodes=nodes,
                precision="bf16-mixed" if precision == "bf16" else "32-true",
            )
            if on_start:
                on_start()
            stream = StreamData(make_stream, workers, where)
            fit(trainer, module, stream, str(folder / LAST) if done else None)
        elif checkpoint:
            module.on_load_checkpoint(checkpoint)
            module.load_state_dict(checkpoint["state_dict"])
    header = {
        "kind": VRP_ENCODER_KIND,
        "sam": model.name,
        "semantic_encoder": semantic_encoder,
        "pseudo_mask": "correlation",
        **encoder.as_metadata(),
        "data": data.name,
        "fold": str(fold),
        "training": json.dumps(settings),
        **(metadata or {}),
    }
    if nodes == 1 or int(os.environ.get("NODE_RANK", "0")) == 0:
        write_checkpoint(output, encoder.state_dict(), header)
    return output
