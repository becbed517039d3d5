from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.devices import resolve_device


@pytest.fixture
def cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("cpu_only")
def test_computer_without_gpu() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(InputError, match=f"no CUDA device '{name}'"):
            resolve_device(name)
    with pytest.raises(InputError, match="no Apple GPU"):
        resolve_device("mps")


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps")])
def test_auto_selects_the_fastest_device(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == torch.device(chosen)


def test_index_of_gpu_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("cuda") == torch.device("cuda")
    assert resolve_device(torch.device("cuda:0")) == torch.device("cuda:0")
    with pytest.raises(InputError, match="cuda:1"):
        resolve_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:x"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(InputError, match="Unknown device"):
        resolve_device(name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forked processes on this system")
def test_a_forked_child_can_compute() -> None:
    code = """
import os, sys, warnings
import torch
from napari_vrp_sam.models.devices import resolve_device
torch.set_num_threads(2)
layer, image = torch.nn.Conv2d(8, 64, 3), torch.ones(1, 8, 256, 256)
expected = layer(image).sum().item()  # starts the threads, which a child does not have
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    same = abs(layer(image).sum().item() - expected) < 1
    os._exit(0 if same and torch.get_num_threads() == 1 else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    # Would wait for ever otherwise.
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == 0


def test_threads_wait_passively_unless_the_user_says_otherwise() -> None:
    code = "import os, napari_vrp_sam; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: v for name, v in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for given, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=environment | given,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == expected
