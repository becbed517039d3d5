"""Render the conda recipe with rattler-build, as conda-forge does before it builds.

    tox -e recipes

which also checks the container file with hadolint. Nothing is built: this needs conda-forge.
"""

import sys
from pathlib import Path

from rattler_build import Stage0Recipe, VariantConfig

RECIPE = Path(__file__).parent / "conda" / "recipe.yaml"


def main() -> None:
    """Write each dependency of the rendered package."""
    (variant,) = Stage0Recipe.from_file(str(RECIPE)).render(VariantConfig())
    recipe = variant.recipe.to_dict()
    sys.stdout.write(f"{recipe['package']}\n")
    for part in ("host", "run"):
        sys.stdout.write("\n  ".join([part, *recipe["requirements"][part], "\n"]))


if __name__ == "__main__":
    main()
