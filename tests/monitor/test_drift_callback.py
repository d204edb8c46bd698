"""A `Learner` that feeds a drift monitor."""

import numpy as np
import pytest
from drift_support import write_filtered

from fastaudio_norm.audio import SPECS
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.measure import measure
from fastaudio_norm.monitor import DriftCallback, DriftMonitor
from fastaudio_norm.train import spec_learner
from fastaudio_norm.transforms import AudioNormalize, SpecNormalize


def monitored_learner(path, monitor, item_tfms=(), spec_norm=None):
    batch_tfms = [SPECS["mel"](), spec_norm or SpecNormalize(axes=(0, 1, 3))]
    dls = get_dls(read_esc50(path), path, bs=8, item_tfms=list(item_tfms), batch_tfms=batch_tfms, num_workers=0)
    return spec_learner(dls, cbs=DriftCallback(monitor))


@pytest.fixture(scope="module")
def measured(made_up):
    return measure(made_up)


@pytest.mark.filterwarnings("error")
def test_the_monitor_receives_spectrograms_before_normalization(made_up, measured, tmp_path):
    monitor = DriftMonitor(measured)
    learn = monitored_learner(made_up, monitor)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        assert monitor.clips == 0  # validation during fit repeats the same clips
        same = write_filtered(made_up, tmp_path / "same", lambda samples, rate: samples)
        learn.get_preds(dl=learn.dls.test_dl(same))
        assert monitor.clips == 50
        np.testing.assert_allclose(monitor.live.mean, measured.mean, atol=1e-3)
        quiet = write_filtered(made_up, tmp_path / "quiet", lambda samples, rate: 0.01 * samples)
        with pytest.warns(UserWarning, match="Drift in 100 clips: level down"):
            learn.get_preds(dl=learn.dls.test_dl(quiet))


@pytest.mark.parametrize(
    "item_tfms, spec_norm, message",
    [([], SpecNormalize(axes=(3,)), "Cannot undo"), ([AudioNormalize()], None, "must be normalized by nothing")],
)
def test_normalization_that_cannot_be_undone_is_refused(item_tfms, spec_norm, message, made_up, measured):
    monitor = DriftMonitor(measured)
    learn = monitored_learner(made_up, monitor, item_tfms, spec_norm)
    with pytest.raises(ValueError, match=message), learn.no_bar():
        learn.validate()
    assert monitor.clips == 0
