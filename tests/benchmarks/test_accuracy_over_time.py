"""The table of accuracies over time: a drop is noticed, and a column that is new is not one."""

from __future__ import annotations

import pytest
from tests.scripts import load_script

from napari_vrp_sam.io.samples import sample_nuclei
from napari_vrp_sam.research.datasets.dataset import Dataset


@pytest.fixture(scope="module")
def script():
    return load_script("benchmarks/accuracy_over_time.py")


def test_a_drop_is_noticed(script):
    rows = [{"date": "1", "tissue, mask": "0.8000"}, {"date": "2", "tissue, mask": "0.7949"}]
    assert script.dropped(rows, "tissue, mask")
    rows[1]["tissue, mask"] = "0.7951"
    assert not script.dropped(rows, "tissue, mask")
    rows[1]["nuclei, mask"] = "0.1"
    assert not script.dropped(rows, "nuclei, mask")
    assert not script.dropped(rows[1:], "tissue, mask")


def test_the_last_row_comes_first(script):
    rows = [{"date": "1", "tissue, mask": "0.8"}, {"date": "2", "tissue, mask": "0.7", "a, b": "1"}]
    head, line, first, second = script.markdown(rows)
    assert head.count("|") == line.count("|") == first.count("|") == second.count("|")
    assert first.startswith("| 2 |")
    assert first.endswith("| 0.7 | 1 |")
    assert second.endswith("| 0.8 |  |")


def test_generated_datasets_are_sequences(script, tmp_path):
    folder = script.write_dataset(tmp_path / "nuclei", sample_nuclei, 64, 2)
    dataset = Dataset.open(folder)
    assert {name: len(ids) for name, ids in dataset.sequences.items()} == {
        "stack 0": script.FRAMES,
        "stack 1": script.FRAMES,
    }
