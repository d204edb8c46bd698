"""`SpecNormalize` on tensors: formulas, scikit-learn, saved statistics, and refused input."""

import numpy as np
import pytest
import torch
from fastai.torch_core import TensorCategory, TensorImage, TensorImageBase, TensorMask
from fastaudio.core.config import AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToSpec
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from torch.utils._python_dispatch import TorchDispatchMode

from fastaudio_norm.audio import spec_settings
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.transforms import SpecNormalize

SR = 16000
SCALERS = {"zscore": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3), (2, 3), (3,), (1, 2, 3)])
@pytest.mark.parametrize("kind", [AudioSpectrogram, TensorImage, TensorImageBase])
def test_spec_normalize_equals_the_formula(axes, kind):
    x = kind(torch.randn(4, 2, 6, 50) * 20 - 60)
    std, mean = torch.std_mean(x.as_subclass(torch.Tensor).double(), axes, correction=0, keepdim=True)
    norm = SpecNormalize(mean, std, axes) if 0 in axes else SpecNormalize(axes=axes)
    before = x.clone()
    out = norm(x)
    assert type(out) is kind and torch.equal(x, before)
    expected = (before.as_subclass(torch.Tensor).double() - mean) / std
    assert torch.allclose(out.as_subclass(torch.Tensor).double(), expected, atol=1e-5)
    if 0 in axes:
        assert torch.allclose(norm.decode(out), before, atol=1e-4)
    item = norm(x[1])  # an item is normalized like in the batch
    assert item.shape == x.shape[1:] and torch.allclose(item, out[1], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("axes", [(0, 2, 3), (2, 3)])
def test_dtype_is_preserved(dtype, axes):
    x = (torch.randn(4, 1, 6, 50) * 20 - 60).to(dtype).as_subclass(TensorImageBase)
    norm = SpecNormalize(-60, 20) if 0 in axes else SpecNormalize(axes=axes)
    out = norm(x)
    assert out.dtype == dtype and abs(out.double().mean()) < 0.1 and abs(out.double().std() - 1) < 0.1


def test_values_without_spread_become_zeros():
    x = torch.randn(4, 1, 6, 50) * 20 - 60
    x[:, :, 2] = -100.0
    x[:, :, 4] = 1 / 3  # float64 cannot represent its mean exactly
    x = TensorImageBase(x)
    std, mean = torch.std_mean(x, (0, 1, 3), keepdim=True)
    for norm in (SpecNormalize(mean, std, axes=(0, 1, 3)), SpecNormalize(axes=(3,))):
        out = norm(x)
        assert out.isfinite().all() and out.abs().max() < 10
        assert out[:, :, [2, 4]].abs().max() < 1e-5
    assert torch.allclose(SpecNormalize(mean, std).decode(SpecNormalize(mean, std)(x)), x, atol=1e-4)


def test_masks_and_labels_are_left_alone():
    mask = TensorMask(torch.ones(2, 1, 6, 5))
    spec = TensorImageBase(torch.randn(2, 1, 6, 5))
    normalized, same_mask, label = SpecNormalize(0, 2)((spec, mask, TensorCategory(3)))
    assert torch.equal(same_mask, mask) and label == 3 and torch.allclose(normalized, spec / 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"axes": (0, 4)}, "axes"),
        ({"axes": ()}, "axes"),
        ({"mean": 1}, "both mean and std"),
        ({"mean": 1, "std": 2, "axes": (2, 3)}, "0 in axes"),
        ({"mean": 1, "std": -2}, "`std` must be at least 0"),
        ({"mean": torch.nan, "std": 2}, "finite"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpecNormalize(**arguments)


def test_statistics_of_another_shape_are_refused():
    norm = SpecNormalize(torch.zeros(1, 1, 201, 1), torch.ones(1, 1, 201, 1), axes=(0, 1, 3))
    with pytest.raises(ValueError, match=r"\[1, 1, 201, 1\] do not fit .*\[2, 1, 64, 5\]"):
        norm(TensorImageBase(torch.randn(2, 1, 64, 5)))
    with pytest.raises(ValueError, match=r"got \[201, 5\]"):
        norm(TensorImageBase(torch.randn(201, 5)))
    with pytest.raises(RuntimeError, match="not fitted"):
        SpecNormalize()(TensorImageBase(torch.randn(2, 1, 64, 5)))


@pytest.mark.parametrize("method", SCALERS)
@pytest.mark.parametrize("axes", [(2, 3), (3,), (1, 3), (1, 2, 3)])
def test_statistics_of_each_clip_equal_scikit_learn(method, axes):
    x = torch.randn(3, 2, 4, 51) * torch.rand(3, 2, 4, 1) * 40 - 50
    kept = [d for d in (1, 2, 3) if d not in axes]
    expected = torch.empty_like(x)
    for clip, out in zip(x, expected):
        rows = clip.permute(*(d - 1 for d in axes), *(d - 1 for d in kept))
        scaled = SCALERS[method]().fit_transform(
            rows.reshape(-1, int(np.prod([clip.shape[d - 1] for d in kept]))).double()
        )
        inverse = np.argsort([d - 1 for d in (*axes, *kept)])
        out[:] = torch.from_numpy(scaled).view(rows.shape).permute(*inverse)
    norm = SpecNormalize(axes=axes, method=method)
    assert torch.allclose(norm(TensorImageBase(x)).as_subclass(torch.Tensor), expected, atol=1e-4)
    assert torch.allclose(norm(TensorImageBase(x[1])).as_subclass(torch.Tensor), expected[1], atol=1e-4)


@pytest.mark.parametrize("method", SCALERS)
def test_statistics_of_a_data_set_equal_scikit_learn(method):
    x = torch.randn(9, 1, 6, 101) * torch.rand(6, 1) * 40 - 50
    recorder = StatsRecorder((0, 1, 3), correction=0, quantiles=True)
    for batch in x.split([4, 4, 1]):
        recorder.update(batch)
    norm = SpecNormalize.from_stats(recorder, axes=(0, 1, 3), method=method)
    rows = x.permute(0, 1, 3, 2).reshape(-1, 6)
    expected = torch.from_numpy(SCALERS[method]().fit_transform(rows.double())).view(9, 1, 101, 6).transpose(2, 3)
    found = norm(TensorImageBase(x)).as_subclass(torch.Tensor).double()
    # recorded quantiles may be off by one histogram cell, and numpy interpolates between two values
    within = 3 * recorder.quantile_error / recorder.iqr * (1 + expected.abs()) if method == "robust" else 1e-4
    assert ((found - expected).abs() <= within).all()
    assert torch.allclose(norm.decode(norm(TensorImageBase(x))).as_subclass(torch.Tensor), x, atol=1e-4)


def test_minmax_fills_the_feature_range():
    x = TensorImageBase(torch.randn(4, 1, 6, 50))
    out = SpecNormalize(axes=(2, 3), method="minmax", feature_range=(-1, 3))(x)
    assert torch.allclose(out.amin((1, 2, 3)), torch.tensor(-1.0)) and torch.allclose(
        out.amax((1, 2, 3)), torch.tensor(3.0)
    )
    for wrong in ((1, 0), (0, 0), (0,)):
        with pytest.raises(ValueError, match="feature_range"):
            SpecNormalize(method="minmax", feature_range=wrong)


@pytest.mark.parametrize("method", SCALERS)
@pytest.mark.parametrize("axes", [(2, 3), (3,)])
@pytest.mark.parametrize("gain_db", [-40, 20])
def test_statistics_of_each_clip_undo_its_gain(method, axes, gain_db):
    to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=16, n_fft=1024, hop_length=512))
    clip = AudioTensor(torch.randn(1, SR), sr=SR)
    norm = SpecNormalize(axes=axes, method=method)
    near, far = (norm(to_spec(clip * gain)) for gain in (1.0, 10 ** (gain_db / 20)))
    assert torch.allclose(near, far, atol=1e-3)


@pytest.mark.parametrize("method", SCALERS)
@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3), (2, 3), (3,)])
def test_silence_and_constants_stay_finite(method, axes):
    x = torch.randn(3, 1, 4, 20)
    x[0] = -100.0
    x[:, :, 2] = 7.0
    recorder = StatsRecorder((0, 3), quantiles=True)
    recorder.update(x)
    norm = SpecNormalize(axes=axes, method=method)
    norm = SpecNormalize.from_stats(recorder, axes, method=method) if norm.of_dataset else norm
    for dtype in (torch.float32, torch.float16):
        assert norm(TensorImageBase(x.to(dtype))).isfinite().all()
    assert method in repr(norm) or method == "zscore"


def spectrogram_of(n_fft=1024, n_mels=8):
    to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=n_mels, n_fft=n_fft, hop_length=512))
    return to_spec(AudioTensor(torch.randn(4, 1, 8000), sr=SR))


@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3)])
def test_statistics_come_from_a_recorder_or_its_file(axes, tmp_path):
    spec = spectrogram_of()
    recorder = StatsRecorder((0, 3))
    recorder.update(spec, settings=spec_settings(spec))
    recorder.save(tmp_path / "stats.json")
    std, mean = torch.std_mean(spec.as_subclass(torch.Tensor).double(), axes, keepdim=True)
    for stats in (recorder, tmp_path / "stats.json", str(tmp_path / "stats.json")):
        norm = SpecNormalize.from_stats(stats, axes=axes)
        assert torch.allclose(norm.mean, mean) and torch.allclose(norm.std, std)
        assert torch.allclose(norm(spec).as_subclass(torch.Tensor), ((spec - mean) / std).float(), atol=1e-5)
    with pytest.raises(ValueError, match="cannot be reduced to"):
        SpecNormalize.from_stats(recorder.reduced((0, 2, 3)), axes=(0, 1, 3))
    with pytest.raises(ValueError, match="needs 0 in axes"):
        SpecNormalize.from_stats(recorder, axes=(2, 3))


def test_a_spectrogram_made_with_other_settings_is_refused(tmp_path):
    recorder = StatsRecorder((0, 3))
    other = spectrogram_of(n_fft=1024)
    recorder.update(other, settings=spec_settings(other))
    recorder.save(tmp_path / "stats.json")
    norm, other = SpecNormalize.from_stats(tmp_path / "stats.json"), spectrogram_of(n_fft=512)
    for refuse in (norm, norm.decode, lambda spec: recorder.update(spec, settings=spec_settings(spec))):
        with pytest.raises(ValueError, match="n_fft=512 instead of 1024.*win_length=512 instead of 1024"):
            refuse(other)
    plain = TensorImageBase(torch.randn(4, 1, 8, 16))  # has no settings, so it cannot be refused
    assert norm(plain).shape == plain.shape
    assert recorder.settings["window_fn"] == "hann_window"


class BigTensors(TorchDispatchMode):
    "Record the storages of at least `nbytes` that appear."

    def __init__(self, nbytes):
        super().__init__()
        self.nbytes, self.seen = nbytes, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(t, torch.Tensor) and t.untyped_storage().nbytes() >= self.nbytes:
                self.seen.add(t.untyped_storage().data_ptr())
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3), (2, 3), (3,)])
@pytest.mark.parametrize("method", ["zscore", "minmax", "robust"])
def test_spec_normalize_allocates_one_tensor_and_keeps_its_input(method, axes, channels, dtype):
    x = (torch.randn(32, channels, 16, 50) * 20 - 60).to(dtype)
    before = x.clone()
    norm = SpecNormalize(axes=axes, method=method)
    if norm.of_dataset:
        norm = SpecNormalize(
            *(torch.rand([1 if d in axes else n for d, n in enumerate(x.shape)]) + s for s in (0, 1)), axes
        )
    given = x.as_subclass(TensorImageBase)
    norm(given)  # compile the loops
    with BigTensors(x.untyped_storage().nbytes()) as big:
        out = norm(given)
    new = big.seen - {x.untyped_storage().data_ptr()}
    assert len(new) == 1 and out.untyped_storage().data_ptr() in new
    assert out.dtype == dtype and torch.equal(x, before) and out.is_contiguous()
