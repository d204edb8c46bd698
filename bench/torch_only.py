"""Run the programs exported by bench/serving.py with nothing but torch and numpy installed.

uv run --isolated --no-project --with torch --with numpy bench/torch_only.py DIR
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="output folder of bench/serving.py")
    folder = parser.parse_args().folder
    unwanted = ("fastai", "fastcore", "fastaudio", "fastaudio_norm", "torchaudio", "librosa")
    installed = [name for name in unwanted if find_spec(name)]
    if installed:
        sys.exit(f"Expected an environment without {', '.join(installed)}: run with uv run --isolated --no-project")
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, without {', '.join(unwanted)}")
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as content:
            program = torch.export.load(folder / f"{content['rate']}.pt2").module()
            expected = content["expected"]
            found = np.stack(
                [program(torch.from_numpy(content[str(i)]))[0].detach().numpy() for i in range(len(expected))]
            )
        print(f"{file.stem:20}{len(expected)} clips, largest difference {np.abs(found - expected).max():.0e}")


if __name__ == "__main__":
    main()
