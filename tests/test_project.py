"""The notebooks run, and the package is what they export."""

import re
import shutil

import pytest
from fastcore.nbio import nb2dict, read_nb
from nbdev.clean import clean_nb
from support import NOTEBOOKS, ROOT, run


def test_notebooks_run_from_top_to_bottom():
    out = run("nbdev-test", "--n-workers", "2", "--timing")
    seconds = dict(re.findall(r"(\S+\.ipynb): (\d+) secs", out))
    assert sorted(seconds) == sorted(notebook.name for notebook in NOTEBOOKS)


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
    assert "SpecNormalize" in (tmp_path / "site" / "reference" / "transforms.html").read_text()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_notebooks_are_clean(notebook):
    nb = read_nb(notebook)
    before = str(nb2dict(nb))
    clean_nb(nb)
    assert str(nb2dict(nb)) == before, "run nbdev-clean"
