"""Work for processes. Spawned processes import it by name, which they cannot do with a test module."""

import os
import signal
import time


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
