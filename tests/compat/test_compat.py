"""fastaudio 1.0.2, as installed from its wheel, on today's fastai."""

import copy
import importlib
import inspect
import io
import pickle
import pkgutil
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor

import fastaudio
import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter
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
from fastaudio.core.signal import AudioTensor, get_audio_files
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToMFCC, AudioToSpec

SR = 16000


@pytest.fixture
def clip():
    "Two channels, two seconds, silent from 0.5 to 1.5 s."
    x = torch.randn(2, 2 * SR) * 0.1
    x[:, SR // 2 : 3 * SR // 2] = 0
    return AudioTensor(x, sr=SR)


@pytest.fixture
def spec(clip):
    return AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=64, n_fft=1024))(clip)


def test_every_module_imports():
    modules = [m.name for m in pkgutil.walk_packages(fastaudio.__path__, "fastaudio.")]
    assert len(modules) > 10
    for name in modules:
        importlib.import_module(name)
    assert fastaudio.__version__ == "1.0.2"


def in_new_process(code):
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_nothing_leaks():
    "Everything that fastaudio's import could have changed is compared with a process that never saw it."
    code = """
        import sys, importlib
        {first}
        import fastai.vision.all, fastai.torch_core, fastcore, librosa.display, torchaudio
        state = dict(
            display=sorted(vars(librosa.display)),
            torchaudio=sorted(name for name in vars(torchaudio)),
            tensor_base={{
                name: (getattr(value, '__module__', ''), getattr(value, '__qualname__', ''))
                for name, value in vars(fastai.torch_core.TensorBase).items()
            }},
            load=(torchaudio.load.__module__, torchaudio.save.__module__),
            pkg_resources='pkg_resources' in sys.modules,
            parts=[f'fastcore.{{p}}' in sys.modules or hasattr(fastcore, p) for p in ('dispatch', 'transform')],
        )
        for name in ('fastcore.dispatch', 'fastcore.transform'):
            module = importlib.import_module(name)
            try: module.typedispatch
            except ImportError: state[name] = (module.__file__.split('site-packages')[1], sorted(vars(module)))
        print(state)
    """
    firsts = [
        "import torchaudio, librosa.display",
        "import fastaudio_norm.all",
        "import fastai.vision.all, fastaudio_norm.all",
    ]
    with ThreadPoolExecutor() as threads:
        without, before, after = threads.map(in_new_process, [code.format(first=first) for first in firsts])
    assert "fastcore.transform" in without
    assert before == without
    assert after == without


def test_missing_fastaudio_says_how_to_get_it():
    out = in_new_process("""
        import sys
        import importlib.util
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *args: None if name == "fastaudio" else find_spec(name, *args)
        try: import fastaudio_norm
        except ImportError as e: print(e)
    """)
    assert out == "fastaudio_norm needs fastaudio 1.0.2: pip install --no-deps fastaudio==1.0.2\n"


def test_failed_import_leaves_nothing_half_done():
    out = in_new_process("""
        import sys, torchaudio, fastcore
        sys.modules["colorednoise"] = None  # as if it were not installed
        try: import fastaudio_norm
        except ImportError as e: print("colorednoise" in str(e))
        print([name for name in sys.modules if name.startswith("fastaudio.")], hasattr(torchaudio, "set_audio_backend"))
        del sys.modules["colorednoise"]
        import fastaudio_norm.all
    """)
    assert out == "True\n[] False\n"


# ---- files


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_formats_load(tmp_path, ending):
    t = np.arange(SR) / SR
    tone = 0.5 * np.stack([np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 880 * t)], axis=1)
    soundfile.write(tmp_path / f"tone.{ending}", tone, SR)
    x = AudioTensor.create(tmp_path / f"tone.{ending}")
    assert x.sr == SR and x.nchannels == 2 and x.dtype == torch.float32 and x.is_contiguous()
    assert x.nsamples >= SR
    for channel, frequency in zip(x, (440, 880)):
        spectrum = torch.fft.rfft(channel[:SR]).abs()
        assert spectrum.argmax() == frequency
    assert get_audio_files(tmp_path) == [tmp_path / f"tone.{ending}"]


def test_save_and_create(tmp_path, clip):
    clip = clip * 20  # beyond [-1, 1], which a float WAV keeps
    clip.save(tmp_path / "clip.wav")
    again = AudioTensor.create(tmp_path / "clip.wav")
    assert torch.equal(again, clip) and again.sr == SR
    with pytest.raises(Exception, match="already exists"):
        clip.save(tmp_path / "clip.wav", overwrite=False)


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), SR)
    with pytest.raises(ValueError, match="text.wav"):
        AudioTensor.create(tmp_path / "text.wav")
    with pytest.raises(ValueError, match="no samples.*empty.wav"):
        AudioTensor.create(tmp_path / "empty.wav")
    with pytest.raises(FileNotFoundError, match="missing.wav"):
        AudioTensor.create(tmp_path / "missing.wav")
    assert {"frame_offset", "num_frames"} <= set(inspect.signature(AudioTensor.create).parameters)


# ---- tensors


def saved(x):
    file = io.BytesIO()
    torch.save(x, file)
    return torch.load(io.BytesIO(file.getvalue()))  # weights only, torch's default


WAYS_TO_COPY = {
    "clone": lambda x: x.clone(),
    "index": lambda x: x[..., 3:9],
    "times": lambda x: x * 2,
    "minus, from a plain tensor": lambda x: torch.ones(1) - x,
    "where, with a plain mask": lambda x: torch.where(torch.ones(x.shape, dtype=torch.bool), x, 0.0),
    "half": lambda x: x.half(),
    "cat": lambda x: torch.cat([x, x]),
    "stack": lambda x: torch.stack([x, x]),
    "split": lambda x: x.split(1)[1],
    "mean": lambda x: x.mean(-1, keepdim=True),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "save": saved,
}


@pytest.mark.parametrize("way", WAYS_TO_COPY)
def test_metadata_stays(way, clip, spec):
    mfcc = AudioToMFCC(n_mfcc=20, melkwargs={"n_mels": 40})(clip)
    audio = WAYS_TO_COPY[way](clip)
    assert type(audio) is AudioTensor and audio.sr == SR
    for x in (spec, mfcc):
        copied = WAYS_TO_COPY[way](x)
        assert type(copied) is AudioSpectrogram and copied.settings == x.settings
    if way in ("clone", "copy", "deepcopy", "pickle", "save"):
        assert torch.equal(copied, mfcc)


def test_settings_are_attributes(spec):
    assert spec.n_mels == 64 and spec.sr == SR
    assert getattr(spec, "no_such_setting", None) is None
    with pytest.raises(AttributeError, match="no_such_setting"):
        spec.no_such_setting


# ---- transforms, each alone: it acts, and keeps type, rate and settings


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
def test_waveform_transform_acts(name, clip):
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
def test_spectrogram_transform_acts(name, spec, clip):
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
def test_configs(config, clip):
    spec = AudioToSpec.from_cfg(getattr(AudioConfig, config)())(clip)
    assert spec.nchannels == 2 and spec.isfinite().all() and spec.std() > 1
    assert spec.show() is not None
    plt.close("all")


def test_mfcc(clip):
    mfcc = AudioToMFCC.from_cfg(AudioConfig.BasicMFCC(n_mfcc=13, melkwargs={"n_mels": 40}))(clip)
    assert mfcc.shape[:2] == (2, 13)
    mfcc.show()
    plt.close("all")


def test_hear_and_show(clip, capsys):
    clip.hear()
    clip.show(hear=True)
    assert capsys.readouterr().out.count("Audio object") == 2
    plt.close("all")


# ---- through loaders


def label(file):
    return file.stem.split("-")[1]


@pytest.fixture
def folder(tmp_path):
    "Eight files in four formats, stereo and mono, of different rates and lengths."
    for i in range(8):
        sr = (8000, 22050, 44100, 48000)[i % 4]
        samples = np.random.default_rng(i).standard_normal((sr + 100 * i, 1 + i % 2)) * 0.1
        soundfile.write(tmp_path / f"{i}-{'ab'[i % 2]}.{('wav', 'flac', 'ogg', 'mp3')[i // 2]}", samples, sr)
    return tmp_path


def loaders(block, source, *batch_tfms, **kwargs):
    data = DataBlock(
        blocks=(block, CategoryBlock),
        get_items=get_audio_files,
        get_y=label,
        splitter=IndexSplitter([0, 1]),
        batch_tfms=batch_tfms,
    )
    return data.dataloaders(source, bs=3, **kwargs)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loaders_pad_clips_and_keep_metadata(folder, num_workers):
    to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024))
    with pytest.warns(UserWarning, match="padded with silence"):
        dls = loaders(AudioBlock, folder, num_workers=num_workers)
        dls.one_batch()  # in this process, where the warning can be seen
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        batches = [x for dl in dls for x, _ in dl]
    assert all(type(x) is AudioTensor and x.sr == SR and x.shape[1] == 1 for x in batches)
    specs = [
        x for dl in loaders(AudioBlock(crop_signal_to=500), folder, to_spec, num_workers=num_workers) for x, _ in dl
    ]
    assert all(type(x) is AudioSpectrogram and x.n_mels == 32 for x in specs)


def test_from_folder(folder, tmp_path_factory):
    block = AudioBlock.from_folder(folder, sample_rate=8000, crop_signal_to=500)
    assert len(get_audio_files(folder.parent / f"{folder.name}_cached")) == 8
    x, _ = loaders(block, folder, num_workers=0).one_batch()
    assert x.shape == (3, 1, 4000) and x.sr == 8000


def test_show_batch_draws_every_clip_once(folder):
    for tfms in ([], [AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024))]):
        plt.close("all")
        loaders(AudioBlock(crop_signal_to=500), folder, *tfms, num_workers=0).show_batch(max_n=2)
        figure = plt.gcf()
        assert len(plt.get_fignums()) == 1
        assert [ax.get_title() in "ab" for ax in figure.axes if ax.get_title()] == [True, True]
        assert all(ax.child_axes[0].has_data() for ax in figure.axes if ax.get_title())
    plt.close("all")


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("name", [*WAVEFORM_TRANSFORMS, *SPECTROGRAM_TRANSFORMS])
def test_transform_acts_in_a_loader(name, clip, tmp_path):
    for file in ("0-a.wav", "1-b.wav", "2-a.wav"):
        clip.save(tmp_path / file)

    def training_batch(*tfms):
        to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=64, n_fft=1024))
        spec = [to_spec] if name in SPECTROGRAM_TRANSFORMS else []
        where = "batch_tfms" if "GPU" in name else "item_tfms"
        data = DataBlock(
            blocks=(AudioBlock(sample_rate=SR, force_mono=False), CategoryBlock),
            get_items=get_audio_files,
            get_y=label,
            splitter=IndexSplitter([0]),
            **{where: [*spec, *tfms]},
        )
        return data.dataloaders(tmp_path, bs=2, num_workers=0).one_batch()[0]

    make, _ = {**WAVEFORM_TRANSFORMS, **SPECTROGRAM_TRANSFORMS}[name]
    raw, out = training_batch(), training_batch(make())
    assert type(out) is type(raw) is (AudioSpectrogram if name in SPECTROGRAM_TRANSFORMS else AudioTensor)
    assert out.shape != raw.shape or not torch.equal(out, raw)
