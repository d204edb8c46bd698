"""Comparisons under simulated recording conditions: the clips are changed, and nothing else."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from fastai.metrics import accuracy
from fastaudio.core.signal import AudioTensor
from support import SMALL_ARCH

from fastaudio_norm.audio import Condition, cached_clips, make_condition
from fastaudio_norm.comparison import (
    ApplyCondition,
    ClipTrainer,
    compare,
    compare_learners,
    evaluate_conditions,
    format_conditions,
    plot_conditions,
    summarize_conditions,
    under_condition,
)
from fastaudio_norm.data import get_dls, read_clips
from fastaudio_norm.train import Recipe, spec_learner

RECIPE = Recipe(epochs=1)
SMALL = {"recipe": RECIPE, "bs": 20, "arch": SMALL_ARCH}
SAME = Condition("same", lambda x, rate, rng: x, "unchanged")


@pytest.fixture(scope="module")
def results(made_up, tmp_path_factory):
    conditions = ["gain:-20", "telephone", SAME]
    return compare(made_up, ["none", "local-channel"], [1, 2, 3], **SMALL, conditions=conditions,
                   out=tmp_path_factory.mktemp("out"))  # fmt: skip


def test_conditions_do_not_change_the_training(made_up, results):
    plain = compare(made_up, ["none"], [1], **SMALL)
    assert plain.predicted[0] == results.predicted[0] and plain.curve[0] == results.curve[0]


def test_a_condition_that_changes_nothing_gives_the_unchanged_result(results):
    same = under_condition(results, "same")
    assert same.predicted.tolist() == results.predicted.tolist()
    assert same.score.tolist() == pytest.approx(results.score.tolist())
    with pytest.raises(ValueError, match="one of the conditions unchanged, gain:-20, telephone, same, got 'hum'"):
        under_condition(results, "hum")


@pytest.mark.parametrize("norm", ["wave+channel", "pcen"])
def test_predictions_equal_those_for_changed_files(made_up, tmp_path, norm):
    df, condition = read_clips(made_up), make_condition("telephone")
    clips = cached_clips(df, made_up, 16000, seconds=0.5)
    learn = ClipTrainer(df, made_up, clips, RECIPE, bs=20, first_tfms=[ApplyCondition()])(
        1, norm, 0, [], lambda _: None
    )
    outcome = evaluate_conditions(learn, [condition])["telephone"]
    before = learn.get_preds()[0]
    (tmp_path / "audio").mkdir()
    valid = df[df.fold == 1]
    names = [tmp_path / f"{i}.wav" for i in range(len(valid))]
    for name, file in zip(names, valid.file):
        soundfile.write(name, condition(clips[file], 16000)[0].numpy(), 16000, subtype="FLOAT")
    expected, _ = learn.get_preds(dl=learn.dls.test_dl(names))
    assert outcome["predicted"] == expected.argmax(1).tolist()
    assert not torch.equal(expected, before)
    assert torch.equal(learn.get_preds()[0], before)  # the condition is switched off


def test_differences_are_tested_clip_by_clip(results):
    table = summarize_conditions(results)
    names = ["unchanged", "gain:-20", "telephone", "same", "mean of changes", "worst change"]
    assert table.condition.drop_duplicates().tolist() == names
    rows = table.set_index(["condition", "norm"])
    for name in names[:4]:
        frame = under_condition(results, name)
        for norm in ("none", "local-channel"):
            assert rows.score[name, norm] == pytest.approx(100 * frame.score[frame.norm == norm].mean())
    of_changes = rows.score.unstack("condition")[names[1:4]]
    assert rows.score["mean of changes"].tolist() == pytest.approx(
        of_changes.mean(axis=1)[["none", "local-channel"]].tolist()
    )
    assert rows.score["worst change"].tolist() == pytest.approx(
        of_changes.min(axis=1)[["none", "local-channel"]].tolist()
    )
    assert rows.p.xs("none", level="norm").isna().all() and np.isnan(rows.p["worst change", "local-channel"])
    text = format_conditions(table)
    assert "mean of changes" in text and "with none" in text
    assert len(plot_conditions(table).axes[0].texts) == 12


def test_lower_scores_may_be_better():
    rows = []
    for norm, errors in {"none": (1.0, 3.0), "wave": (1.0, 1.1)}.items():
        for fold in range(4):
            outcomes = [{"score": e + 0.01 * fold, "predicted": [e] * 20} for e in errors]
            row = {"norm": norm, "fold": fold, "run": 0, "truth": [0.0] * 20, **outcomes[0]}
            rows.append({**row, "conditions": {"gain:-20": outcomes[1]}})
    frame = pd.DataFrame(rows)
    metric = {"name": "mean absolute error", "higher_is_better": False, "percent": False}
    frame.attrs = {"target": "numbers", "metric": metric}
    table = summarize_conditions(frame)
    worst = table[table.condition == "worst change"].set_index("norm").score
    assert worst["none"] > 3 and worst["wave"] < 1.2
    gain = table[(table.condition == "gain:-20") & (table.norm == "wave")].iloc[0]
    assert gain.p < 0.05 and "1.11▲" in format_conditions(table)


def test_finished_runs_are_found_only_with_the_same_conditions(made_up, tmp_path, capsys):
    options = {"norms": ["none"], "folds": [1], **SMALL, "out": tmp_path}
    first = compare(made_up, **options, conditions=["hum:0"])
    again = compare(made_up, **options, conditions=["hum:0"])
    assert "1 of 1 runs are already in" in capsys.readouterr().err
    assert again.conditions[0] == first.conditions[0]
    other = compare(made_up, **options, conditions=["hum:10"])
    assert other.attrs["file"] != first.attrs["file"] and list(other.conditions[0]) == ["hum:10"]


def test_unusable_conditions_are_refused_before_the_training(made_up):
    def too_short(x, rate, rng):
        return x[:, 1:]

    options = {"norms": ["none"], "folds": [1], "recipe": RECIPE}
    with pytest.raises(ValueError, match="expected one of gain"):
        compare(made_up, **options, conditions=["wind"])
    with pytest.raises(ValueError, match=r"finite samples of shape"):
        compare(made_up, **options, conditions=[Condition("short", too_short)])
    with pytest.raises(ValueError, match="'gain' occurs twice"):
        compare(made_up, **options, conditions=["gain", "gain"])


def test_own_learners_are_evaluated_under_conditions(made_up):
    def make_learner(tfms, fold):
        dls = get_dls(df, made_up, fold, bs=20, num_workers=0, **tfms)
        return spec_learner(dls, metrics=accuracy)

    df = read_clips(made_up)
    results = compare_learners(make_learner, ["none"], [1], recipe=RECIPE, conditions=["gain:-20", SAME])
    outcomes = results.conditions[0]
    assert outcomes["same"]["predicted"] == results.predicted[0] and list(outcomes) == ["gain:-20", "same"]


def test_stereo_clips_are_changed_as_a_whole():
    x = AudioTensor(torch.randn(2, 8000), sr=16000)
    y = make_condition("clipping:6")(x, 16000)
    assert y.abs().amax(1).tolist() == pytest.approx([float(x.abs().max()) * 10 ** (-6 / 20)] * 2, rel=1e-5)
