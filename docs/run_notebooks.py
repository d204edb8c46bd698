"""Run notebooks and save their outputs, with figures that are sharp on every screen.

    uv run docs/run_notebooks.py nbs/cli/stats.ipynb nbs/transforms

A figure becomes an SVG image, or a PNG or JPEG image of twice the resolution where that is much smaller: for
spectrograms.
"""

import argparse
import base64
import io
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbdev.clean import nbdev_clean
from PIL import Image

LARGE = 200_000  # bytes; a larger PNG image becomes a JPEG image
LARGE_SVG = 100_000  # bytes; the gallery shows SVG images in full
WIDE = 2000  # pixels; a wider JPEG image is reduced to this width, twice that of a page
FORMATS = """import matplotlib
from matplotlib_inline.backend_inline import set_matplotlib_formats
matplotlib.rcParams["svg.hashsalt"] = "0"
set_matplotlib_formats("svg", "retina")"""  # two images of each figure, of which one stays


def smallest(data):
    "Media type and content of the smallest form of a figure, from its SVG and PNG images; None for other outputs."
    if "image/png" not in data:
        return None
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    png, jpeg = io.BytesIO(), io.BytesIO()
    image.quantize(256).save(png, "PNG", optimize=True)  # with 256 colours, a third of the size of true colours
    image.thumbnail((WIDE, image.height))
    image.save(jpeg, "JPEG", quality=80)
    svg = data.get("image/svg+xml")
    if svg and len(svg) < min(2 * png.tell(), LARGE_SVG):  # web servers compress text
        return "image/svg+xml", svg
    kind, out = ("image/png", png) if png.tell() < LARGE else ("image/jpeg", jpeg)
    return kind, base64.b64encode(out.getvalue()).decode()


def keep_smallest(output):
    "Keep only the smallest image of a figure."
    found = smallest(output.get("data", {}))
    if found:
        kind, content = found
        sizes = output.metadata.pop("image/png", None)  # in pixels of the page, half as many as the image has
        for other in ("image/svg+xml", "image/png"):
            output.data.pop(other, None)
        output.data[kind] = content
        if sizes and kind != "image/svg+xml":
            output.metadata[kind] = sizes


def run(path):
    "Run a notebook in its folder, and save it with its outputs."
    notebook = nbformat.read(path, 4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FORMATS))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
    del notebook.cells[0]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                keep_smallest(output)
    nbformat.write(notebook, path)
    nbdev_clean(str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="notebooks, or folders of notebooks")
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # SVG images contain a date
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for path in parser.parse_args().paths:
        for notebook in sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]:
            print(notebook, flush=True)
            run(notebook)


if __name__ == "__main__":
    main()
