"""Every public name has one task and an example in the reference, and the example defines all names that it uses."""

import ast
import builtins
import json
import re
import symtable

import examples
import matplotlib.pyplot as plt
import pytest
import reference
from public import TASKS, public_names, tasks
from support import ROOT

NAMES = re.findall(r"^    (\w+),  # ", (ROOT / "fastaudio_norm" / "all.py").read_text(), re.M)
SLOW = re.compile("make_clips|cached_clips|inspect_clips|download|densenet")  # training, many files, a large network


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)


def imported(code):
    "Names that the imports of a program define; the imports must succeed."
    names = set()
    for node in ast.parse(code).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            exec(ast.unparse(node), found := {})
            names |= set(found)
    return names


def names_used_and_assigned(code):
    table = symtable.symtable(code, "example", "exec")
    tables = [table]
    for inner in tables:
        tables += inner.get_children()
    used = {
        s.get_name() for t in tables for s in t.get_symbols() if s.is_referenced() and (t is table or s.is_global())
    }
    return used, {s.get_name() for s in table.get_symbols() if s.is_assigned()}


def test_each_public_name_has_one_task():
    assert sorted(NAMES) == sorted(public_names()), "write the task beside each name in all.py: `name,  # task`"
    assert tuple(tasks()) == TASKS, "the tasks in all.py are those of docs/public.py"
    assert sorted(name for names in tasks().values() for name in names) == sorted(set(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_has_a_complete_example(name, monkeypatch):
    found = examples.example(name, public_names()[name])
    assert found, f"no notebook has a short example of {name}: add one to the notebook that defines it"
    used, assigned = names_used_and_assigned(found.code)
    assert name in used
    assert not used - assigned - imported(found.code) - set(vars(builtins)), found.code
    if not SLOW.search(found.code):
        monkeypatch.chdir(found.notebook.parent)
        exec(compile(found.code, name, "exec"), {"__name__": "example"})
        plt.close("all")


@pytest.mark.parametrize("name", NAMES)
def test_the_notes_link_to_the_source_and_to_all_names_of_the_task(name):
    module = public_names()[name]
    text = reference.notes(name, module)
    [group] = [names for names in tasks().values() if name in names]
    assert {other for other in group if f"[`{other}`]" in text} == set(group) - {name}
    assert f"(../{reference.notebook_of(module).as_posix()}#" in text and "**Example**" in text


def test_an_example_has_the_statements_that_it_depends_on_and_no_others(tmp_path, monkeypatch):
    (tmp_path / "fastaudio_norm").symlink_to(ROOT / "fastaudio_norm")
    (tmp_path / "nbs").mkdir()
    monkeypatch.chdir(tmp_path)
    sources = [
        "import math\nfrom pathlib import Path\nfolder = Path('a')\nx, y = [3], [4]\nprint(x)\nfile = folder / 'b'",
        "for part in [x]:\n    part.append(5)\nx = [*x]\ny.append(6)\nfile.write_text('c')",
        "#| export\ndef distance(x):\n    return math.dist(x, [0, 0])",
        "z = round(distance(x))\nw = y\nprint(z, Path(folder))\ntest_fail(lambda: distance(1))",
        "#| hide\nz = distance(x)",
    ]
    cells = [{"cell_type": "code", "source": source, "outputs": []} for source in sources]
    path = examples.Path("nbs", "one.ipynb")
    path.write_text(json.dumps({"cells": cells}))
    code = examples.compose("distance", path, examples.cells(path)[3]).code
    assert code.splitlines() == [
        "from pathlib import Path",
        "from fastaudio_norm.one import distance",
        "",
        "folder = Path('a')",
        "x, y = [3], [4]",
        "file = folder / 'b'",
        "for part in [x]:",
        "    part.append(5)",
        "x = [*x]",
        "file.write_text('c')",
        "z = round(distance(x))",
        "print(z, Path(folder))",
    ]
    assert [cell.is_shown for cell in examples.cells(path)] == [True, True, False, True, False]
