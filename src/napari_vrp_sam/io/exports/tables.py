"""Tables as CSV or Parquet files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.optional import require

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = ".csv", ".parquet"


def write_table(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table as CSV (UTF-8, commas, a header row) or Parquet, atomically.

    Parameters
    ----------
    path : str or path
        Path with the suffix .csv or .parquet.
    table : DataFrame
        Table, written without its index.

    Raises
    ------
    InputError
        If the suffix differs, pyarrow is missing, or the file cannot be written.
    """
    check_table_path(path)
    with atomic(path) as temporary:
        if temporary.suffix.lower() == ".csv":
            table.to_csv(temporary, index=False, encoding="utf-8")
        else:
            table.to_parquet(temporary, engine="pyarrow", index=False)


def with_class_names(table: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    """Return a table of objects with a column `class_name`, if a class has a name."""
    if not names or "class" not in table or "class_name" in table:
        return table
    table = table.copy()
    named = [names.get(int(number), f"class {int(number)}") for number in table["class"]]
    table.insert(table.columns.get_loc("class") + 1, "class_name", named)
    return table


def check_table_path(path: str | os.PathLike[str]) -> None:
    """Raise an `InputError` if a table cannot be written to a path: its suffix decides."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"A table cannot be written to {Path(path).name}: use .csv or .parquet.")
    if suffix == ".parquet":
        require("pyarrow", "parquet", "Parquet files")
