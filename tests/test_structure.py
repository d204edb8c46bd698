"""Modules, notebooks and tests keep to the layout and the limits that CONTRIBUTING.md describes."""

import ast
import json
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name

import pytest
from support import NOTEBOOKS, ROOT

PACKAGE = "fastaudio_norm"
ORDER = (
    "names storage pages stats layers compat audio transforms data inspection measure train comparison serve monitor "
    "cli all"
).split()
NAMEDTUPLE = {"_asdict", "_field_defaults", "_fields", "_make", "_replace"}  # public in spite of the underscore
NBS, TESTS = ROOT / "nbs", ROOT / "tests"


def module_name(path):
    "`fastaudio_norm.stats.moments` for its file, `fastaudio_norm.stats` for the package's `__init__.py`."
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(p): p for p in sorted((ROOT / PACKAGE).rglob("*.py")) if p.name != "_modidx.py"}
PACKAGES = sorted(name.split(".")[1] for name, path in FILES.items() if path.stem == "__init__" and "." in name)
PYTHON = [*FILES.values(), *sorted(TESTS.rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]
each_module = pytest.mark.parametrize("module", [name for name in FILES if name != PACKAGE])
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: str(path.relative_to(NBS)))


@cache
def nodes(module):
    return list(ast.walk(ast.parse(FILES[module].read_text())))


@cache
def imports(module):
    "Imports of a module from this package: (module, name), where the name is None for a module as a whole."
    package = module if FILES[module].stem == "__init__" else module.rpartition(".")[0]
    found = []
    for node in nodes(module):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                found.append((inner, None) if inner in FILES else (source, alias.name))
    return [(source, name) for source, name in found if source.split(".")[0] == PACKAGE]


def layer(module):
    "Position of a module's package in the order of imports."
    return ORDER.index(module.split(".")[1])


@cache
def private_attributes(module):
    "Names that begin with one underscore: those defined in a module, and those read or set on any object there."
    defined, used = set(), set()
    for node in nodes(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
            if (
                isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id in ("self", "cls")
            ):
                defined.add(node.attr)
    return tuple({name for name in names if re.match("_[^_]", name)} - NAMEDTUPLE for names in (defined, used))


@cache
def reachable(module):
    "Modules that a module imports, directly or through others."
    found, todo = set(), [module]
    while todo:
        sources = {source for source, _ in imports(todo.pop())} - found
        found |= sources
        todo += sources
    return found


def patched_classes(module):
    "Classes that the module adds methods to with `@patch`."
    for node in nodes(module):
        if isinstance(node, ast.FunctionDef) and any(
            ast.unparse(d).split("(")[0] == "patch" for d in node.decorator_list
        ):
            yield ast.unparse(node.args.args[0].annotation)


def code_cells(notebook):
    "Numbers and sources of the code cells of a notebook."
    cells = json.loads(notebook.read_text())["cells"]
    return {i: "".join(cell["source"]) for i, cell in enumerate(cells) if cell["cell_type"] == "code"}


def is_exported(source):
    return re.search(r"^#\| *export", source, re.M)


def module_file(notebook):
    return ROOT / PACKAGE / notebook.relative_to(NBS).with_suffix(".py")


def test_every_package_has_a_place_in_the_order():
    assert {name.split(".")[1] for name in FILES if name != PACKAGE} == set(ORDER)


@each_module
def test_imports_point_downwards(module):
    upwards = [source for source, _ in imports(module) if source != PACKAGE and layer(source) > layer(module)]
    assert not upwards, f"{module} may only import from packages before it in {ORDER}"
    assert PACKAGE not in [source for source, _ in imports(module)], f"{module} imports the package as a whole"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circular_imports_in_a_package(package):
    "A module that imports from its own package's `__init__` is a circle too: it must name the other module."
    modules = [module for module in FILES if module.split(".")[1:2] == [package]]
    try:
        TopologicalSorter({m: {source for source, _ in imports(m)} for m in modules}).prepare()
    except CycleError as e:
        pytest.fail(" -> ".join(reversed(e.args[1])))


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_is_imported(path):
    "The same holds for tests and benchmarks: they use what every user of a module can use."
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    own = [node for node in found if node.level or node.module.split(".")[0] == PACKAGE]
    assert not [alias.name for node in own for alias in node.names if alias.name.startswith("_")]


@each_module
def test_no_private_attribute_of_another_module_is_used(module):
    "Exception: methods that `@patch` adds to a class of the same package may use what the class's module defines."
    origins = {name: source for source, name in imports(module)}
    patched = {origins[cls] for cls in patched_classes(module) if cls in origins}
    own = {module} | {source for source in patched if layer(source) == layer(module)}
    defined_here = set().union(*(private_attributes(m)[0] for m in own))
    defined_elsewhere = set().union(*(private_attributes(m)[0] for m in reachable(module) - own))
    assert not sorted(private_attributes(module)[1] & defined_elsewhere - defined_here)


@each_module
def test_modules_have_at_most_300_lines(module):
    assert len(FILES[module].read_text().splitlines()) <= 300


@each_notebook
def test_exported_cells_have_at_most_60_lines(notebook):
    sizes = {
        i: len(re.sub(r"^#\|.*\n?", "", s, flags=re.M).splitlines())
        for i, s in code_cells(notebook).items()
        if is_exported(s)
    }
    assert not {i: size for i, size in sizes.items() if size > 60}, "lines of exported cells, by number of the cell"


@each_notebook
def test_lines_of_code_have_at_most_120_characters(notebook):
    lines = [line for source in code_cells(notebook).values() for line in source.splitlines()]
    assert not [line for line in lines if len(line) > 120 and not line.startswith("#| fig-alt:")]  # one line by format


@each_notebook
def test_outputs_contain_no_warnings_of_installed_packages(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    texts = ["".join(out.get("text", "")) for cell in cells for out in cell.get("outputs", [])]
    assert not [text for text in texts if "site-packages" in text], "remove the output or silence the warning"


@each_notebook
def test_the_boilerplate_cell_is_hidden(notebook):
    boilerplate = [s for s in code_cells(notebook).values() if re.search(rf"^import {PACKAGE} *#", s, re.M)]
    assert all(re.search(r"^#\| *hide *$", source, re.M) for source in boilerplate)


@each_notebook
def test_notebooks_export_to_the_module_of_the_same_path(notebook):
    source = "\n".join(code_cells(notebook).values())
    if re.search(r"^#\| *export", source, re.M):
        [name] = re.findall(r"^#\| *default_exp +(\S+)", source, re.M)
        assert ROOT.joinpath(PACKAGE, *name.split(".")).with_suffix(".py") == module_file(notebook)
        assert module_file(notebook).is_file(), "run nbdev-export"


@each_module
def test_modules_are_exported_from_a_notebook(module):
    path = FILES[module].relative_to(ROOT / PACKAGE)
    by_hand = path.stem in ("__init__", "all")
    assert by_hand or (NBS / path).with_suffix(".ipynb").is_file(), "its notebook is gone: remove the module"


def test_folders_of_tests_mirror_packages():
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert folders == set(PACKAGES)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_files_of_tests_have_unique_names(path):
    assert [other for other in TESTS.rglob(path.name)] == [path]
