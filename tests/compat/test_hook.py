"""Light imports stay light, fastaudio is imported on demand, and so is torchaudio for another version of CUDA."""

import sys
import textwrap
from importlib.metadata import version

import pytest
import quick_python
import torch
from support import run

HEAVY = ["fastai", "fastaudio", "torchaudio", "librosa", "matplotlib", "pandas", "sklearn", "IPython", "soundfile"]
CAN_RETRY = not version("torchaudio").startswith(("2.9.", "2.10."))  # these stay broken after a failed import


def in_new_interpreter(code):
    return run(sys.executable, "-W", "ignore", "-c", textwrap.dedent(code))


def in_new_process(code):
    return run(quick_python.start(), "-W", "ignore", "-c", textwrap.dedent(code))


def test_importing_the_package_imports_neither_pytorch_nor_numpy():
    out = in_new_interpreter(f"""
        import sys
        import fastaudio_norm, fastaudio_norm.names, fastaudio_norm.storage
        print([name for name in ["torch", "numpy", *{HEAVY}] if name in sys.modules])
    """)
    assert out == "[]\n"


def test_statistics_and_layers_work_where_nothing_but_pytorch_and_numpy_is_installed():
    "Every layer, and the file of a recorder, in a process that cannot import the other packages."
    out = in_new_interpreter(f"""
        import sys
        for name in {HEAVY}:
            sys.modules[name] = None  # its import raises ModuleNotFoundError
        import inspect, tempfile
        import torch
        import fastaudio_norm.layers as layers
        import fastaudio_norm.stats as stats
        recorder = stats.StatsRecorder((0, 1, 3), quantiles=True, clips=True)
        recorder.update(torch.randn(4, 1, 8, 50))
        with tempfile.TemporaryDirectory() as folder:
            recorder.save(folder + "/stats.json")
            recorder = stats.StatsRecorder.load(folder + "/stats.json")
        made = [
            *(layers.AudioNorm(16000, method) for method in ("zscore", "rms", "peak")), layers.ShortTimeNorm(100),
            layers.SlidingNorm(16), layers.RelaxedFreqNorm(), layers.PCENLayer(8, 31.25),
            layers.BandMatch(8), *(kind() for kind in layers.FRONT_ENDS.values()),
            *(layers.SpecNorm((3,), method) for method in layers.ESTIMATES),
            *(layers.SpecNorm((0, 1, 3), method, shape=(1, 1, 8, 1)) for method in layers.ESTIMATES),
        ]
        statistics = torch.zeros(1, 1, 8, 1), torch.ones(1, 1, 8, 1)
        made.append(layers.GroupedSpecNorm.from_statistics({{"a": statistics}}, statistics, (0, 1, 3)).of_group("a"))
        for layer in made:
            of_waveforms = isinstance(layer, (layers.AudioNorm, layers.ShortTimeNorm, layers.FrontEnd))
            x = torch.randn(2, 1, 16000) if of_waveforms else torch.rand(2, 1, 8, 50)
            assert layer(x).isfinite().all(), layer
        names = {{name for name, x in vars(layers).items() if inspect.isclass(x) and issubclass(x, layers.Layer)}}
        names -= {{"Layer", "FrontEnd", "GroupedSpecNorm"}}
        print(sorted(names - {{type(layer).__name__ for layer in made}}))
    """)
    assert out == "[]\n"


@pytest.mark.parametrize(
    "first",
    [
        "import fastai.vision.all, fastaudio_norm; from fastaudio.all import *",
        "import fastaudio_norm.stats, fastaudio.core.config",
        "from fastaudio_norm.compat.padding import PadClips",
    ],
)
def test_fastaudio_is_complete_whichever_import_comes_first(first):
    out = in_new_process(f"""
        {first}
        from fastaudio.core.all import AudioBlock, AudioTensor
        from fastaudio.augment.preprocess import Resample
        import torch
        print(type(AudioBlock().dls_kwargs["before_batch"]).__name__)
        print(AudioTensor(torch.zeros(1, 4), sr=8000).clone().sr)
        print(Resample(8000).__reduce_ex__(4)[0].__module__)
    """)
    assert out == "PadClips\n8000\nfastaudio_norm.compat.pickling\n"


@pytest.mark.skipif(not torch.version.cuda, reason="PyTorch was built without CUDA")
@pytest.mark.parametrize("first", ["", "try: import torchaudio\nexcept RuntimeError: pass"][: 1 + CAN_RETRY])
def test_torchaudio_for_another_minor_version_of_cuda(first):
    "Also after torchaudio's own error, when it was imported first."
    major = torch.version.cuda.split(".")[0]
    code = f"""
import torch
torch.version.cuda = "{major}.99"
{first}
import fastaudio_norm
import torchaudio
from torchaudio._extension import _check_cuda_version
print(torch.version.cuda, _check_cuda_version.__module__, torchaudio.transforms.Resample(2, 1)(torch.zeros(4)).shape[0])
try: _check_cuda_version()
except RuntimeError as e: print("different CUDA versions" in str(e))
"""
    assert in_new_process(code) == f"{major}.99 torchaudio._extension.utils 2\nTrue\n"


@pytest.mark.skipif(not torch.version.cuda, reason="PyTorch was built without CUDA")
def test_torchaudio_for_another_major_version_of_cuda_is_refused():
    out = in_new_process(
        """
        import torch
        torch.version.cuda = "99.1"
        import fastaudio_norm
        for attempt in range(ATTEMPTS):
            try: import torchaudio
            except ImportError as e: print(e)
        print(torch.version.cuda)
    """.replace("ATTEMPTS", str(1 + CAN_RETRY))
    )
    first, *others, cuda = out.splitlines()
    assert set(others) <= {first} and "uses CUDA 99, but torchaudio was compiled for CUDA" in first
    assert "from the same index" in first
    assert cuda == "99.1"
