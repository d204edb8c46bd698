"""What the documents tell people to type works as it stands there."""

import json
import re
import warnings

import matplotlib.pyplot as plt
import pytest
import soundfile
from support import ROOT, run

from fastaudio_norm.data.synthetic import make_clips

DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "nbs").rglob("*.md"), *(ROOT / "nbs").rglob("*.ipynb")]

# Commands that no test here runs: they set up what tests run in, or are run by another test, or at a release by hand.
ELSEWHERE = {
    "pip install uv",
    "uv run pytest",
    "pip install .",
    "pip install --no-deps fastaudio==1.0.2",
    "uv run nbdev-export",  # test_project.py
    "uv run nbdev-clean",
    "uv build",  # test_packaging.py, but for twine
    "uvx twine check --strict dist/*",
    "tar tf dist/*.tar.gz",
    "unzip -l dist/*.whl",
    "uv venv",
    "uv pip install CLONE/dist/*.whl",
    "uv pip install --no-deps fastaudio==1.0.2",
}
SHORTER = {  # so that a test is soon done; what is left out is how much, not how
    "learn.fit_one_cycle(20)": "learn.fit_one_cycle(1)",
    "fastaudio-norm compare": "fastaudio-norm compare --epochs 1 --folds 1 --norms channel",
}


def blocks(document):
    "The language and the text of each code block; of a notebook, in what is not code."
    text = document.read_text(encoding="utf-8")
    if document.suffix == ".ipynb":
        text = "\n\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.M | re.S)


def commands(text):
    "Commands of a block for the shell, one by one, without the comments behind them."
    for line in text.splitlines():
        for command in re.sub(r"\s+#.*", "", line.strip()).split(" && "):
            yield re.sub(r"^(uv run |\.venv/bin/)(?=fastaudio-norm)", "", command)  # where the tests run, it is there


def shorter(text):
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


def run_as_typed(command, folder):
    run("bash", "-c", shorter(command), cwd=folder, statuses=(0, 1) if "drift" in command else (0,))  # 1: an alarm


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "What a reader has: clips in `my/folder`, and some that have arrived."
    clips = make_clips(tmp_path / "my" / "folder", per_fold=2, seconds=0.5)
    arrived = tmp_path / "what" / "arrived"
    arrived.mkdir(parents=True)
    files = sorted((clips / "audio").iterdir())
    for file in files[::5]:
        (arrived / file.name).write_bytes(file.read_bytes())
    samples, rate = soundfile.read(files[0])
    soundfile.write(tmp_path / "some.wav", samples, rate)
    soundfile.write(tmp_path / "other.ogg", samples, rate)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_from_top_to_bottom(folder):
    names = {}
    for language, text in blocks(ROOT / "README.md"):
        if language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(shorter(text), "README.md", "exec"), names)
            plt.close("all")
        for command in commands(text) if language == "sh" else ():
            if command not in ELSEWHERE:
                run_as_typed(command, folder)
        assert language in ("python", "sh"), f"a block of {language or 'no language'}"


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if d.name != "README.md" and blocks(d)], ids=lambda d: d.name
)
def test_other_documents(document, folder):
    "What they show is code of notebooks, which is run, and commands."
    for language, text in blocks(document):
        assert language == "sh", text
        for command in set(commands(text)) - ELSEWHERE:
            run_as_typed(command, folder)
