"""A server that starts Python programs quickly: each is forked from a process that has imported large libraries.

`start` returns a program that takes the arguments of Python's interpreter. A new interpreter would need seconds for the
imports of fastai. Forked programs still import fastai, torchaudio, fastaudio and this package themselves.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

LIBRARIES = "torch torchvision pandas matplotlib.pyplot scipy.stats sklearn.metrics IPython numba".split()
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    arguments = {arguments!r} + sys.argv[1:]
    socket.send_fds(server, [json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
    sys.exit(int(server.recv(16)))
"""
COMMAND = "from fastaudio_norm.cli.main import main; main()"


@cache
def start():
    """Path of a program `python`; its folder also contains the command `fastaudio-norm`.

    On other systems than Linux, this is Python's interpreter itself.
    """
    if sys.platform != "linux":
        return Path(sys.executable)
    folder = Path(tempfile.mkdtemp(prefix="quick-python-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = str(folder / "socket")
    for name, arguments in {"python": [], "fastaudio-norm": ["-c", COMMAND]}.items():
        (folder / name).write_text(CLIENT.format(python=sys.executable, address=address, arguments=arguments))
        (folder / name).chmod(0o755)
    server = subprocess.Popen([sys.executable, "-W", "ignore", __file__, address], stdin=subprocess.PIPE)
    while not Path(address).exists():
        assert server.poll() is None, "the server of quick programs has ended"
        time.sleep(0.05)
    return folder / "python"


def run_program(arguments):
    "Do what `python ARGUMENT…` does. Returns the exit status."
    try:
        while arguments[0] == "-W":
            warnings.filterwarnings(arguments[1])
            arguments = arguments[2:]
        if arguments[0] == "-c":
            sys.argv, sys.path[0] = ["-c", *arguments[2:]], ""
            exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).parent)
            runpy.run_path(arguments[0], run_name="__main__")
        status = 0
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
        if isinstance(e.code, str):
            print(e.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def answer(client):
    "Run a client's program in a child of this process, and send its exit status."
    message, descriptors, _, _ = socket.recv_fds(client, 2**20, 3)
    arguments, folder, env = json.loads(message)
    child = os.fork()
    if not child:
        client.close()
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        os._exit(run_program(arguments))
    _, status = os.waitpid(child, 0)
    client.send(str(os.waitstatus_to_exitcode(status) % 256).encode())


def serve(address):
    "Answer clients until standard input is closed, that is, until the process that started this one has ended."
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # excludes the libraries from garbage collection, as in conftest.py
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{address}.part")
        listener.listen()
        os.rename(f"{address}.part", address)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            with suppress(ChildProcessError):  # raised if there is no child
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            client, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                answer(client)
                os._exit(0)
            client.close()


if __name__ == "__main__":
    serve(sys.argv[1])
