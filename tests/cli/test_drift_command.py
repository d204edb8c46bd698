"""`fastaudio-norm drift`: report, files, exit status, and statistics that it refuses."""

import re

import pytest
import scipy.signal
from drift_support import write_filtered

from fastaudio_norm.cli.main import main
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.storage import read_json, write_json


def muffle(samples, rate):
    return scipy.signal.sosfilt(scipy.signal.butter(8, 4000, fs=rate, output="sos"), samples)


def test_drift_command(made_up, tmp_path, capsys):
    main(["stats", str(made_up), "--out", str(tmp_path)])
    stats = str(tmp_path / "stats.json")
    main(["drift", stats, str(made_up), "--out", str(tmp_path / "same")])
    assert "50 clips: no drift" in capsys.readouterr().out
    muffled = tmp_path / "muffled"
    write_filtered(made_up, muffled, muffle)
    with pytest.raises(SystemExit) as stopped:
        main(["drift", stats, str(muffled), "--out", str(muffled)])
    assert stopped.value.code == 1 and "everything above" in capsys.readouterr().out
    assert StatsRecorder.load(muffled / "live.json").clips.bins.n == 50
    assert (muffled / "drift.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c["settings"].update(n_fft=10**15), "spectrograms have"),
        (lambda c: c["settings"].update(n_fft="many"), "spectrograms have"),
        (lambda c: c["settings"].update(n_mels=-3), "spectrograms have"),
        (lambda c: c["about"].update(spectrogram="../../etc/passwd"), "Unknown spectrogram"),
        (lambda c: c["about"].update(spectrogram=["mel"]), "Unknown spectrogram"),
        (lambda c: c["about"].pop("spectrogram"), "does not name its spectrogram"),
        (lambda c: c["clips"]["bins"].__setitem__(slice(None), [[0.0], [1.0]]), "does not contain valid statistics"),
        (lambda c: c["clips"].update(n=10**40), "the number of clips must be a whole number"),
        (lambda c: c["clips"]["features"][1].pop(), "does not contain valid statistics"),
        (lambda c: c.pop("clips"), "must record how clips differ"),
    ],
)
def test_malicious_statistics_are_refused(change, message, made_up, tmp_path, capsys):
    main(["stats", str(made_up), "--out", str(tmp_path)])
    content = read_json(tmp_path / "stats.json", "statistics", 1)
    change(content)
    write_json(tmp_path / "stats.json", "statistics", 1, content)
    with pytest.raises(SystemExit) as stopped:
        main(["drift", str(tmp_path / "stats.json"), str(made_up), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and re.search(message, capsys.readouterr().err)
