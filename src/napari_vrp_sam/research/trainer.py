"""Lightning trainers for one or several devices."""

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
from napari_vrp_sam.research.resuming import LAST_CHECKPOINT
from napari_vrp_sam.training.stream import StepStream

Precision = Literal["32", "bf16"]
"""Precision of the computation; weights are always stored in single precision."""

NODE_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
"""Environment variables: address and port of the first machine, and index of this one."""

StreamFactory = Callable[..., StepStream]


def check_devices(device: torch.device, devices: int) -> None:
    """Raise InputError if the machine does not have that many devices of a type."""
    available = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, devices)
    if devices < 1 or devices > available:
        raise InputError(
            f"Cannot use {devices} devices of type '{device.type}': {available} available."
        )
    if devices > 1 and device.index is not None:
        raise InputError(
            f"'{device}' is a single device: choose '{device.type}' to use {devices} devices."
        )


def check_nodes(nodes: int) -> None:
    """Raise InputError if several machines lack the environment variables to find each other.

    Without these variables each machine would wait for the others until a timeout.
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
        value = os.environ[name]
        if not value.isdecimal() or int(value) > most:
            raise InputError(f"{name}={value} is invalid: set it to a number from 0 to {most}.")


def fit(
    module: lightning.LightningModule,
    make_stream: StreamFactory,
    folder: Path,
    device: torch.device,
    *,
    steps: int,
    checkpoint_every: int,
    completed: int = 0,
    workers: int = 1,
    devices: int = 1,
    nodes: int = 1,
    precision: Precision = "32",
    gradient_clip: float | None = None,
    find_unused_parameters: bool = False,
) -> None:
    """Train a module; write the log and checkpoints into a folder.

    Parameters
    ----------
    module : LightningModule
    make_stream : callable
        Called with the keyword `rank`, the index of the device; returns its stream.
    folder : Path
        Folder for the log and checkpoints.
    device : torch.device
    steps, checkpoint_every : int
        Total number of steps, and steps between checkpoints.
    completed : int
        Steps completed by earlier runs; if not 0, `LAST_CHECKPOINT` is loaded.
    workers, devices, nodes : int
        Processes per device that make batches, devices per machine, and machines (see
        `check_nodes`). Each device has its own process; gradients are averaged.
    precision : {"32", "bf16"}
    gradient_clip : float, optional
        Largest norm of the gradients.
    find_unused_parameters : bool
        Set it if a step does not use all parameters.

    Raises
    ------
    InputError
        If data cannot be read.
    KeyboardInterrupt
        If the run is interrupted.
    """
    single = devices * nodes == 1
    # A log per run, because Lightning empties an existing one.
    version = f"from-{completed}"
    loggers: list[Logger] = [
        CSVLogger(folder, name="log", version=version, flush_logs_every_n_steps=20)
    ]
    if find_spec("tensorboard"):
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=version))
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" and devices == 1 else devices,
        num_nodes=nodes,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        strategy="auto"
        if single
        else DDPStrategy(start_method="spawn", find_unused_parameters=find_unused_parameters),
        # Ignore any cluster environment (such as SLURM) that Lightning would detect.
        plugins=None if single else LightningEnvironment(),
        logger=loggers,
        log_every_n_steps=min(10, steps),
        gradient_clip_val=gradient_clip,
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
    data = _StreamDataModule(make_stream, workers, device)
    checkpoint = str(folder / LAST_CHECKPOINT) if completed else None
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    except SystemExit:  # Lightning's response to an interrupt
        if not trainer.interrupted:
            raise
    except InputError as error:
        # The message of an error in a worker process contains the traceback.
        raise InputError(str(error).rstrip().rpartition("InputError: ")[2]) from error
    if trainer.interrupted:
        # Lightning has disabled further interrupts.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt


class _StreamDataModule(lightning.LightningDataModule):
    """Provides each device with its own stream of batches."""

    def __init__(self, make_stream: StreamFactory, workers: int, device: torch.device) -> None:
        super().__init__()
        self._make_stream = make_stream
        self._workers = workers
        self._device = device

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return the loader of this process."""
        rank = self.trainer.global_rank if self.trainer else 0
        # Processes that use CUDA or belong to a process group must not be forked.
        fork = self._device.type == "cpu" and not (self.trainer and self.trainer.world_size > 1)
        return DataLoader(
            self._make_stream(rank=rank),
            batch_size=None,
            num_workers=self._workers,
            multiprocessing_context="spawn" if self._workers and not fork else None,
        )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's hints and warnings.

    They concern things that are intended here: a stream that starts where the run is resumed, a
    folder that contains a checkpoint, a single worker.
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
