from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.exports.tables import write_table


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({"index": [1, 2], "area": [12.5, 3.0], "confidence": [0.5, np.nan]})


def test_a_table_is_read_as_it_was_written(tmp_path: Path, table: pd.DataFrame) -> None:
    path = tmp_path / "new folder" / "objects.csv"
    write_table(path, table)
    pd.testing.assert_frame_equal(pd.read_csv(path), table)
    assert path.read_text("utf-8").splitlines()[0] == "index,area,confidence"
    assert [entry.name for entry in path.parent.iterdir()] == ["objects.csv"]


def test_another_suffix_is_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"objects\.xlsx: use \.csv"):
        write_table(tmp_path / "objects.xlsx", table)


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        write_table(tmp_path / "file" / "objects.csv", table)
