"""Code blocks and commands in the documentation work as written."""

import base64
import io
import json
import re
import shlex
import shutil
import sys
import warnings

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
import quick_python
import soundfile
import torch
from PIL import Image
from support import ROOT, run

from fastaudio_norm.audio import make_spec
from fastaudio_norm.cli.main import main
from fastaudio_norm.comparison import summarize_conditions
from fastaudio_norm.data import make_clips
from fastaudio_norm.transforms import SpecNormalize

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "nbs").rglob("*.md"), *(ROOT / "nbs").rglob("*.ipynb")]

# Commands that this file does not run: they prepare the environment, run in other tests, or belong to a release.
ELSEWHERE = {
    "pip install uv",
    "uv run pytest",
    "pip install .",
    "pip install --no-deps fastaudio==1.0.2",
    "uv run docs/run_notebooks.py nbs/stats/plots.ipynb",  # test_notebooks_are_run_with_sharp_figures
    "uv run nbdev-export",  # test_project.py
    "uv run nbdev-clean",
    "fastaudio-norm app sounds.safetensors",  # serve/test_app_page.py, with Gradio
    "uv build",  # test_packaging.py builds both archives; twine is not tested
    "uvx twine check --strict dist/*",
    "tar tf dist/*.tar.gz",
    "unzip -l dist/*.whl",
    "uv venv",
    "uv pip install CLONE/dist/*.whl",
    "uv pip install --no-deps fastaudio==1.0.2",
}
SHORTER = {  # replacements that make the tests fast: less training, same code
    "learn.fit_one_cycle(20)": "learn.fit_one_cycle(1)",
    "fastaudio-norm compare": "fastaudio-norm compare --epochs 1 --folds 1 --norms channel",
    "fastaudio-norm train": "fastaudio-norm train --epochs 1",
}


def blocks(document):
    "Language and text of each fenced code block in a document; in a notebook, those of the Markdown cells."
    text = document.read_text(encoding="utf-8")
    if document.suffix == ".ipynb":
        text = "\n\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.M | re.S)


def commands(text):
    "Commands of a shell block, one by one, without comments."
    for line in text.splitlines():
        for command in re.sub(r"\s+#.*", "", line.strip()).split(" && "):
            yield re.sub(r"^(uv run |\.venv/bin/)(?=fastaudio-norm)", "", command)  # it is on the tests' PATH


def shorter(text):
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


def run_as_typed(command, folder):
    "Run a command; this package's own commands run in this process, which has imported everything."
    command, expected = shorter(command), (0, 1) if "drift" in command else (0,)  # status 1 is an alarm
    program, *arguments = shlex.split(command)
    if program != "fastaudio-norm":
        quick = f'PATH="{quick_python.start().parent}:$PATH"'  # torchrun starts fastaudio-norm twice
        run("bash", "-c", f"{quick}; {command}", cwd=folder, statuses=expected)
        return
    try:
        main(arguments)
    except SystemExit as e:
        assert (e.code or 0) in expected, command
    plt.close("all")


@pytest.fixture(scope="module")
def hundred_clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("hundred"), per_fold=2, seconds=0.5)


@pytest.fixture
def folder(hundred_clips, tmp_path, monkeypatch):
    """Files that the documentation refers to: clips in `my/folder`, incoming audio, and two single files.

    `compare` synthesizes fewer and shorter clips than usual.
    """

    def make_few(path, seconds, seed):
        return make_clips(path, per_fold=1, seconds=seconds / 2, seed=seed)

    monkeypatch.setattr("fastaudio_norm.data.make_clips", make_few)
    clips = shutil.copytree(hundred_clips, tmp_path / "my" / "folder")
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


def test_readme_runs_from_top_to_bottom(folder):
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
        assert language in ("python", "sh"), f"this code block is not tested:\n{text}"

    fitted = SpecNormalize(axes=(0, 1, 3))  # on the loaders for which `fastaudio-norm stats` has measured
    names["block"].new(batch_tfms=[make_spec("mel"), fitted]).dataloaders(names["df"], bs=10)
    for ours, theirs in ((names["norm"].mean, fitted.mean), (names["norm"].std, fitted.std)):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if d.name != "README.md" and blocks(d)], ids=lambda d: d.name
)
def test_commands_of_other_documents_run(document, folder):
    "Python code belongs into notebook cells, which test_project.py runs."
    for language, text in blocks(document):
        assert language == "sh", text
        for command in set(commands(text)) - ELSEWHERE:
            run_as_typed(command, folder)


def test_notebooks_are_run_with_sharp_figures(tmp_path):
    file, cell = tmp_path / "figures.ipynb", nbformat.v4.new_code_cell
    line = cell("import matplotlib.pyplot as plt\nplt.figure(figsize=(3, 2)).subplots().plot([1, 3]);")
    noise = cell("import numpy as np\nplt.figure(figsize=(3, 2)).subplots().imshow(np.random.rand(99, 99));")
    text = cell("import sys\nprint('shown')\nprint('not kept', file=sys.stderr)")
    nbformat.write(nbformat.v4.new_notebook(cells=[line, noise, text]), file)
    run(sys.executable, "docs/run_notebooks.py", str(tmp_path))
    line, noise, text = nbformat.read(file, 4).cells
    assert "image/svg+xml" in line.outputs[-1].data and "image/png" not in line.outputs[-1].data
    [image] = [output for output in noise.outputs if "image/png" in output.get("data", {})]
    pixels = Image.open(io.BytesIO(base64.b64decode(image.data["image/png"]))).size
    assert pixels[0] // 2 == image.metadata["image/png"]["width"] and "image/svg+xml" not in image.data
    assert [output.text for output in text.outputs] == ["shown\n"]


def test_the_readmes_table_is_that_of_the_published_rows():
    rows = pd.read_json(ROOT / "nbs" / "results" / "esc10-conditions.jsonl.gz", lines=True)
    table = summarize_conditions(rows).set_index(["norm", "condition"])
    columns = ["unchanged", "gain:-20", "telephone", "hum:0", "noise:10", "clicks:0", "mean of changes"]
    lines = re.findall(r"^\| `?([\w+-]+)`?(?:: [^|]+)? \|((?: [\d.]+ \|){7}) (.*)\|$", README, re.M)
    assert [name for name, *_ in lines] == ["none", "channel", "wave+channel", "local-channel", "relaxed", "pcen"]
    for norm, cells, difference in lines:
        assert [float(cell) for cell in cells.split("|")[:-1]] == [round(table.score[norm, c], 1) for c in columns]
        mean = table.loc[(norm, "mean of changes")]
        if norm != "none":
            numbers = f"{mean.difference:.1f} ± {mean['difference margin']:.1f}"
            assert difference.strip() == (f"**{numbers}**" if mean.p < 0.05 and mean.difference > 0 else numbers)
    text = " ".join(README.split())
    pcen, local = (table.loc[(norm, "mean of changes")] for norm in ("pcen", "local-channel"))
    assert f"(PCEN) gains {pcen.difference:.1f} ± {pcen['difference margin']:.1f} points over no normalization" in text
    assert f"own statistics gains {local.difference:.1f} ± {local['difference margin']:.1f}" in text
