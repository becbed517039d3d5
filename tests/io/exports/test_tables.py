from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.exports.tables import check_table_path, with_class_names, write_table


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({"index": [1, 2], "area": [12.5, 3.0], "confidence": [0.5, np.nan]})


def test_a_table_is_read_as_it_was_written(tmp_path: Path, table: pd.DataFrame) -> None:
    path = tmp_path / "new folder" / "objects.csv"
    write_table(path, table)
    pd.testing.assert_frame_equal(pd.read_csv(path), table)
    assert path.read_text("utf-8").splitlines()[0] == "index,area,confidence"
    assert [entry.name for entry in path.parent.iterdir()] == ["objects.csv"]


def test_parquet_is_read_as_it_was_written(tmp_path: Path, table: pd.DataFrame) -> None:
    path = tmp_path / "objects.parquet"
    write_table(path, table)
    read = pyarrow.parquet.read_table(path)
    assert read.column_names == ["index", "area", "confidence"]
    pd.testing.assert_frame_equal(read.to_pandas(), table)
    assert [entry.name for entry in tmp_path.iterdir()] == ["objects.parquet"]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_vrp_sam.io.optional.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"Parquet files need .*napari-vrp-sam\[parquet\]"):
        check_table_path("objects.parquet")


def test_another_suffix_is_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"objects\.xlsx: use \.csv or \.parquet"):
        write_table(tmp_path / "objects.xlsx", table)


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        write_table(tmp_path / "file" / "objects.csv", table)


def test_classes_are_named_beside_their_number(table: pd.DataFrame) -> None:
    objects = table.assign(**{"class": [2, 5], "frame": 0})
    named = with_class_names(objects, {2: "nucleus"})
    assert named["class_name"].tolist() == ["nucleus", "class 5"]
    place = list(named.columns).index("class")
    assert named.columns[place + 1] == "class_name"
    assert "class_name" not in objects
    for unchanged in (with_class_names(objects, {}), with_class_names(table, {2: "nucleus"})):
        assert "class_name" not in unchanged
    assert with_class_names(named, {2: "other"}) is named
