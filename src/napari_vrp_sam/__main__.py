"""Run the command line: `python -m napari_vrp_sam`."""

from napari_vrp_sam.cli import main

if __name__ == "__main__":
    main()
