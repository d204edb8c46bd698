"""Draw the README's first figure again, from the published rows and the code of the page on choosing a normalization.

uv run docs/figures.py

The README's second figure, nbs/comparison.png, is the plot of `uv run fastaudio-norm compare`.
"""

import io
import json
import os
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

matplotlib.use("agg")
os.chdir(Path(__file__).parents[1] / "nbs" / "tutorials")
names = {}
for cell in json.loads(Path("choose.ipynb").read_text())["cells"]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "code":
        exec(source, names)
    if "def show_inputs" in source:
        break
figure = names["show_inputs"](["none", "channel", "local-channel", "pcen"])
file = io.BytesIO()
figure.savefig(file, dpi=240)
Image.open(file).quantize(256).save("../conditions.png", optimize=True)  # a third of the size of true colours
plt.close("all")
