"""Helpers of several tests: the repository's root, its notebooks, commands, and processes that start quickly."""

import gc
import importlib.util
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYARROW = importlib.util.find_spec("pyarrow") is not None  # with it, tables cannot contain names that are not UTF-8
ODD_NAME = "latin ü.wav" if PYARROW else os.fsdecode(b"latin \xfc.wav")
NOTEBOOKS = sorted((ROOT / "nbs").rglob("*.ipynb"))

# Processes of this kind are forked from a server that has imported the libraries, but has run nothing.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["nbdev.test", "fastai.vision.all", "fastaudio_norm.all", "fastaudio_norm.cli.main"])
SMALL_ARCH = "test_resnet"  # timm's smallest network; trains three times as fast as the default, xresnet18
COMMAND = "import sys; from fastaudio_norm.cli.main import main; main(sys.argv[1:])"

# Replacements that make the tests of notebooks fast: fewer clips and less training, same code. No assert in a notebook
# depends on these numbers; `uv run nbdev-test` runs the notebooks unchanged.
SHORTER = {
    "index": {"seconds=1)": "per_fold=1, seconds=0.5)", "fit_one_cycle(8,": "fit_one_cycle(1,"},
    "audio/conditions": {"2 * sr": "sr"},
    "cli/compare": {"make_clips(path, seconds=1": "make_clips(path, per_fold=1, seconds=0.5"},
    "cli/drift": {"seconds=1": "seconds=0.5"},
    "cli/predict": {"seconds=1": "seconds=0.5", "epochs=4": "epochs=1"},
    "cli/stats": {"seconds=1": "seconds=0.5"},
    "cli/train": {"seconds=1": "seconds=0.5"},
    "cli/update": {"per_fold=2, seconds=1": "per_fold=1, seconds=0.5"},
    "comparison/conditions": {"per_fold=2": "per_fold=1", "epochs=4": "epochs=1"},
    "comparison/own_learner": {"seconds=1": "seconds=0.5"},
    "comparison/plots": {"seconds=1": "seconds=0.5", "epochs=4": "epochs=1"},
    "comparison/run": {"seconds=1": "seconds=0.5", "epochs=2": "epochs=1"},
    "comparison/training": {"seconds=1": "seconds=0.5"},
    "data/memory": {"per_fold=1)": "per_fold=1, seconds=0.5)"},
    "data/synthetic": {"per_fold=1)": "per_fold=1, seconds=0.5)"},
    "measure/folder": {"seconds=1": "seconds=0.5"},
    "monitor/causes": {"per_fold=4": "per_fold=2"},
    "monitor/clip_model": {"per_fold=4": "per_fold=2"},
    "monitor/drift": {"per_fold=4": "per_fold=2"},
    "monitor/update": {"per_fold=4, seconds=1": "per_fold=1, seconds=0.5", "epochs=6": "epochs=1"},
    "tutorials/deploy": {
        'os.environ.get("SOUNDS")': "None",  # statistics of fewer than 48 clips cannot detect drift
        "seconds=1": "per_fold=2, seconds=0.5",
        "epochs=6": "epochs=1",
    },
    "serve/final": {"seconds=1": "seconds=0.5"},
    "train/learner": {"seconds=1": "seconds=0.5", "Recipe(epochs=2)": "Recipe(epochs=1)", "2, epochs=2": "2, epochs=1"},
    "transforms/gallery": {"per_fold=2, seconds=3": "per_fold=1, seconds=1"},
    "tutorials/normalize": {"epochs=4": "epochs=1"},
    "tutorials/port": {"seconds=1": "seconds=0.5"},
}


def run(*command, cwd=ROOT, statuses=(0,)):
    "Run a command, require one of the exit statuses, and return its standard output."
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode in statuses, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def redirect(out, err):
    "Write everything that this process prints to two files."
    for descriptor, path in ((1, out), (2, err)):
        with open(path, "a") as file:
            os.dup2(file.fileno(), descriptor)


def execute(program, arguments, env, out, err):
    redirect(out, err)
    gc.freeze()  # excludes the libraries from garbage collection, as in conftest.py
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["-c", *arguments]
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})


class Program:
    "A running Python program, like `python -c PROGRAM ARGUMENT...`, but without the time for imports."

    def __init__(self, folder, program, *arguments, **env):
        self.out, self.err = (Path(folder, f"{name}-{os.urandom(4).hex()}") for name in ("out", "err"))
        env = {**os.environ, **env}
        args = program, [str(x) for x in arguments], env, self.out, self.err
        self.process = PROCESSES.Process(target=execute, args=args)
        self.process.start()

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    @property
    def status(self):
        "Exit status, negative for a signal; None while the program runs."
        return self.process.exitcode

    def printed(self, seconds=240):
        "Wait for the end, and return what the program has printed to standard output and standard error."
        self.process.join(seconds)
        if self.status is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {seconds} s\n{self.err.read_text()}")
        return self.out.read_text(), self.err.read_text()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_ranks(folder, program, *arguments, **env):
    "Start two processes with the environment that `torchrun` gives them."
    env |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [Program(folder, program, *arguments, RANK=rank, LOCAL_RANK=rank, **env) for rank in "01"]


def shorten(notebook, name):
    "Apply the replacements of `SHORTER` to the code of a notebook."
    for long, short in SHORTER.get(name, {}).items():
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and long in cell.source]
        assert cells, f"{long!r} is not in the code of {name}.ipynb: update SHORTER"
        for cell in cells:
            cell.source = cell.source.replace(long, short)
    return notebook


def draw_plainly():
    "Draw each figure of a notebook once, where its parts happen to lie; arranging them takes more time than drawing."
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib_inline.config import InlineBackend

    ConstrainedLayoutEngine.execute = lambda self, figure: None
    InlineBackend.instance().print_figure_kwargs = {"bbox_inches": None}


def run_notebook(notebook, log, env, python):
    """Run a notebook in this process, write everything that it prints to `log`, and exit with status 1 if a cell fails.

    `python` is the interpreter that the notebook finds in `sys.executable`.
    """
    from nbdev import process, test

    redirect(log, log)
    draw_plainly()
    gc.freeze()  # excludes the libraries from garbage collection, as in conftest.py
    os.environ.update(env)
    sys.executable = str(python)
    read, name = process.read_nb, notebook.relative_to(ROOT / "nbs").with_suffix("").as_posix()
    process.read_nb = lambda path: shorten(read(path), name)
    succeeded, _ = test.test_nb(notebook, basepath=ROOT)
    sys.exit(0 if succeeded else 1)
