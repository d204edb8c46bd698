"""What bench/serving.py has exported, run where there is nothing but torch and numpy.

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
    parser.add_argument("folder", type=Path, help="what bench/serving.py has written")
    folder = parser.parse_args().folder
    absent = ("fastai", "fastcore", "fastaudio", "fastaudio_norm", "torchaudio", "librosa")
    there = [name for name in absent if find_spec(name)]
    if there:
        sys.exit(f"This environment is not bare: it has {', '.join(there)}")
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, without {', '.join(absent)}")
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
