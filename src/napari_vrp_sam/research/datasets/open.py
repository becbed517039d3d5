"""Functions that open datasets of any format by name, folder or file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.coco import open_coco
from napari_vrp_sam.research.datasets.coco20i import Coco20i
from napari_vrp_sam.research.datasets.dataset import DATA_VARIABLE, Dataset
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotDataset
from napari_vrp_sam.research.datasets.pairs import open_pairs
from napari_vrp_sam.research.datasets.pascal5i import Pascal5i

BENCHMARKS: Mapping[str, type[FewShotDataset]] = {kind.name: kind for kind in (Pascal5i, Coco20i)}


def find_datasets(
    arguments: Iterable[str | os.PathLike[str]],
    data: str | os.PathLike[str] | None = None,
    *,
    images: Path | None = None,
) -> list[Dataset]:
    """Open datasets by folder, file, name or use.

    Parameters
    ----------
    arguments : iterable of str or path
        For each, the folder of a dataset, a folder of pairs (see `open_pairs`) or a COCO file (see
        `open_coco`); or, looked up in `data`, the name of a dataset or a use ("train", "evaluate")
        that selects every such dataset of the `index.json`.
    data : str or path, optional
        Folder of datasets; default: `VRP_SAM_DATA`.
    images : Path, optional
        Folder of the images of COCO files.

    Returns
    -------
    list of Dataset
        Datasets in the order of the arguments, without repetitions.

    Raises
    ------
    InputError
        If an argument does not match any dataset.
    """
    data = data or os.environ.get(DATA_VARIABLE)
    collection = Path(data) if data else None
    uses: dict[str, list[str]] = {}
    for name, use in (read_index(collection / "index.json") if collection else {}).items():
        uses.setdefault(use, []).append(name)
    folders: dict[Path, None] = {}
    for argument in arguments:
        if Path(argument).is_dir() or Path(argument).suffix == ".json":
            found = [Path(argument)]
        elif collection is None:
            raise InputError(
                f"There is no folder {argument}: pass the folder of a dataset, "
                f"or set {DATA_VARIABLE} to the folder that contains the datasets."
            )
        elif (collection / argument).is_dir():
            found = [collection / argument]
        elif str(argument) in uses:
            found = [collection / name for name in uses[str(argument)]]
        else:
            names = sorted(path.parent.name for path in collection.glob("*/meta.json"))
            known = ", ".join([*sorted(uses), *names]) or "nothing"
            raise InputError(f"No dataset {str(argument)!r} in {collection}; available: {known}.")
        folders.update((folder.resolve(), None) for folder in found)
    return [_open(folder, images) for folder in folders]


def _open(path: Path, images: Path | None) -> Dataset:
    if path.suffix == ".json":
        return open_coco(path, images)
    return Dataset.open(path) if (path / "meta.json").exists() else open_pairs(path)


def read_index(path: Path) -> dict[str, str]:
    """Read an `index.json`: the use of each dataset by name; empty if there is no such file."""
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(entry["name"]): str(entry["use"]) for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error!r}.") from None


def open_benchmark(
    name: str, root: str | os.PathLike[str], cache_folder: Path | None = None
) -> FewShotDataset:
    """Open a few-shot benchmark by name.

    Parameters
    ----------
    name : {"pascal5i", "coco20i"}
    root : str or path
        Folder of the data.
    cache_folder : Path, optional
        See `FewShotDataset`.

    Raises
    ------
    InputError
        If there is no such benchmark.
    """
    if name not in BENCHMARKS:
        raise InputError(f"There is no benchmark '{name}': choose from {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[name](root, cache_folder)
