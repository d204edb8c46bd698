"""The source archive can build the wheel, and the wheel contains the package, its license and nothing else."""

import re
import shutil
import sys
import tarfile
import zipfile

import pytest
import yaml
from support import ROOT, run


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    "Folder with the unpacked source archive, and the wheel built in it, for an example address."
    folder = tmp_path_factory.mktemp("published")
    skipped = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "fastaudio-norm-results")
    shutil.copytree(ROOT, copy := folder / "copy", ignore=skipped)
    settings = (copy / "settings.ini").read_text()
    (copy / "settings.ini").write_text(re.sub(r"(?m)^git_url =.*", "git_url = https://host.example/who/what", settings))
    code = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])('..')"
    run(sys.executable, "-c", code, "build_sdist", cwd=copy)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source = next(path for path in folder.iterdir() if path.name.startswith("fastaudio_norm-") and path.is_dir())
    run(sys.executable, "-c", code, "build_wheel", cwd=source)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        yield source, wheel


def files(folder, pattern="*.*"):
    paths = [path.relative_to(folder) for path in folder.rglob(pattern)]
    return {path.as_posix() for path in paths if not any(part.startswith((".", "__p")) for part in path.parts)}


def test_source_archive_contains_notebooks_and_tests(published):
    source, _ = published
    for name in ("docs", "nbs", "tests"):
        assert files(source / name) == files(ROOT / name), "MANIFEST.in lists the kinds of files that are published"
    assert not {"bench", "uv.lock", ".ci", ".gitignore"} & {path.name for path in source.iterdir()}


def test_wheel_contains_the_package_and_its_license(published):
    names = set(published[1].namelist())
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fastaudio_norm").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == package
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_page_on_pypi_has_no_relative_links(published):
    _, wheel = published
    metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))).decode()
    readme = (ROOT / "README.md").read_text()
    links = re.findall(r"(!?)\[[^]]*\]\(([^)]*)\)", metadata)
    assert len(links) == len(re.findall(r"\]\(", readme)) > 5
    for picture, link in links:
        assert link.startswith("https://"), link
        if "host.example" in link:
            kind, path = re.fullmatch(r"https://host\.example/who/what/(blob|raw)/v[\d.]+/(.*)", link).groups()
            assert (ROOT / path).is_file() and (kind == "raw") == bool(picture), link
    assert "Project-URL: Repository, https://host.example/who/what\n" in metadata


def test_the_citation_and_the_workflow_name_the_version_and_the_supported_pythons():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    setting = re.search(r"(?m)^version = (.+)$", (ROOT / "settings.ini").read_text())
    assert citation["version"] == setting[1] and citation["license"] == "Apache-2.0"
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    versions = {entry["python"] for entry in workflow["jobs"]["test"]["strategy"]["matrix"]["include"]}
    classifiers = re.findall(r"Python :: (3\.\d+)", run(sys.executable, "setup.py", "--classifiers", cwd=ROOT))
    assert versions == set(classifiers)


def test_a_clone_beside_a_script_does_not_hide_the_package(tmp_path):
    "Python searches the folder of a script first: there, a clone looks like a package without `__init__.py`."
    (tmp_path / "fastaudio_norm").mkdir()
    script = tmp_path / "script.py"
    script.write_text("import fastaudio_norm\nprint(fastaudio_norm.__file__)")
    assert run(sys.executable, script, cwd=tmp_path).strip().endswith("__init__.py")
