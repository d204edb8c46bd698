"""Tables of predictions: every target, unusable files, and names that collide."""

import io

import numpy as np
import pandas as pd
import pytest

from fastaudio_norm.audio import BadAudio
from fastaudio_norm.serve import Prediction, prediction_row, prediction_table
from fastaudio_norm.serve.classifier import WaveformModel

OUTPUTS = [np.float32([0.1, 0.7, 0.6]), np.float32([0.8, 0.2, 0.1])]
RESULTS = [
    ("a.wav", Prediction(0.0, 10.0, OUTPUTS[0])),
    ("a.wav", BadAudio("a.wav", "cannot be decoded, after 10 s")),
    ("b.wav", Prediction(0.0, 1 / 3, OUTPUTS[1])),
]


@pytest.mark.parametrize(
    "target, decided",
    [("label", {"class": ["y", "", "x"]}), ("labels", {"classes": ["y;file", "", "x"]}), ("numbers", {})],
)
def test_a_table_survives_csv(target, decided):
    model = WaveformModel(["x", "y", "file"], 16000, target)
    text = prediction_table(model, RESULTS).to_csv(index=False)
    rows = pd.read_csv(io.StringIO(text), header=None, skiprows=1)
    columns = ["file", "start", "end", *decided, "x", "y", "file", "error"]
    assert text.splitlines()[0].split(",") == columns
    assert list(rows[0]) == ["a.wav", "a.wav", "b.wav"] and list(rows[2].round(3).fillna(-1)) == [10, -1, 0.333]
    for i, values in enumerate(decided.values(), 3):
        assert list(rows[i].fillna("")) == values
    outputs = rows.iloc[[0, 2], -4:-1].to_numpy(float)
    np.testing.assert_allclose(outputs, OUTPUTS, atol=1e-6)
    assert rows.iloc[1, 1:-1].isna().all() and list(rows.iloc[:, -1].fillna("")) == ["", RESULTS[1][1].reason, ""]


def test_no_label_above_its_threshold_is_an_empty_cell():
    model = WaveformModel(["x", "y", "z"], 16000, "labels", thresholds=0.9)
    row = prediction_row(model, "b.wav", RESULTS[2][1])
    assert row["classes"] == [] and list(row["probabilities"]) == ["x", "y", "z"]
    assert prediction_table(model, RESULTS[2:]).classes.item() == ""


def test_a_table_of_no_file_has_the_columns():
    assert list(prediction_table(WaveformModel(["x"], 16000), [])) == ["file", "start", "end", "class", "x", "error"]
