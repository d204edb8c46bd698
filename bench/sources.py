"""Throughput of `measure` on one set of clips as a folder, as WebDataset shards and in `memory://`, and after kills.

    uv run bench/sources.py [--clips 20000] [--rounds 3] [--kills 3]

Runs on synthetic clips of half a second. In each round, every source is measured once, in a new process. Then each
source is measured again while the process is killed (SIGKILL) at random moments and started again. Clips in `memory://`
are lost with the process: the next one reads them from the folder again before it resumes. Exits with status 1 if a
file of statistics differs from that of the undisturbed folder.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import webdataset
from tqdm import tqdm

PROGRAM = """
import sys, time
from pathlib import Path
import fsspec
from fastaudio_norm.measure import checkpoint, measure
checkpoint.SAVE_INTERVAL = 1.0
source, folder, out = sys.argv[1:]
if source.startswith("memory:"):
    for file in Path(folder).iterdir():
        fsspec.filesystem("memory").pipe(f"/clips/{file.name}", file.read_bytes())
began = time.perf_counter()
recorder = measure(source, checkpoint=f"{out}.part")
print(time.perf_counter() - began)
recorder.save(out)
"""
SR = 16000  # Hz


def write_clips(folder, shards, clips):
    "Write clips of noise as files, and the same files in shards of 1,000. Returns the pattern of the shards."
    rng = np.random.default_rng(0)
    folder.mkdir()
    with webdataset.ShardWriter(f"{shards}-%03d.tar", maxcount=1000, verbose=0) as writer:
        for i in tqdm(range(clips), "Writing clips", unit="clip", leave=False):
            file = folder / f"{i:06}.wav"
            soundfile.write(file, rng.normal(0, 10 ** rng.uniform(-3, -1), SR // 2), SR)
            writer.write({"__key__": file.stem, "wav": file.read_bytes()})
    return f"{shards}-{{000..{(clips - 1) // 1000:03}}}.tar"


def start(source, folder, out):
    command = [sys.executable, "-c", PROGRAM, source, str(folder), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(process):
    "Wait for the end. Returns the seconds that the measurement took."
    printed = process.communicate()[0]
    if process.returncode:
        sys.exit(f"A measurement ended with status {process.returncode}")
    return float(printed)


def saved_clips(checkpoint):
    return json.loads(checkpoint.read_text())["content"]["done"] if checkpoint.exists() else 0


def kill_and_resume(source, folder, out, clips, kills):
    "Kill the measurement when random numbers of clips are saved, and finish it. Returns these numbers."
    checkpoint, numbers, rng = Path(f"{out}.part"), [], random.Random(0)
    for goal in sorted(rng.uniform(0.05, 0.8) * clips for _ in range(kills)):
        process = start(source, folder, out)
        while saved_clips(checkpoint) < goal:
            if process.poll() is not None:
                sys.exit(f"The measurement of {source} ended before it could be killed: use more --clips")
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        numbers.append(saved_clips(checkpoint))
    finish(start(source, folder, out))
    return numbers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20_000, help="number of clips (default: 20000)")
    parser.add_argument("--rounds", type=int, default=3, help="undisturbed measurements of each source (default: 3)")
    parser.add_argument("--kills", type=int, default=3, help="how many times to kill each measurement (default: 3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as path:
        path, same = Path(path), True
        folder = path / "clips"
        sources = {"folder": str(folder), "shards": write_clips(folder, path / "shard", args.clips)}
        sources["memory://"] = "memory://clips"
        seconds = {name: [] for name in sources}
        for i in range(args.rounds):
            for name, source in sources.items():
                out = path / f"{name[:6]}-{i}.json"
                seconds[name].append(finish(start(source, folder, out)))
                Path(f"{out}.part").unlink(missing_ok=True)
        expected = (path / "folder-0.json").read_bytes()
        print(f"{args.clips:,} clips of 0.5 s, {os.cpu_count()} cores, {args.rounds} rounds\n")
        print("| source | clips/s, median (lowest to highest) | clips saved at each kill | file after the kills |")
        print("| --- | --- | --- | --- |")
        for name, source in sources.items():
            rates = sorted(args.clips / s for s in seconds[name])
            numbers = kill_and_resume(source, folder, path / f"{name[:6]}-killed.json", args.clips, args.kills)
            equal = {file.read_bytes() == expected for file in path.glob(f"{name[:6]}-*.json")} == {True}
            same &= equal
            speed = f"{statistics.median(rates):,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})"
            killed = ", ".join(f"{n:,}" for n in numbers)
            print(f"| {name} | {speed} | {killed} | {'identical' if equal else 'different'} |", flush=True)
        sys.exit(not same)


if __name__ == "__main__":
    main()
