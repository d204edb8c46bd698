"""The transforms of fastaudio: each changes its input and preserves type, sample rate and settings."""

import matplotlib.pyplot as plt
import pytest
import torch
from fastaudio.augment.preprocess import RemoveSilence, RemoveType, Resample
from fastaudio.augment.signal import (
    AddNoise,
    AddNoiseGPU,
    AudioPadType,
    ChangeVolume,
    ChangeVolumeGPU,
    DownmixMono,
    ResizeSignal,
    SignalCutout,
    SignalCutoutGPU,
    SignalLoss,
    SignalLossGPU,
    SignalShifter,
)  # fmt: skip
from fastaudio.augment.spectrogram import (
    CropTime,
    Delta,
    DeltaGPU,
    MaskFreq,
    MaskFreqGPU,
    MaskTime,
    MaskTimeGPU,
    SGRoll,
    TfmResize,
    TfmResizeGPU,
)  # fmt: skip
from fastaudio.core.config import AudioBlock, AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToMFCC, AudioToSpec

SR = 16000

WAVEFORM_TRANSFORMS = {
    "Resample": (lambda: Resample(8000), (2, SR)),
    "DownmixMono": (DownmixMono, (1, 2 * SR)),
    "ResizeSignal shorter": (lambda: ResizeSignal(1000), (2, SR)),
    "ResizeSignal longer": (lambda: ResizeSignal(3000), (2, 3 * SR)),
    "ResizeSignal repeat": (lambda: ResizeSignal(3000, AudioPadType.Repeat), (2, 3 * SR)),
    "RemoveSilence": (lambda: RemoveSilence(RemoveType.All), (2, None)),
    "AddNoise": (lambda: AddNoise(p=1.0), (2, 2 * SR)),
    "AddNoise pink": (lambda: AddNoise(p=1.0, color=1), (2, 2 * SR)),
    "AddNoiseGPU": (lambda: AddNoiseGPU(min_level=0.1, max_level=0.2), (2, 2 * SR)),
    "ChangeVolume": (lambda: ChangeVolume(p=1.0, lower=0.2, upper=0.5), (2, 2 * SR)),
    "ChangeVolumeGPU": (lambda: ChangeVolumeGPU(p=1.0, lower=0.2, upper=0.5), (2, 2 * SR)),
    "SignalCutout": (lambda: SignalCutout(p=1.0, max_cut_pct=0.9), (2, 2 * SR)),
    "SignalCutoutGPU": (lambda: SignalCutoutGPU(p=1.0, min_cut_pct=0.6, max_cut_pct=0.9), (2, 2 * SR)),
    "SignalLoss": (lambda: SignalLoss(p=1.0), (2, 2 * SR)),
    "SignalLossGPU": (lambda: SignalLossGPU(p=1.0, min_cut_pct=0.1), (2, 2 * SR)),
    "SignalShifter": (lambda: SignalShifter(p=1.0), (2, 2 * SR)),
    "SignalShifter roll": (lambda: SignalShifter(p=1.0, roll=True), (2, 2 * SR)),
}


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("name", WAVEFORM_TRANSFORMS)
def test_waveform_transform_changes_the_clip_and_preserves_its_rate(name, clip):
    make, (channels, samples) = WAVEFORM_TRANSFORMS[name]
    out = make()(clip.clone(), split_idx=0)
    assert type(out) is AudioTensor and out.sr == (8000 if name == "Resample" else SR)
    assert out.shape == (channels, samples or out.nsamples) and out.isfinite().all()
    assert out.shape != clip.shape or not torch.equal(out, clip)
    if name == "RemoveSilence":
        assert SR < out.nsamples < 1.3 * SR


SPECTROGRAM_TRANSFORMS = {
    "CropTime": (lambda: CropTime(1000), None),
    "CropTime longer": (lambda: CropTime(4000), None),
    "MaskFreq": (MaskFreq, "same"),
    "MaskTime": (MaskTime, "same"),
    "MaskFreqGPU": (lambda: MaskFreqGPU(min_size=5), "same"),
    "MaskTimeGPU": (lambda: MaskTimeGPU(num_masks=2, min_size=5), "same"),
    "SGRoll": (lambda: SGRoll(max_shift_pct=0.9), "same"),
    "Delta": (Delta, "tripled"),
    "DeltaGPU": (DeltaGPU, "tripled"),
    "TfmResize": (lambda: TfmResize(32), (2, 32, 32)),
    "TfmResizeGPU": (lambda: TfmResizeGPU((20, 30)), (2, 20, 30)),
}


@pytest.mark.parametrize("name", SPECTROGRAM_TRANSFORMS)
def test_spectrogram_transform_changes_the_spectrogram_and_preserves_its_settings(name, spec, clip):
    make, shape = SPECTROGRAM_TRANSFORMS[name]
    shape = {"same": tuple(spec.shape), "tripled": (6, *spec.shape[1:])}.get(shape, shape)
    out = make()(spec.clone(), split_idx=0)
    assert type(out) is AudioSpectrogram and out.settings == spec.settings
    assert shape is None or out.shape == shape
    assert out.shape != spec.shape or not torch.equal(out, spec)
    if "GPU" in name:
        batch = make()(torch.stack([spec, spec]), split_idx=0)
        assert batch.shape == (2, *out.shape) and batch.settings == spec.settings
    with pytest.warns(UserWarning, match="AudioTensor"):
        make()(clip)


@pytest.mark.parametrize("config", ["BasicSpectrogram", "BasicMelSpectrogram", "Voice"])
def test_spectrogram_configs(config, clip):
    spec = AudioToSpec.from_cfg(getattr(AudioConfig, config)())(clip)
    assert spec.nchannels == 2 and spec.isfinite().all() and spec.std() > 1
    assert spec.show() is not None
    plt.close("all")


def test_mfcc_config(clip):
    mfcc = AudioToMFCC.from_cfg(AudioConfig.BasicMFCC(n_mfcc=13, melkwargs={"n_mels": 40}))(clip)
    assert mfcc.shape[:2] == (2, 13)
    mfcc.show()
    plt.close("all")


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("name", [*WAVEFORM_TRANSFORMS, *SPECTROGRAM_TRANSFORMS])
def test_transform_changes_batches_of_a_loader(name, clip, tmp_path, make_loaders):
    for file in ("0-a.wav", "1-b.wav", "2-a.wav"):
        clip.save(tmp_path / file)

    def training_batch(*tfms):
        to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=64, n_fft=1024))
        spec = [to_spec] if name in SPECTROGRAM_TRANSFORMS else []
        where = "batch_tfms" if "GPU" in name else "item_tfms"
        block = AudioBlock(sample_rate=SR, force_mono=False)
        return make_loaders(block, tmp_path, valid=[0], bs=2, **{where: [*spec, *tfms]}).one_batch()[0]

    make, _ = {**WAVEFORM_TRANSFORMS, **SPECTROGRAM_TRANSFORMS}[name]
    raw, out = training_batch(), training_batch(make())
    assert type(out) is type(raw) is (AudioSpectrogram if name in SPECTROGRAM_TRANSFORMS else AudioTensor)
    assert out.shape != raw.shape or not torch.equal(out, raw)
