"""Tables as CSV files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic

if TYPE_CHECKING:
    import pandas as pd


def write_table(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table as CSV (UTF-8, commas, a header row), atomically.

    Parameters
    ----------
    path : str or path
        Path with the suffix .csv.
    table : DataFrame
        Table, written without its index.

    Raises
    ------
    InputError
        If the suffix differs or the file cannot be written.
    """
    check_table_path(path)
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, encoding="utf-8")


def check_table_path(path: str | os.PathLike[str]) -> None:
    """Raise an `InputError` if the suffix of a path is not .csv."""
    if Path(path).suffix.lower() != ".csv":
        raise InputError(f"A table cannot be written to {Path(path).name}: use .csv.")
