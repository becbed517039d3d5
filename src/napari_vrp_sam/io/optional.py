"""Optional packages, and the sentence that says how to install a missing one."""

from __future__ import annotations

from importlib.util import find_spec

from napari_vrp_sam.errors import InputError


def require(package: str, extra: str, purpose: str) -> None:
    """Check that an optional package is installed.

    Parameters
    ----------
    package : str
        Name under which it is imported.
    extra : str
        Extra of napari-vrp-sam that installs it.
    purpose : str
        What needs it, as the start of a sentence: "GeoTIFF files".

    Raises
    ------
    InputError
        If it is not installed; the message says how to install it.
    """
    if find_spec(package) is None:
        raise InputError(
            f"{purpose} need the package {package}: "
            f"python -m pip install 'napari-vrp-sam[{extra}]'."
        )
