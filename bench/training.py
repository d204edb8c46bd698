"""Seconds of an epoch of training per 1,000 clips, by part: clips and spectrograms, network, optimizer, validation.

    uv run bench/training.py [--path FOLDER] [--device cuda]

FOLDER is in ESC-50's layout; without it, clips of five seconds are synthesized. The variants take turns, an epoch each.
The first variant is what this package did at first: float32, and every epoch loads each clip again.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext

import pandas as pd
import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.torch_core import default_device
from timing import where

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import cached_clips
from fastaudio_norm.data import get_dls, make_clips, read_esc50
from fastaudio_norm.train import RECIPES, bfloat16_training, make_tfms, spec_learner, supports_bfloat16

VARIANTS = {  # name: (in memory, bfloat16)
    "float32, load clips": (False, False),
    "float32, in memory": (True, False),
    "bfloat16, load clips": (False, True),
    "bfloat16, in memory": (True, True),
}


class Clock:
    "Seconds by part."

    def __init__(self, device):
        self.parts, self.device, self.last = {}, device, time.perf_counter()

    def __call__(self, part):
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.parts[part] = self.parts.get(part, 0.0) + now - self.last
        self.last = now


def epoch(learn, bfloat16):
    "Train and validate for one epoch as `train_run` does. Returns the seconds of each part."
    dls, model, clock = learn.dls, learn.model, Clock(learn.dls.device)

    def batches(dl):
        for x, y in dl:
            clock("clips, spectrograms")
            yield x.contiguous(memory_format=torch.channels_last), y

    model.train()
    with bfloat16_training(model, dls.device) if bfloat16 else nullcontext():
        for x, y in batches(dls.train):
            loss = learn.loss_func(model(x), y)
            clock("forward")
            loss.backward()
            clock("backward")
            learn.opt.step()
            learn.opt.zero_grad()
            clock("optimizer")
    train = clock.parts
    clock.parts = {}
    model.eval()
    with torch.no_grad():
        for x, y in batches(dls.valid):
            learn.loss_func(model(x), y)
            clock("forward")
    return {**train, "validation": sum(clock.parts.values())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="folder in ESC-50's layout (default: synthesize 400 clips)")
    parser.add_argument("--recipe", choices=RECIPES, default="plain")
    parser.add_argument("--epochs", type=int, default=3, help="epochs that count, after a first one")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    default_device(args.device == "cuda")
    path = args.path or make_clips(tempfile.mkdtemp(), per_fold=8, seconds=5)
    df, recipe = read_esc50(path), RECIPES[args.recipe]
    clips, runs = cached_clips(df, path), {}
    for name, (in_memory, bfloat16) in VARIANTS.items():
        if bfloat16 and not supports_bfloat16(torch.device(args.device)):
            print(f"no {name}: the hardware does not multiply in bfloat16")
            continue
        item_tfms, batch_tfms = make_tfms("none", recipe)
        dls = get_dls(
            df, path, item_tfms=item_tfms, batch_tfms=batch_tfms, clips=clips, in_memory=in_memory, num_workers=0
        )
        learn = spec_learner(dls, average_windows=recipe.crop > 0, cbs=ChannelsLast())
        learn.create_opt()
        learn.model.to(dls.device, memory_format=torch.channels_last)
        runs[name] = learn, bfloat16, []
    for number in range(args.epochs + 1):
        for learn, bfloat16, epochs in runs.values():
            parts = epoch(learn, bfloat16)
            if number:
                epochs.append(parts)
    table = pd.DataFrame({
        name: pd.DataFrame(epochs).median() * 1000 / len(df) for name, (*_, epochs) in runs.items()
    }).T  # fmt: skip
    totals = {name: statistics.median(sum(parts.values()) for parts in epochs) for name, (*_, epochs) in runs.items()}
    first = next(iter(totals.values()))
    table["total"] = [1000 * total / len(df) for total in totals.values()]
    table["times as fast"] = [first / total for total in totals.values()]
    print(f"Seconds per 1,000 clips, {args.recipe} recipe, {where(args.device)}, median of {args.epochs} epochs")
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
