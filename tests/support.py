"""Helpers of several tests: the repository's root, its notebooks, and commands run as a user would run them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "nbs").rglob("*.ipynb"))


def run(*command, cwd=ROOT, statuses=(0,)):
    "Run a command, require one of the exit statuses, and return its standard output."
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode in statuses, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_notebook(notebook, log):
    "Run a notebook in this process, write everything that it prints to `log`, and exit with status 1 if a cell fails."
    from nbdev.test import test_nb

    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    succeeded, _ = test_nb(notebook, basepath=ROOT)
    sys.exit(0 if succeeded else 1)
