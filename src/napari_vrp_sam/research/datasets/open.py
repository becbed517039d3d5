"""Open datasets and benchmarks of any format by name, folder or file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.coco import open_coco
from napari_vrp_sam.research.datasets.coco20i import Coco20i
from napari_vrp_sam.research.datasets.dataset import DATA_VARIABLE, Dataset
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotSet
from napari_vrp_sam.research.datasets.pairs import open_pairs
from napari_vrp_sam.research.datasets.pascal5i import Pascal5i

BENCHMARKS: Mapping[str, type[FewShotSet]] = {kind.name: kind for kind in (Pascal5i, Coco20i)}
"""Few-shot benchmarks by name."""


def find_datasets(
    arguments: Iterable[str | os.PathLike[str]],
    data: str | os.PathLike[str] | None = None,
    *,
    images: Path | None = None,
) -> list[Dataset]:
    """Open data sets by folder, by file, by name or by use.

    Parameters
    ----------
    arguments : iterable of str or path
        Each a data set's folder, a folder of pairs (see `open_pairs`) or a COCO file (see
        `open_coco`); or, looked up in `data`, a data set's name or a use ("train",
        "evaluate") that selects every such set of its `index.json`.
    data : str or path, optional
        Folder of data sets, by default what `VRP_SAM_DATA` names.
    images : Path, optional
        Folder of the images of COCO files.

    Returns
    -------
    list of Dataset
        In the order of the arguments, each once.

    Raises
    ------
    InputError
        If an argument names nothing.
    """
    data = data or os.environ.get(DATA_VARIABLE)
    collection = Path(data) if data else None
    uses = _uses(collection) if collection else {}
    folders: dict[Path, None] = {}
    for argument in arguments:
        if Path(argument).is_dir() or Path(argument).suffix == ".json":
            found = [Path(argument)]
        elif collection is None:
            raise InputError(
                f"There is no folder {argument}: give a data set's folder, "
                f"or set {DATA_VARIABLE} to the folder that holds the data sets."
            )
        elif (collection / argument).is_dir():
            found = [collection / argument]
        elif str(argument) in uses:
            found = [collection / name for name in uses[str(argument)]]
        else:
            names = sorted(path.parent.name for path in collection.glob("*/meta.json"))
            known = ", ".join([*sorted(uses), *names]) or "nothing"
            raise InputError(f"No data set {str(argument)!r} in {collection}, which holds {known}.")
        folders.update((folder.resolve(), None) for folder in found)
    return [_open(folder, images) for folder in folders]


def _open(path: Path, images: Path | None) -> Dataset:
    if path.suffix == ".json":
        return open_coco(path, images)
    return Dataset.open(path) if (path / "meta.json").exists() else open_pairs(path)


def _uses(collection: Path) -> dict[str, list[str]]:
    """Names of the data sets for each use in the collection's index."""
    path = collection / "index.json"
    if not path.exists():
        return {}
    try:
        uses: dict[str, list[str]] = {}
        for entry in json.loads(path.read_text(encoding="utf-8")):
            uses.setdefault(str(entry["use"]), []).append(str(entry["name"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error!r}.") from None
    return uses


def open_few_shot(
    name: str, root: str | os.PathLike[str], cache_folder: Path | None = None
) -> FewShotSet:
    """Open a benchmark by its name.

    Parameters
    ----------
    name : {"pascal5i", "coco20i"}
    root : str or path
    cache_folder : Path, optional
        See `FewShotSet`.

    Raises
    ------
    InputError
        If there is no such benchmark.
    """
    if name not in BENCHMARKS:
        raise InputError(f"There is no benchmark '{name}': choose from {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[name](root, cache_folder)
