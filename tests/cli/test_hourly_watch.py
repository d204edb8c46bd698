"""The script that runs `fastaudio-norm drift` every hour, and its systemd units, as the page shows them."""

import ast
import configparser
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import soundfile
from support import NOTEBOOKS

from fastaudio_norm.audio import telephone_band
from fastaudio_norm.measure import measure

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("sh", "flock", "curl"))), reason="the script needs sh, flock and curl"
)
[PAGE] = [path for path in NOTEBOOKS if path.parts[-2:] == ("cli", "drift.ipynb")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    "Folder with the files that the page writes."
    folder = tmp_path_factory.mktemp("installed")
    for cell in json.loads(PAGE.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and re.match(r'\(work / "[\w.-]+"\)\.write_text\(', source):
            for statement in ast.parse(source).body:  # (work / NAME).write_text(TEXT)
                name, text = statement.value.func.value.right.value, statement.value.args[0].value
                (folder / name).write_text(text)
    assert {"watch.sh", "sound-drift.service", "sound-drift.timer"} <= {path.name for path in folder.iterdir()}
    return folder


@pytest.fixture(scope="module")
def halves(sounds, tmp_path_factory):
    "The halves of the forty recorded clips, in a folder."
    folder = tmp_path_factory.mktemp("halves")
    for file in sorted((sounds / "audio").iterdir()):
        samples, rate = soundfile.read(file)
        for i, half in enumerate((samples[: len(samples) // 2], samples[len(samples) // 2 :])):
            soundfile.write(folder / f"{i}-{file.stem}.wav", half, rate, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def stats(halves, tmp_path_factory):
    file = tmp_path_factory.mktemp("stats") / "stats.json"
    measure(halves).save(file)
    return file


@pytest.fixture
def service(stats, tmp_path):
    "Folder with statistics of the recorded halves, and a folder in which clips arrive."
    shutil.copy(stats, tmp_path)
    (tmp_path / "clips").mkdir()
    return tmp_path


@pytest.fixture
def hour(installed, service):
    "Function that runs the script, and returns its status and what it prints."

    def run(path=(), folder="clips", **env):
        folders = [*map(str, path), str(Path(sys.executable).parent), os.environ["PATH"]]
        env = {**os.environ, "PATH": os.pathsep.join(folders), **env}
        command = ["sh", installed / "watch.sh", "stats.json", folder, "watch"]
        done = subprocess.run(command, cwd=service, env=env, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_script_is_quiet_without_drift_and_sends_mail_with_it(service, halves, hour):
    files = sorted(halves.iterdir())
    for file in files[:20]:
        shutil.copy(file, service / "clips")
    assert hour() == (0, "")
    for file in files[20:60]:
        samples, rate = soundfile.read(file)
        soundfile.write(service / "clips" / f"phone-{file.name}", telephone_band(samples, rate), rate, subtype="FLOAT")
    program = service / "bin" / "mail"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > sent; cat >> sent\n')
    program.chmod(0o755)
    assert hour([program.parent], MAIL_TO="ops@example.org") == (0, "")
    sent = (service / "sent").read_text()
    assert sent.startswith("-s\nDrift in clips\nops@example.org\n40 clips: ") and "Alarms at clip" in sent
    assert json.loads((service / "watch" / "watch.json").read_text())["content"]["watch"]["clips"] == 60


def test_a_failure_is_posted_to_a_webhook(service, hour):
    received = []

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        status, printed = hour(folder="gone", WEBHOOK=f"http://127.0.0.1:{server.server_port}")
    assert (status, printed) == (0, "")
    [message] = received
    assert message["text"].startswith("The watch of gone failed with status 2\nfastaudio-norm: No such folder: gone")


def test_two_runs_at_the_same_time_are_prevented(service, hour):
    with subprocess.Popen(["flock", "watch.lock", "sleep", "60"], cwd=service) as lock:
        while subprocess.run(["flock", "--nonblock", "watch.lock", "true"], cwd=service).returncode == 0:
            pass
        assert hour() == (0, "The watch of clips is still running since the last time\n\n")
        lock.kill()


def test_units_are_valid(installed, tmp_path):
    units = [installed / "sound-drift.service", installed / "sound-drift.timer"]
    parsed = [configparser.ConfigParser(interpolation=None, strict=False) for _ in units]
    for parser, unit in zip(parsed, units):
        parser.optionxform = str
        parser.read(unit)
    assert parsed[0]["Service"]["Type"] == "oneshot" and parsed[1]["Timer"]["OnCalendar"] == "hourly"
    assert parsed[1]["Install"]["WantedBy"] == "timers.target"
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed: units were parsed only")
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    own = [line for line in done.stderr.splitlines() if "sound-drift" in line]
    assert done.returncode == 0 and not own, done.stderr
