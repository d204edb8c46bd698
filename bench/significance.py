"""False alarms and power of the two tests of a comparison, by simulation. Prints the tables of the report page.

Two methods are compared on five folds, if not stated otherwise. Each network classifies each clip correctly or not.
The first simulation draws these outcomes from a probit model with normal effects of the clip, of its group, of clip
and method together, of each training (shared by all clips of a fold), and of each single outcome. The second
simulation trains classifiers (nearest class means of random features) whose training clips overlap between folds, as
those of networks do. Each run omits three tenths of its training clips.
"""

import argparse
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import norm

from fastaudio_norm.comparison import clip_test, corrected_t_test

# Standard deviation of accuracy between runs on one fold in nbs/results/esc10.csv (400 clips) and esc50.csv (2,000).
# It contains the chance of each single clip, so the part that all clips of a fold share is smaller.
BETWEEN_RUNS = {400: 0.023, 2000: 0.013}


def drawn(rng, sizes, runs, gain=0.0, accuracy=0.75, training=0.0, group_size=1):
    "Differences of two methods by clip for each fold, averaged over runs; groups of the clips, None without groups."
    difficulty, interaction, group_sd = 2.5, 0.7, 1.0 if group_size > 1 else 0.0
    scale = np.sqrt(difficulty**2 + interaction**2 + group_sd**2 + 1)
    shift = training * scale / norm.pdf(norm.ppf(accuracy))  # changes the accuracy by `training`
    scale = np.sqrt(scale**2 + shift**2)
    folds, groups = [], []
    for n in sizes:
        group, clip = np.arange(n) // group_size, rng.normal(0, difficulty, n)
        right = []
        for threshold in scale * norm.ppf([accuracy, accuracy + gain]):
            method = rng.normal(0, interaction, n) + rng.normal(0, group_sd, n)[group]
            network = rng.normal(0, shift, (runs, 1)) + rng.normal(0, 1, (runs, n))
            right.append((threshold + clip + method + network > 0).mean(0))
        folds.append(right[1] - right[0])
        groups.append(group)
    return folds, groups if group_size > 1 else None


def trained(rng, sizes, runs, group_size=1, n_features=12, classes=10):
    "The same for classifiers. Both methods see features of the same distribution, so neither is better."
    n = sum(sizes)
    fold, group = np.repeat(np.arange(len(sizes)), sizes), np.arange(n) // group_size
    label = rng.integers(0, classes, n)[group]
    means, spread = rng.normal(0, 1, (classes, n_features)), np.exp(rng.normal(0, 0.5, (n, 1)))
    right = np.zeros((2, n))
    for method in right:
        x = means[label] + spread * rng.normal(0, 1, (n, n_features))
        if group_size > 1:
            x += rng.normal(0, 1, x.shape)[group]
        for f in range(len(sizes)):
            others, valid = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
            for _ in range(runs):
                train = rng.choice(others, int(0.7 * len(others)), replace=False)
                one_hot = np.eye(classes)[label[train]]
                centers = one_hot.T @ x[train] / np.maximum(one_hot.sum(0), 1)[:, None]
                distances = (centers**2).sum(1) - 2 * x[valid] @ centers.T
                method[valid] += (distances.argmin(1) == label[valid]) / runs
    difference = right[1] - right[0]
    groups = [group[fold == f] for f in range(len(sizes))]
    return [difference[fold == f] for f in range(len(sizes))], groups if group_size > 1 else None


def rates(simulate, repetitions, rng):
    "Share of comparisons that each test calls different, in percent: by folds, by clips, and by clips without groups."
    found = np.zeros(3)
    for _ in range(repetitions):
        folds, groups = simulate(rng)
        by_fold = pd.Series([fold.mean() for fold in folds])
        by_clip = clip_test(folds, groups)[2]
        unknown = clip_test(folds)[2] if groups else by_clip
        found += np.array([corrected_t_test(by_fold, 1 / (len(folds) - 1))[2], by_clip, unknown]) < 0.05
    return 100 * found / repetitions


def equal(n, folds=5):
    return [n // folds] * folds


def false_alarms(repetitions, rng):
    "Rates of all simulations where the methods do not differ."
    cases = {}
    for n, training in BETWEEN_RUNS.items():
        for runs in (1, 2):
            for share in (0, 0.5, 1):
                name = f"{n:,} clips, {runs} runs, training varies by {100 * share * training:.1f} points"
                cases[name] = partial(drawn, sizes=equal(n), runs=runs, training=share * training)
    usual = {"runs": 2, "training": BETWEEN_RUNS[400] / 2}
    cases["400 clips in folds of 20 to 200, 2 runs"] = partial(drawn, sizes=[20, 40, 60, 80, 200], **usual)
    cases["400 clips, 2 runs, accuracy 97 %"] = partial(drawn, sizes=equal(400), accuracy=0.97, **usual)
    cases["400 clips in groups of 4, 2 runs"] = partial(drawn, sizes=equal(400), group_size=4, **usual)
    for n in (80, 400):
        for size in (1, 4):
            name = f"{n} clips{' in groups of 4' * (size > 1)}, 2 runs, classifiers"
            cases[name] = partial(trained, sizes=equal(n), runs=2, group_size=size)
    cases["2,000 clips in 3 folds, 1 run, training varies by 1.3 points"] = partial(
        drawn, sizes=equal(2000, folds=3), runs=1, training=BETWEEN_RUNS[2000]
    )
    print(f"\nFalse alarms in percent, {repetitions:,} repetitions, nominal 5 %\n")
    print("| simulation | folds | clips | clips, groups unknown |\n| --- | --- | --- | --- |")
    worst = np.zeros(2)
    for name, simulate in cases.items():
        found = rates(simulate, repetitions, rng)
        worst = np.maximum(worst, found[:2])
        unknown = f"{found[2]:.1f}" if "groups" in name else ""  # without groups, the same as by clips
        print(f"| {name.replace('1 runs', '1 run')} | {found[0]:.1f} | {found[1]:.1f} | {unknown} |", flush=True)
    print(f"\nLargest rate: folds {worst[0]:.1f}, clips {worst[1]:.1f}")
    return worst


def power(repetitions, rng):
    "Rates of the first simulation where one method is better."
    print(f"\nPower in percent, {repetitions:,} repetitions, accuracy 75 %, 5 folds\n")
    print("| clips | runs | test | 2 points | 5 points | 10 points |\n| --- | --- | --- | --- | --- | --- |")
    for n in (400, 2000):
        for runs in (1, 2, 5):
            simulate = partial(drawn, sizes=equal(n), runs=runs, training=BETWEEN_RUNS[n] / 2)
            found = [rates(partial(simulate, gain=gain), repetitions, rng) for gain in (0.02, 0.05, 0.1)]
            for test, name in enumerate(("folds", "clips")):
                cells = " | ".join(f"{rate[test]:.0f}" for rate in found)
                print(f"| {n:,} | {runs} | {name} | {cells} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000, metavar="N", help="comparisons a row (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    args = parser.parse_args()
    worst = false_alarms(args.repetitions, np.random.default_rng(args.seed))
    power(args.repetitions, np.random.default_rng(args.seed))
    raise SystemExit(int((worst > 6).any()))


if __name__ == "__main__":
    main()
