"""The import of fastaudio 1.0.2, installed from its unchanged wheel."""

import importlib
import pkgutil
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import fastaudio
from support import run


def test_every_module_of_fastaudio_can_be_imported():
    modules = [m.name for m in pkgutil.walk_packages(fastaudio.__path__, "fastaudio.")]
    assert len(modules) > 10
    for name in modules:
        importlib.import_module(name)
    assert fastaudio.__version__ == "1.0.2"


def in_new_process(code):
    return run(sys.executable, "-c", textwrap.dedent(code))


def test_importing_fastaudio_changes_no_other_module():
    "Compare everything that the import could have changed with a process that does not import fastaudio."
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


def test_error_for_missing_fastaudio_contains_the_install_command():
    out = in_new_process("""
        import sys
        import importlib.util
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *args: None if name == "fastaudio" else find_spec(name, *args)
        try: import fastaudio_norm
        except ImportError as e: print(e)
    """)
    assert out == "fastaudio_norm needs fastaudio 1.0.2: pip install --no-deps fastaudio==1.0.2\n"


def test_failed_import_is_undone_and_can_be_repeated():
    out = in_new_process("""
        import sys, torchaudio, fastcore
        sys.modules["colorednoise"] = None  # simulates a missing package
        try: import fastaudio_norm
        except ImportError as e: print("colorednoise" in str(e))
        print([name for name in sys.modules if name.startswith("fastaudio.")], hasattr(torchaudio, "set_audio_backend"))
        del sys.modules["colorednoise"]
        import fastaudio_norm.all
    """)
    assert out == "True\n[] False\n"
