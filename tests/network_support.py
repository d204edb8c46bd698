"""A small model of the level of a clip, and what it computes for random clips."""

import numpy as np
import torch
from torch import nn

from fastaudio_norm.monitor import NetworkClips, NetworkReference
from fastaudio_norm.serve import SoundClassifier

TARGETS = ("label", "labels", "numbers")


class Level(nn.Module):
    "Front end: mean and peak of each clip's magnitude, [batch, 2]."

    def forward(self, x):
        return torch.stack([x.abs().mean((1, 2)), x.abs().amax((1, 2))], 1)


def level_model(target="label"):
    "Model of three classes with five features."
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3))
    return SoundClassifier([Level()], network.requires_grad_(False), ["a", "b", "c"], 8000, target=target)


def random_model(target="label"):
    "Model of clips of four samples: three classes, 64 features."
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
    with torch.no_grad():
        network[2].weight *= 8
    return SoundClassifier([nn.Flatten()], network.requires_grad_(False), ["a", "b", "c"], 8000, target=target)


def clips_of(model, n, rng, level=0.0):
    "What `network_clips` would return for `n` random clips, and a truth that fits the probabilities."
    x = torch.as_tensor(rng.standard_normal((n, 4)) + level, dtype=torch.float32)
    features = model.network[:2](x)
    logits = model.network[2](features).double().numpy()
    noise = rng.gumbel(size=logits.shape)
    if model.target == "label":
        outputs, truth = torch.softmax(torch.tensor(logits), 1).numpy(), (logits + noise).argmax(1)
    elif model.target == "labels":
        outputs = 1 / (1 + np.exp(-logits))
        truth = (rng.random(outputs.shape) < outputs).astype(int)
    else:
        outputs, truth = logits, logits + noise
    return NetworkClips(features.double().numpy(), outputs, list(range(n)), {}), truth


def referenced(target, n):
    "A random model, its reference of `n` random clips, and the random generator after them."
    model, rng = random_model(target), np.random.default_rng(0)
    return model, NetworkReference.from_clips(model, *clips_of(model, n, rng)), rng
