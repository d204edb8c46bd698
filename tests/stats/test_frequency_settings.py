"""`bin_frequencies` refuses settings that do not describe a spectrogram."""

import numpy as np
import pytest

from fastaudio_norm.stats.frequencies import bin_frequencies

LINEAR = {"mel": False, "sr": 16000, "n_fft": 400}
MEL = {**LINEAR, "mel": True, "n_mels": 8, "f_min": 0.0, "f_max": None, "sample_rate": 16000, "mel_scale": "htk"}
GAMMATONE = {"filters": "gammatone", "f_min": 50.0, "f_max": 8000, "n_filters": 8}


@pytest.mark.parametrize(
    "settings, changes",
    [
        (LINEAR, {"n_fft": [10**15, 0, False, "many"], "sr": [0, -1, "x", 10**400]}),
        (MEL, {"n_fft": [10**15], "n_mels": [-4, 1.5, 10**15], "sample_rate": [None, 10**400], "f_max": ["x"]}),
        (GAMMATONE, {"n_filters": [10**15, -1, 1.5, None], "f_min": [-1e9, "x"], "f_max": [10**400]}),
    ],
)
def test_impossible_settings_are_refused(settings, changes):
    assert np.isfinite(bin_frequencies(settings)).all()
    for name, values in changes.items():
        for value in values:
            with pytest.raises(ValueError, match="No spectrogram"):
                bin_frequencies({**settings, name: value})
