"""The user's own models: files in one folder, each with its card in the header, by name."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import platformdirs

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.catalogue import (
    HEAD_PREFIX,
    LITE_KIND,
    MASK_DECODER_PREFIX,
    VRP_ENCODER_ENDS,
    VRP_ENCODER_KIND,
    base_of,
)
from napari_vrp_sam.models.weights.headers import Header, read_header

MODELS_VARIABLE = "VRP_SAM_MODELS"
SUFFIX = ".safetensors"
LITE_SIZES = ("dim", "queries", "heads", "decoder_depth", "decoder_mlp")
"""What a header of `lite` says of the network; other sizes give tensors of other shapes."""
LONGEST_NAME = 60

_NAME = re.compile(r"[^\W_][\w .+()-]*(?<![ .])")
# Windows keeps these for devices, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class UserModel:
    """One of the user's own models.

    Attributes
    ----------
    name : str
        That of its file, without the suffix.
    path : Path
    card : mapping of str to str
        Header of the file: base model, training data, settings, measurements, versions.
    problem : str
        One sentence on why it cannot be used; empty for a model that can.
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
        base = self.card.get("base_model") or base_of(self.card, self.path)
        date = self.card.get("date", "")[:10]
        return self.card.get("description") or f"Your own, made from {base}{date and ', ' + date}."


def models_folder() -> Path:
    """Folder of the user's own models: `$VRP_SAM_MODELS`, or one in the system's for user data."""
    chosen = os.environ.get(MODELS_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_data_path("napari-vrp-sam", appauthor=False) / "models"


def list_user_models() -> list[UserModel]:
    """The user's own models in the order of their names; damaged files among them say so."""
    try:
        paths = [p for p in models_folder().iterdir() if p.suffix == SUFFIX]
    except OSError:
        return []  # no model was ever kept
    models = [_read(path) for path in paths if path.is_file() and not path.name.startswith(".")]
    return sorted(models, key=lambda model: _folded(model.name))


def user_model(name: str) -> UserModel:
    """One of the user's own models, damaged or not.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    models = list_user_models()
    for model in models:
        if model.name == name:
            return model
    if any(spec.name == name for spec in catalogue.BUILT_IN):
        raise InputError(f"'{name}' is built in, not one of your own models: choose one of those.")
    names = ", ".join(model.name for model in models)
    known = f"choose one of {names}" if names else "you have none yet"
    raise InputError(f"There is no model of your own called '{name}': {known}.")


def path_for(name: str) -> Path:
    """The file that a new model of a name belongs into; nothing is written.

    Raises
    ------
    InputError
        If the name does not do on every system, or is taken.
    """
    return _path_for(name, renamed=None)


def add(path: str | os.PathLike[str], name: str | None = None) -> UserModel:
    """Take a copy of a model file into the store.

    Parameters
    ----------
    path : path-like
        A `.safetensors` file; or a `.pth` or `.pt` file of the paper's code, which is converted.
    name : str, optional
        That of the file unless given.

    Raises
    ------
    InputError
        If the file is no model that can be loaded here, the name does not do or is taken, or the
        copy cannot be written.
    """
    source = Path(path)
    target = path_for(source.stem if name is None else name)
    if source.suffix == SUFFIX:
        check_model(source)
        with _placed(target) as temporary:
            shutil.copyfile(source, temporary)
    else:
        _convert(source, target)
    return _read(target)


def export(name: str, path: str | os.PathLike[str]) -> Path:
    """Write a copy of a model that `add` takes on any machine; see `user_model` for its errors.

    A path without the suffix `.safetensors` gets it. A file that is there is replaced.

    Raises
    ------
    InputError
        If there is no such model, it is damaged, or the copy cannot be written.
    """
    model = user_model(name)
    if model.problem:
        raise InputError(model.problem)
    target = Path(path)
    if target.suffix != SUFFIX:
        target = target.with_name(target.name + SUFFIX)
    if target.exists() and target.samefile(model.path):
        return target
    with _placed(target) as temporary:
        shutil.copyfile(model.path, temporary)
    return target


def rename(old: str, new: str) -> UserModel:
    """Give a model another name.

    Raises
    ------
    InputError
        If there is no such model, or the new name does not do or is taken.
    """
    model = user_model(old)
    target = _path_for(new, renamed=model.name)
    try:
        model.path.rename(target)
    except OSError as error:
        raise InputError(f"'{old}' cannot be renamed: {error.strerror or error}.") from error
    return _read(target)


def delete(name: str) -> None:
    """Remove a model for good.

    Raises
    ------
    InputError
        If there is no such model, or its file cannot be removed.
    """
    try:
        user_model(name).path.unlink()
    except OSError as error:
        raise InputError(f"'{name}' cannot be deleted: {error.strerror or error}.") from error


def check_model(path: Path) -> Header:
    """Check that a safetensors file is whole and of a kind that can be loaded.

    Raises
    ------
    InputError
        If not.
    """
    header = read_header(path)
    base = base_of(header.metadata, path)
    if all(spec.name != base for spec in catalogue.BUILT_IN):
        raise InputError(f"{path} was made from '{base}', which is no model of this version.")
    if not (_fits_lite(header) if base == LITE_KIND else _holds_vrp_encoder(header)):
        raise InputError(f"{path} does not hold weights of a variant of '{base}'.")
    return header


def _fits_lite(header: Header) -> bool:
    ours = _packaged_lite()
    # What fine-tuning has added is checked when the model is loaded.
    shapes = {n: s for n, s in header.shapes.items() if not n.startswith(HEAD_PREFIX)}
    sizes = {key: value for key, value in ours.metadata.items() if key in LITE_SIZES}
    if any(header.metadata.get(key, value) != value for key, value in sizes.items()):
        return shapes.keys() == ours.shapes.keys()
    return shapes == ours.shapes


def _holds_vrp_encoder(header: Header) -> bool:
    """Or at least a tuned mask decoder: a full-size model works without a VRP encoder."""
    return any(
        name.endswith(VRP_ENCODER_ENDS) or name.startswith(MASK_DECODER_PREFIX)
        for name in header.shapes
    )


@cache
def _packaged_lite() -> Header:
    spec = next(spec for spec in catalogue.BUILT_IN if spec.packaged_weights)
    with resources.as_file(resources.files("napari_vrp_sam") / spec.packaged_weights) as path:
        return read_header(path)


def _read(path: Path) -> UserModel:
    name = unicodedata.normalize("NFC", path.stem)
    try:
        return UserModel(name, path, check_model(path).metadata)
    except InputError as error:
        return UserModel(name, path, problem=str(error))


def _path_for(name: str, renamed: str | None) -> Path:
    name = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise InputError(
            f"'{name}' is no name for a model: use up to {LONGEST_NAME} letters, digits, spaces "
            "and . _ + ( ) -, with a letter or digit first and no space or dot last."
        )
    if _DEVICES.fullmatch(name) or Path(name).suffix.lower() in {SUFFIX, ".pth", ".pt"}:
        raise InputError(f"'{name}' is no name for a model: systems and files need it themselves.")
    if any(_folded(spec.name) == _folded(name) for spec in catalogue.BUILT_IN):
        raise InputError(f"'{name}' is the name of a built-in model: choose another.")
    for model in list_user_models():
        if model.name != renamed and _folded(model.name) == _folded(name):
            raise InputError(f"You have a model '{model.name}' already: choose another name.")
    return models_folder() / (name + SUFFIX)


def _folded(name: str) -> str:
    """A name as the most forgetful file system sees it."""
    return unicodedata.normalize("NFC", name).casefold()


def _convert(source: Path, target: Path) -> None:
    """Turn a PyTorch file into a safetensors file, if it holds a VRP encoder."""
    from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
    from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint
    from napari_vrp_sam.models.zoo.loading import semantic_encoder_of

    checkpoint = read_checkpoint(source)
    encoder = VRPEncoder.from_checkpoint(checkpoint, source=str(source))
    semantic = semantic_encoder_of(checkpoint, encoder.config["in_channels"])
    card = {"kind": VRP_ENCODER_KIND, "sam": "vit_h", "semantic_encoder": semantic}
    write_checkpoint(target, checkpoint.tensors, card)


@contextmanager
def _placed(target: Path) -> Iterator[Path]:
    """Where to write a file that then takes its place whole, or not at all."""
    # `io.atomic` does the same, but lies a layer above.
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
