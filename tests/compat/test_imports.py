"""The import of fastaudio 1.0.2, installed from its unchanged wheel."""

import importlib
import pkgutil
import textwrap

import fastaudio
import pytest
import quick_python
from support import run


def test_every_module_of_fastaudio_can_be_imported():
    modules = [m.name for m in pkgutil.walk_packages(fastaudio.__path__, "fastaudio.")]
    assert len(modules) > 10
    for name in modules:
        importlib.import_module(name)
    assert fastaudio.__version__ == "1.0.2"


def in_new_process(code):
    return run(quick_python.start(), "-W", "ignore", "-c", textwrap.dedent(code))


def test_importing_fastaudio_changes_no_other_module():
    "Compare everything that the import could have changed with a process that does not import fastaudio."
    code = """
        import sys, importlib, torch
        cuda = torch.version.cuda
        {first}
        import fastai.vision.all, fastai.torch_core, fastcore, librosa.display, torchaudio
        state = dict(
            display=sorted(vars(librosa.display)),
            torchaudio=sorted(name for name in vars(torchaudio)),
            tensor_base={{
                name: (getattr(value, '__module__', ''), getattr(value, '__qualname__', ''))
                for name, value in vars(fastai.torch_core.TensorBase).items()
            }},
            cuda=(torch.version.cuda, torchaudio._extension._check_cuda_version.__module__),
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
        "torch.version.cuda = None; import torchaudio, librosa.display; torch.version.cuda = cuda",
        "import fastaudio_norm.all",
        "import fastai.vision.all, fastaudio_norm.all",
    ]
    without, before, after = (in_new_process(code.format(first=first)) for first in firsts)
    assert "fastcore.transform" in without
    assert before == without
    assert after == without


def test_error_for_missing_fastaudio_contains_the_install_command():
    out = in_new_process("""
        from importlib.machinery import PathFinder
        find_spec = PathFinder.find_spec
        PathFinder.find_spec = lambda name, *args: None if name == "fastaudio" else find_spec(name, *args)
        import fastaudio_norm
        try: import fastaudio_norm.all
        except ImportError as e: print(e)
    """)
    assert out == "fastaudio_norm needs fastaudio 1.0.2: pip install --no-deps fastaudio==1.0.2\n"


@pytest.mark.parametrize("missing", ["colorednoise", "fastaudio_norm.compat.padding"])
def test_failed_import_is_undone_and_can_be_repeated(missing):
    "The first module is missed by fastaudio, the second after fastaudio was imported."
    out = in_new_process(f"""
        import sys, fastaudio_norm, torchaudio
        sys.modules[{missing!r}] = None  # simulates a missing package
        try: import fastaudio_norm.all
        except ImportError as e: print({missing!r} in str(e))
        print([name for name in sys.modules if name.startswith("fastaudio.")], hasattr(torchaudio, "set_audio_backend"))
        sys.modules.pop({missing!r}, None)
        import fastaudio_norm.all
        print(type(fastaudio_norm.all.AudioBlock().dls_kwargs["before_batch"]).__name__)
    """)
    assert out == "True\n[] False\nPadClips\n"
