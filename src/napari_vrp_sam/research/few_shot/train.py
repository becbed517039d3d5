"""Training run of a VRP encoder on Pascal-5i or COCO-20i."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch

from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.catalogue import VRP_ENCODER_KIND
from napari_vrp_sam.models.weights.checkpoints import write_checkpoint
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotDataset, Progress
from napari_vrp_sam.research.few_shot.batches import FewShotStream
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache, module_digest
from napari_vrp_sam.research.few_shot.encoding import encode_images
from napari_vrp_sam.research.few_shot.frozen_sam import Canvas, FrozenSam
from napari_vrp_sam.research.few_shot.module import VRPModule
from napari_vrp_sam.research.few_shot.pairs import EpisodeSampler, group_by_fold
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.research.resuming import resume_checkpoint, training_folder, weights_path
from napari_vrp_sam.research.trainer import (
    Precision,
    check_devices,
    check_nodes,
    fit,
    quiet_lightning,
)


def train_few_shot(
    output: str | os.PathLike[str],
    data: FewShotDataset,
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
    """Train a VRP encoder on the base classes of a fold; the same call resumes a run.

    A resumed run results in the same weights as an uninterrupted one.

    Parameters
    ----------
    output : path-like
        The `.safetensors` file to write. Checkpoints and the log are written into a folder beside
        it, of the same name with `.training` appended.
    data : FewShotDataset
    fold : int
        Fold, 0..3, whose classes are excluded.
    model : FullSizeModel
        SAM and the semantic encoder with their weights; an existing VRP encoder is ignored.
    semantic_encoder : str
        Name of the semantic encoder, written into the file.
    recipe : Recipe
    cache_folder : Path
        Folder for SAM's embeddings of the training images.
    device : str or torch.device
        See `resolve_device`.
    devices, nodes : int
        Number of devices per machine, and of machines; see `trainer.fit`. Each device takes
        `recipe.batch_size` episodes per step: N devices see the same batches as one device with N
        times the batch size, and an epoch has correspondingly fewer steps.
    workers : int
        Number of processes per device that read images.
    precision : {"32", "bf16"}
    checkpoint_every : int
        Steps between checkpoints.
    metadata : mapping of str to str, optional
        Additional entries of the file's header.
    progress : callable, optional
        Called with messages until training starts.
    on_start : callable, optional
        Called when training starts.

    Returns
    -------
    Path
        The weights file, which only the first machine writes.

    Raises
    ------
    InputError
        If data is missing, `output` cannot be written, or it belongs to a run with other settings.
    KeyboardInterrupt
        If the run is interrupted; the last checkpoint remains, no weights file is written.
    """
    output = weights_path(output)
    torch_device = resolve_device(device)
    check_devices(torch_device, devices)
    check_nodes(nodes)
    sampler = EpisodeSampler(
        data, fold, references=recipe.references, seed=recipe.seed, progress=progress
    )
    world_size = devices * nodes
    epoch = len(sampler.image_ids)
    steps = max(1, recipe.epochs * epoch // (recipe.batch_size * world_size))
    sam_digest = module_digest(model.sam)
    settings: dict[str, Any] = {
        "data": data.name,
        "fold": fold,
        "sam": sam_digest,
        "semantic_encoder": semantic_encoder,
        **asdict(recipe),
        "steps": steps,
        "devices": world_size,
        "precision": precision,
    }
    folder = training_folder(output)
    checkpoint = resume_checkpoint(folder, settings)
    completed = int(checkpoint["global_step"]) if checkpoint else 0

    with quiet_lightning():
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
        if completed < steps:
            groups = group_by_fold(data)
            cache = EmbeddingCache(cache_folder, data.name, sam_digest, groups, sampler.image_ids)
            encode_images(cache, model.sam, data, torch_device, devices, progress)
            make_stream = partial(
                FewShotStream,
                data,
                sampler,
                cache,
                Canvas.from_model(model),
                recipe,
                steps,
                start=completed,
                world_size=world_size,
            )
            if on_start:
                on_start()
            fit(
                module,
                make_stream,
                folder,
                torch_device,
                steps=steps,
                checkpoint_every=checkpoint_every,
                completed=completed,
                workers=workers,
                devices=devices,
                nodes=nodes,
                precision=precision,
            )
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
