"""User models: weights files in one folder, each with a model card in its header."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from napari_vrp_sam import files
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.catalogue import VRP_ENCODER_KIND, base_model_name
from napari_vrp_sam.models.weights.headers import WEIGHTS_SUFFIXES, sam_variant
from napari_vrp_sam.models.zoo.user_model_file import check_model

MODELS_VARIABLE = "VRP_SAM_MODELS"
SUFFIX = ".safetensors"
MAX_NAME_LENGTH = 60

_VALID_NAME = re.compile(r"[^\W_][\w .+()-]*(?<![ .])")
# Windows reserves these names, with any suffix.
_DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class UserModel:
    """Model in the user's folder.

    Attributes
    ----------
    name : str
        Name of its file, without the suffix.
    path : Path
    card : mapping of str to str
        Metadata of the file: base model, training data, settings, measurements, versions.
    problem : str
        One sentence on why the model cannot be used; empty if it can.
    """

    name: str
    path: Path
    card: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def description(self) -> str:
        """One line for lists and tooltips."""
        if self.problem:
            return self.problem
        base = self.card.get("base_model") or base_model_name(self.card, self.path)
        date = self.card.get("date", "")[:10]
        return self.card.get("description") or f"User model based on {base}{date and ', ' + date}."


def models_folder() -> Path:
    """Return the folder of user models: `$VRP_SAM_MODELS`, or one for the system's user data."""
    default = platformdirs.user_data_path("napari-vrp-sam", appauthor=False) / "models"
    return files.chosen_path(MODELS_VARIABLE, default)


def list_user_models() -> list[UserModel]:
    """Return all user models, sorted by name; damaged ones have a `problem`."""
    try:
        paths = [p for p in models_folder().iterdir() if p.suffix == SUFFIX]
    except OSError:
        return []  # the folder does not exist yet
    models = [_read(path) for path in paths if path.is_file() and not path.name.startswith(".")]
    return sorted(models, key=lambda model: _case_folded(model.name))


def user_model(name: str) -> UserModel:
    """Find a user model by its name.

    The file of the model may be damaged; then its `problem` says so.

    Raises
    ------
    InputError
        If there is no user model of this name.
    """
    models = list_user_models()
    for model in models:
        if model.name == name:
            return model
    if any(spec.name == name for spec in catalogue.BUILT_IN):
        raise InputError(f"'{name}' is a built-in model: choose a user model.")
    names = ", ".join(model.name for model in models)
    known = f"choose one of {names}" if names else "there are no user models yet"
    raise InputError(f"There is no user model '{name}': {known}.")


def new_model_path(name: str, *, renamed: str | None = None) -> Path:
    """Return the path for a new user model; nothing is written.

    Parameters
    ----------
    name : str
    renamed : str, optional
        Present name of the model, if it is to be renamed.

    Raises
    ------
    InputError
        If the name already exists, or is not valid on all operating systems.
    """
    name = unicodedata.normalize("NFC", name)
    if not _VALID_NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise InputError(
            f"'{name}' is not a valid model name: use up to {MAX_NAME_LENGTH} letters, digits, "
            "spaces and . _ + ( ) -, with a letter or digit first and no space or dot last."
        )
    if _DEVICE_NAME.fullmatch(name) or Path(name).suffix.lower() in WEIGHTS_SUFFIXES:
        raise InputError(
            f"'{name}' is not a valid model name, because it is reserved by Windows or ends in a "
            "file suffix: choose another name."
        )
    if any(_case_folded(spec.name) == _case_folded(name) for spec in catalogue.BUILT_IN):
        raise InputError(f"'{name}' is the name of a built-in model: choose another name.")
    for model in list_user_models():
        if model.name != renamed and _case_folded(model.name) == _case_folded(name):
            raise InputError(f"A user model '{model.name}' already exists: choose another name.")
    return models_folder() / (name + SUFFIX)


def add(path: str | os.PathLike[str], name: str | None = None) -> UserModel:
    """Copy a model file into the folder of user models.

    Parameters
    ----------
    path : path-like
        A `.safetensors` file, or a `.pth` or `.pt` file of the original VRP-SAM code, which is
        converted.
    name : str, optional
        Name of the user model; default: name of the file.

    Raises
    ------
    InputError
        If the file does not hold a model that can be loaded, the name is not valid or already
        exists, or the copy cannot be written.
    """
    source = Path(path)
    if variant := sam_variant(source):
        raise InputError(
            f"{source} holds a whole SAM ({variant}), which needs no import: choose the file "
            "itself as the model."
        )
    target = new_model_path(source.stem if name is None else name)
    if source.suffix == SUFFIX:
        check_model(source)
        with files.atomic(target) as temporary:
            shutil.copyfile(source, temporary)
    else:
        _convert(source, target)
    return _read(target)


def export(name: str, path: str | os.PathLike[str]) -> Path:
    """Write a copy of a user model that `add` accepts on another computer.

    Parameters
    ----------
    name : str
    path : path-like
        File to write or replace; the suffix `.safetensors` is appended if it is missing.

    Raises
    ------
    InputError
        If the model does not exist or is damaged, or the copy cannot be written.
    """
    model = user_model(name)
    if model.problem:
        raise InputError(model.problem)
    target = Path(path)
    if target.suffix != SUFFIX:
        target = target.with_name(target.name + SUFFIX)
    if target.exists() and target.samefile(model.path):
        return target
    with files.atomic(target) as temporary:
        shutil.copyfile(model.path, temporary)
    return target


def rename(old: str, new: str) -> UserModel:
    """Rename a user model.

    Raises
    ------
    InputError
        If the model does not exist, or the new name is not valid or already exists.
    """
    model = user_model(old)
    target = new_model_path(new, renamed=model.name)
    files.rename(model.path, target)
    return _read(target)


def delete(name: str) -> None:
    """Delete the file of a user model.

    Raises
    ------
    InputError
        If the model does not exist or its file cannot be deleted.
    """
    try:
        user_model(name).path.unlink()
    except OSError as error:
        raise InputError(f"'{name}' cannot be deleted: {error.strerror or error}.") from error


def _read(path: Path) -> UserModel:
    name = unicodedata.normalize("NFC", path.stem)
    try:
        return UserModel(name, path, check_model(path).metadata)
    except InputError as error:
        return UserModel(name, path, problem=str(error))


def _case_folded(name: str) -> str:
    """Return a key that is equal for names that some file system does not distinguish."""
    return unicodedata.normalize("NFC", name).casefold()


def _convert(source: Path, target: Path) -> None:
    """Convert a PyTorch file with a VRP encoder to a safetensors file."""
    from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
    from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint
    from napari_vrp_sam.models.zoo.loading import semantic_encoder_name

    checkpoint = read_checkpoint(source)
    encoder = VRPEncoder.from_checkpoint(checkpoint, source=str(source))
    semantic = semantic_encoder_name(checkpoint, encoder.config["in_channels"])
    card = {"kind": VRP_ENCODER_KIND, "sam": "vit_h", "semantic_encoder": semantic}
    write_checkpoint(target, checkpoint.tensors, card)
