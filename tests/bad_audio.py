"""Audio files as people have them, usable and unusable, for tests."""

import os

import numpy as np
import soundfile

SR = 16000


def make_bad_audio(folder):
    "Write files of all kinds; return a pattern of the expected reason by file name, None for usable files."
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, SR)
    expected = {}

    def write(name, samples=x, sr=SR, bad=None, **how):
        soundfile.write(folder / name, samples, sr, **how)
        expected[name] = bad

    def put(name, content, bad=None):
        (folder / name).write_bytes(content)
        expected[name] = bad

    def part(name, share):
        content = (folder / name).read_bytes()
        return content[: int(share * len(content))]

    for kind, how in {
        "rf64": {"format": "RF64"}, "8 bit": {"subtype": "PCM_U8"}, "24 bit": {"subtype": "PCM_24"},
        "float": {"subtype": "FLOAT"}, "A-law": {"subtype": "ALAW"}, "mu-law": {"subtype": "ULAW"},
    }.items():  # fmt: skip
        write(f"{kind}.wav", **how)
    for kind, samples in {
        "zeros": 0 * x,
        "DC": 0 * x + 0.5,
        "square": np.sign(x),
        "eight": np.stack([x] * 8, 1),
    }.items():
        write(f"{kind}.wav", samples)
    for sr in (1000, 8000, 192000):
        write(f"{sr} Hz.wav", np.resize(x, sr), sr)
    for extension in ("wav", "flac", "ogg", "mp3"):
        write(f"good.{extension}", np.resize(x, 20 * SR) if extension == "ogg" else x)
    for name in ("grüße 鳥", "two\nlines", "x" * 251, "a  b"):
        put(f"{name}.wav", part("good.wav", 1))
    odd = os.fsdecode(b"latin \xfc.wav")  # not valid UTF-8
    put(odd, part("good.wav", 1))
    header = part("good.wav", 1)[:40]
    put("from a pipe.wav", header + b"\xff" * 4 + part("good.wav", 1)[44:])
    put("garbage first.mp3", bytes(rng.integers(0, 256, 3000, dtype=np.uint8)) + part("good.mp3", 1))

    put("empty.wav", b"", "^is empty$")
    put("header only.wav", part("good.wav", 1)[:44], "^contains no samples$")
    for name in ("good.wav", "rf64.wav", "good.flac", "good.ogg", "good.mp3"):
        put(f"cut {name}", part(name, 0.5), "^truncated: |^cannot be decoded after ")
    put("text.wav", b"Dear diary\n" * 100, "^not readable as audio: ")
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    os.symlink("loop.wav", folder / "loop.wav")
    os.symlink("nowhere.wav", folder / "nowhere else.wav")
    put("forbidden.wav", part("good.wav", 1), "Permission denied")
    (folder / "forbidden.wav").chmod(0)
    expected |= {"folder.wav": "^is a folder", "pipe.wav": "^is a pipe", "loop.wav": "levels of symbolic links"}
    expected["nowhere else.wav"] = "No such file"
    for kind, value in {"NaN": np.nan, "infinite": np.inf, "huge": 1e30, "minus huge": -1e30}.items():
        write(f"{kind}.wav", np.append(x, value), bad="^NaN or infinite|^sample of magnitude 1e.30", subtype="FLOAT")
    write("one sample.wav", x[:1], bad="1 samples?.*too few")
    return expected
