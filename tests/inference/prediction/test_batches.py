import pytest
import torch

from napari_vrp_sam.inference.prediction.batches import BYTES_PER_FRAME, FrameBatches


@pytest.mark.parametrize(
    ("free", "reserved", "allocated", "frames"),
    [(3, 0, 0, 3), (1, 5, 1, 5), (0, 4, 4, 1), (0, 70, 0, 8)],
)
def test_reserved_memory_counts_as_free(monkeypatch, model, free, reserved, allocated, frames):
    """Sizes in frames, without a GPU."""
    told = {
        "mem_get_info": (free * BYTES_PER_FRAME, 80 * BYTES_PER_FRAME),
        "memory_reserved": reserved * BYTES_PER_FRAME,
        "memory_allocated": allocated * BYTES_PER_FRAME,
    }
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    batches = FrameBatches(model, torch.device("cuda"), None, compiled=False)
    assert batches.size == frames
