"""Notebooks run and are clean, modules match their notebooks, and the site builds without warnings."""

import re
import shutil

import pytest
import quick_python
from fastcore.nbio import nb2dict, read_nb
from nbdev.clean import clean_nb
from nbdev.config import get_config
from support import NOTEBOOKS, PROCESSES, ROOT, run, run_notebook

from fastaudio_norm.data import make_clips

SECONDS = 300  # time limit of a notebook
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: str(path.relative_to(ROOT / "nbs")))


@pytest.fixture(scope="module")
def short_clips(tmp_path_factory):
    "Folder of short clips for the tutorials, which otherwise synthesize longer ones."
    return make_clips(tmp_path_factory.mktemp("sounds"), per_fold=1, seconds=0.5)


@each_notebook
def test_notebook_runs_from_top_to_bottom(notebook, short_clips, tmp_path):
    env = {"SOUNDS": str(short_clips)}
    process = PROCESSES.Process(target=run_notebook, args=(notebook, tmp_path / "log", env, quick_python.start()))
    process.start()
    process.join(SECONDS)
    process.kill()
    process.join()
    assert process.exitcode == 0, f"status {process.exitcode} within {SECONDS} s\n{(tmp_path / 'log').read_text()}"


def test_package_is_what_the_notebooks_export(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__", "*.egg-info"))
    exported = [file for file in (copy / "fastaudio_norm").rglob("*.py") if file.name not in ("__init__.py", "all.py")]
    assert len(exported) > 8
    for file in exported:
        file.unlink()
    run("nbdev-export", cwd=copy)
    for file in exported:
        assert file.read_text() == (ROOT / file.relative_to(copy)).read_text(), (
            f"run nbdev-export for {file.relative_to(copy)}"
        )


def test_site_has_no_broken_link_and_no_name_without_a_docstring(tmp_path):
    run("mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site"))
    site = tmp_path / "site"
    page = (site / "reference" / "transforms.html").read_text()
    assert page.count("<strong>Example</strong>") == page.count("<strong>Source note:</strong>") >= 14
    assert "Normalize waveforms" in (site / "reference" / "index.html").read_text()
    thumbnails = re.findall(r'<img alt="[^"]+" loading="lazy" src="(.+?)"', (site / "gallery.html").read_text())
    assert len(thumbnails) > 40
    assert sum((site / name).stat().st_size for name in thumbnails) < 1.5e6


@each_notebook
def test_notebook_is_clean(notebook):
    nb = read_nb(notebook)
    before = str(nb2dict(nb))
    clean_nb(nb, allowed_out_metadata_keys=get_config().get("allowed_out_metadata_keys"))
    assert str(nb2dict(nb)) == before, "run nbdev-clean"
