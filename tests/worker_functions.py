"""Functions that worker processes import by name, which they cannot do with functions of a test module."""

import os
import signal
import sys
import time


def label_of(file):
    "Label of a file that is called `NUMBER-LABEL.SUFFIX`."
    return file.stem.split("-")[1]


def length(file):
    if file.name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if file.name == "deadly once" and not file.exists():
        file.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if file.name == "bad":
        raise ValueError("is bad\nsecond line")
    time.sleep(0.01 * (len(file.name) % 3))
    return len(file.name)


def train_slowly(run, each_epoch, seconds, bad=None, way=None):
    "Stands for the training of a run: its row tells which process has trained it."
    time.sleep(seconds)
    each_epoch()
    if run == bad and way == "raise":
        raise ValueError("is bad")
    if run == bad and way == "exit":
        os._exit(1)
    fold, norm, number = run
    return {"fold": fold, "norm": norm, "run": number, "pid": os.getpid(), "score": 0.5, "valid_loss": 1.0}


def run_in_pipe(arguments, samples, writer, err):
    "Run a command with a file as standard input, a pipe as standard output, and a file as standard error."
    from fastaudio_norm.cli.main import main

    with open(samples, "rb") as stdin, open(err, "wb") as stderr:
        for number, file in enumerate((stdin, writer, stderr)):
            os.dup2(file.fileno(), number)
    writer.close()
    sys.stdin = open(0)  # multiprocessing has closed it
    main(arguments)
