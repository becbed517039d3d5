"""Lightning, as the training of this project uses it: on one device or several, and quietly."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.training.stream import StepStream

Precision = Literal["32-true", "bf16-mixed"]
"""Of what is computed; weights are always kept in single precision."""

NODE_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
"""Where the first of several machines is, and which of them this is."""

MakeStream = Callable[..., StepStream]


class StreamData(lightning.LightningDataModule):
    """Hands every device a stream with episodes of its own.

    Parameters
    ----------
    make_stream : callable
        Takes `rank`, the device's number, and returns its stream.
    workers : int
        Processes that make episodes, for each device.
    device : torch.device
    """

    def __init__(self, make_stream: MakeStream, workers: int, device: torch.device) -> None:
        super().__init__()
        self._make_stream = make_stream
        self._workers = workers
        self._device = device

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The loader of the process that asks."""
        rank = self.trainer.global_rank if self.trainer else 0
        # A process in which CUDA has started, or a group of processes, must not be forked.
        alone = self._device.type == "cpu" and not (self.trainer and self.trainer.world_size > 1)
        return DataLoader(
            self._make_stream(rank=rank),
            batch_size=None,
            num_workers=self._workers,
            multiprocessing_context="spawn" if self._workers and not alone else None,
        )


def check_devices(device: torch.device, devices: int) -> None:
    """Raise InputError if there are not so many devices of a kind."""
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, devices)
    if devices < 1 or devices > there:
        raise InputError(f"There are not {devices} devices of the kind '{device.type}': {there}.")
    if devices > 1 and device.index is not None:
        raise InputError(f"'{device}' is a single device: give its kind to use {devices}.")


def check_nodes(nodes: int) -> None:
    """Raise InputError if several machines are not told where they find each other.

    Without that each would wait for the others until its patience ends.
    """
    if nodes == 1:
        return
    missing = [name for name in NODE_VARIABLES if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"{nodes} machines need the environment variables {', '.join(NODE_VARIABLES)}; "
            f"missing: {', '.join(missing)}."
        )
    for name, most in (("MASTER_PORT", 65_535), ("NODE_RANK", nodes - 1)):
        given = os.environ[name]
        if not given.isdecimal() or int(given) > most:
            raise InputError(f"{name}={given} is to be a number from 0 to {most}.")


def make_trainer(
    folder: Path,
    device: torch.device,
    devices: int,
    steps: int,
    checkpoint_every: int,
    done: int,
    *,
    nodes: int = 1,
    precision: Precision = "32-true",
    clip: float | None = None,
    unused: bool = False,
) -> lightning.Trainer:
    """A trainer that logs and keeps checkpoints in a folder.

    Parameters
    ----------
    folder : Path
    device : torch.device
    devices : int
        Of the device's kind; above 1 each gets a process, and gradients are their mean.
    steps, checkpoint_every : int
        Steps in all, and between checkpoints.
    done : int
        Steps done before, after which the log is named.
    nodes : int, default 1
        Machines, each with so many devices; on each the same command runs, told by MASTER_ADDR,
        MASTER_PORT and NODE_RANK where the others are.
    precision : {"32-true", "bf16-mixed"}
    clip : float, optional
        Gradients are scaled down to this norm.
    unused : bool, default False
        Whether a step may leave parts of the module out.
    """
    alone = devices * nodes == 1
    return lightning.Trainer(
        max_steps=steps,
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" and devices == 1 else devices,
        num_nodes=nodes,
        precision=precision,
        strategy="auto"
        if alone
        else DDPStrategy(start_method="spawn", find_unused_parameters=unused),
        # Whatever else Lightning would find of a cluster: what starts processes is always this.
        plugins=None if alone else LightningEnvironment(),
        logger=_loggers(folder, f"from-{done}"),
        log_every_n_steps=min(10, steps),
        gradient_clip_val=clip,
        callbacks=[
            ModelCheckpoint(
                folder,
                every_n_train_steps=checkpoint_every,
                save_last=True,
                enable_version_counter=False,
            ),
            TQDMProgressBar(refresh_rate=20),
        ],
        enable_model_summary=False,
    )


def _loggers(folder: Path, version: str) -> list[Logger]:
    """A table and, where TensorBoard is installed, what that reads."""
    # A log for each start: Lightning empties the one it finds.
    loggers: list[Logger] = [
        CSVLogger(folder, name="log", version=version, flush_logs_every_n_steps=20)
    ]
    if find_spec("tensorboard"):
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=version))
    return loggers


def fit(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    data: StreamData,
    checkpoint: str | None,
) -> None:
    """Train; an interrupt stays one, which Lightning turns into an exit of its own.

    Raises
    ------
    InputError
        If data cannot be read.
    """
    at_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    except SystemExit:
        if not trainer.interrupted:
            raise
    except InputError as error:
        # From a process that reads data it comes with that one's traceback as its text.
        raise InputError(str(error).rstrip().rpartition("InputError: ")[2]) from error
    if trainer.interrupted:
        # Lightning has switched further interrupts off.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, at_interrupt)
        raise KeyboardInterrupt


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice, meant for its own users, from ours.

    What it warns of is so on purpose: a stream that starts where the run resumes, a folder with
    an earlier checkpoint in it, a single worker.
    """
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        log.setLevel(level)
