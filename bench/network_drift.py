"""Estimated and true accuracy, and alarms of the drift detectors, under changed recording conditions.

    uv run bench/network_drift.py FOLDER [--norms none relaxed] [--folds 1 2 3 4 5] [--epochs 10] [--out DIR]

FOLDER is in the layout of ESC-50. Networks are trained on all folds but one. The clips of this fold are halved at
random, again and again: the labelled clips of one half are the reference, the clips of the other half are live, under
each condition: all of them through the same microphone or room, but each of them with its own noise. "half of the
classes" are unchanged clips of every other class.

The first table has the true accuracy, its estimate, an estimate with isotonic regression in place of temperature
scaling, the mean confidence without calibration, and the error of the estimate with a 95 % interval over folds, in
points. "covered" is the share of halves whose interval contains the true
accuracy, "trusted" the share in which neither features nor outputs have alarmed. The second table has the share of
halves in which each detector alarms, at 5 % false alarms for the spectrogram detector and for the network detector as a
whole, with the lowest and the highest fold. The spectrogram detector compares with the statistics of the training
clips. Models and their outputs stay in DIR, so that a repeated run continues.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from int8 import trained
from sklearn.isotonic import IsotonicRegression
from tqdm import tqdm

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import SAMPLE_RATE, cached_clips, make_condition
from fastaudio_norm.comparison import corrected_t_test
from fastaudio_norm.data import find_audio, read_esc50
from fastaudio_norm.measure import FileToSpec
from fastaudio_norm.monitor import NetworkClips, NetworkReference, detect_network_drift, drift_tests, network_clips
from fastaudio_norm.names import DEFAULT_CONDITIONS
from fastaudio_norm.stats import StatsRecorder

SHARED = ("microphone", "reverberation")  # of the device or the room; other conditions differ from clip to clip
UNCHANGED, CLASSES = "unchanged", "half of the classes"
TESTS = ("features", "confidence", "outputs")


def write_changed(clips, name, out, seed):
    "Write clips under a condition to the folder `out`, which is created. Returns the new files."
    out.mkdir(parents=True)
    condition, files = make_condition("gain:0" if name == UNCHANGED else name, seed), []
    for i, clip in enumerate(clips):
        x = torch.Tensor(clip.data)
        shared = name.partition(":")[0] in SHARED
        x = condition.draw(x, clip.sr, np.random.default_rng(seed)) if shared else condition(x, clip.sr)
        files.append(out / f"{i}.wav")
        soundfile.write(files[-1], x.numpy().T, clip.sr, subtype="FLOAT")
    return files


def recorded(files):
    "Statistics of the spectrograms of files."
    recorder, to_spec = StatsRecorder((0, 1, 3), quantiles=True, clips=True), FileToSpec("mel", SAMPLE_RATE, wave=False)
    for file in files:
        spec, _, settings = to_spec(file)
        recorder.update(torch.from_numpy(spec), settings=settings)
    return recorder


def merged(recorders):
    total = StatsRecorder((0, 1, 3), quantiles=True, clips=True)
    for recorder in recorders:
        total.merge(recorder)
    return total


def halves(truth, seed, name):
    "Clips of the reference, and live clips."
    order = np.random.default_rng(seed).permutation(len(truth))
    live = order[1::2]
    return order[::2], live[truth[live] % 2 == 0] if name == CLASSES else live


def observe(models, spectrograms, df, clips, truth, conditions, args):
    "Save what the networks compute to the files of `models`, and the alarms of spectrograms to a file."
    fold = int(df.fold.iloc[0])
    new = {file: model for file, model in models.items() if not file.exists()}
    found, alarms = {file: {} for file in new}, {}
    known = None if spectrograms.exists() else recorded(find_audio(args.path, exclude=[fold]))
    for name in conditions if new or known else ():
        with tempfile.TemporaryDirectory() as folder:
            files = write_changed([clips[file] for file in df.filename], name, Path(folder, "clips"), fold)
            for file, model in new.items():
                seen = network_clips(model, files)
                found[file] |= {f"{name} features": seen.features, f"{name} outputs": seen.outputs}
            each = [recorded([file]) for file in files] if known else []
        for case in ((name, CLASSES) if name == UNCHANGED else (name,)) if known else ():
            live = [halves(truth, seed, case)[1] for seed in range(args.splits)]
            alarms[case] = np.array([drift_tests(merged([each[i] for i in half]), known).alarm.any() for half in live])
    for file, arrays in [*found.items(), *([(spectrograms, alarms)] if known else [])]:
        np.savez(file, **arrays)


def isotonic(reference, outputs):
    "Estimate by isotonic regression of the confidence, as NannyML calibrates."
    right, model = reference.outputs.argmax(1) == reference.truth, IsotonicRegression(out_of_bounds="clip")
    return model.fit(reference.outputs.max(1), right).predict(outputs.max(1)).mean()


def rows_of(model, seen, spectrograms, truth, splits, conditions):
    "Estimates and alarms, by half and condition."

    def pick(name, rows):
        return NetworkClips(*(seen[f"{name} {part}"][rows] for part in ("features", "outputs")), list(rows), {})

    for seed in range(splits):
        held_out, _ = halves(truth, seed, UNCHANGED)
        reference = NetworkReference.from_clips(model, pick(UNCHANGED, held_out), truth[held_out])
        for name in (*conditions, CLASSES):
            _, rows = halves(truth, seed, name)
            clips = pick(UNCHANGED if name == CLASSES else name, rows)
            drift, right = detect_network_drift(clips, reference), (clips.outputs.argmax(1) == truth[rows]).mean()
            estimate = drift.accuracy
            yield {
                "split": seed, "condition": name, "true": right, "estimate": estimate.value,
                "raw": drift.confidence[1], "isotonic": isotonic(reference, clips.outputs),
                "covered": estimate.low <= right <= estimate.high, "trusted": drift.trusted,
                "spectrogram": bool(spectrograms[name][seed]), "network": drift.alarm,
                **{test: bool(drift.tests.alarm[test]) for test in TESTS},
            }  # fmt: skip


def interval(values):
    "Mean over folds, with a 95 % interval where there are three folds."
    mean, margin, _ = corrected_t_test(values, 1 / 4) if len(values) > 2 else (np.mean(values), np.nan, None)
    return f"{100 * mean:+.1f}" + ("" if np.isnan(margin) else f" ± {100 * margin:.1f}")


def report(table):
    "Print the two tables for each normalization."
    table = table.assign(error=table.estimate - table.true)
    for norm, some in table.groupby("norm", sort=False):
        estimates, alarms = [], []
        for name, part in some.groupby("condition", sort=False):
            mean, folds = part.mean(numeric_only=True), part.groupby("fold").mean(numeric_only=True)
            estimates.append({
                "": name, "true": f"{mean.true:.1%}", "estimate": f"{mean.estimate:.1%}",
                "isotonic": f"{mean.isotonic:.1%}", "confidence": f"{mean.raw:.1%}", "error": interval(folds.error),
                "covered": f"{mean.covered:.0%}", "trusted": f"{mean.trusted:.0%}",
            })  # fmt: skip
            shares = {
                test: f"{mean[test]:.0%} ({folds[test].min():.0%} to {folds[test].max():.0%})"
                for test in ("spectrogram", "network")
            }
            alarms.append({"": name, **shares, **{test: f"{mean[test]:.0%}" for test in TESTS}})
        print(f"\n{norm}: {some.fold.nunique()} folds, {some.split.nunique()} halves each")
        print(pd.DataFrame(estimates).to_string(index=False))
        changed = some[some.condition != UNCHANGED]
        for name, chosen in ((UNCHANGED, some[some.condition == UNCHANGED]), ("all changes", changed),
                             ("trusted changes", changed[changed.trusted])):  # fmt: skip
            errors = {each: 100 * (chosen[each] - chosen.true).abs() for each in ("estimate", "isotonic", "raw")}
            text = ", ".join(f"{each} {values.mean():.1f}" for each, values in errors.items())
            print(f"{name}: mean absolute error in points: {text}; estimate off by more than 10: "
                  f"{(errors['estimate'] > 10).mean():.0%} of {len(chosen)}")  # fmt: skip
        print(f"\nalarms:\n{pd.DataFrame(alarms).to_string(index=False)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder in the layout of ESC-50")
    parser.add_argument("--norms", nargs="+", default=["none", "relaxed"], help="default: none relaxed")
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="held-out folds (default: all)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs per network (default: 10)")
    parser.add_argument("--arch", default="xresnet18", help="network (default: xresnet18)")
    parser.add_argument("--splits", type=int, default=10, help="random halves of each fold (default: 10)")
    parser.add_argument("--conditions", nargs="+", default=DEFAULT_CONDITIONS, help="default: those of `compare`")
    parser.add_argument("--out", type=Path, default=Path("network_drift"), help="folder (default: network_drift)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    df, rows, conditions = read_esc50(args.path), [], (UNCHANGED, *args.conditions)
    clips = cached_clips(df, args.path)
    for fold in tqdm(args.folds, unit="fold"):
        held_out, models = df[df.fold == fold], {}
        for norm in args.norms:
            file = args.out / f"{args.arch}-{norm}-{fold}-{args.epochs}.npz"
            models[file] = trained(df, args.path, clips, norm, fold, args)
        truth = np.searchsorted(sorted(df.category.unique()), held_out.category)
        spectrograms = args.out / f"spectrograms-{fold}-{args.splits}.npz"
        observe(models, spectrograms, held_out, clips, truth, conditions, args)
        for norm, (file, model) in zip(args.norms, models.items()):
            found = rows_of(model, np.load(file), np.load(spectrograms), truth, args.splits, conditions)
            rows += [{"norm": norm, "fold": fold, **row} for row in found]
    report(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
