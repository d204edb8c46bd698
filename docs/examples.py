"""Find an example of each public name: code of a notebook that uses the name, with everything that it depends on.

A cell often uses variables of earlier cells. So an example consists of the statements of a cell that use the name, the
statements before them that define or change what they use, and imports. All notebooks run in the tests.
"""

import ast
import builtins
import json
import re
import symtable
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from outputs import alternative_text
from public import PACKAGE, parse

MOST_LINES = 18  # of an example, with its imports
MOST_NAMES = 5  # imported from `all` one by one; more are imported by a star
GUIDES = ("nbs/howto", "nbs/tutorials")
WITHOUT_EFFECT = (  # on their arguments: calls of these functions
    r"(print|display|([\w.]+\.)?(assert|test)_\w+|(\w+\.)?(plot|show)\w*|plt\.\w+|(ax|axes|fig)\W.*)$"
)


class Statement(NamedTuple):
    text: str
    needs: set  # names that must be defined before
    defines: set
    changes: set  # names of objects that it may change, or change files of
    imports: dict  # import statements by name
    prints: bool


class Cell(NamedTuple):
    number: int  # among all cells of the notebook
    statements: list
    outputs: list
    is_exported: bool
    is_shown: bool  # as code on the site that is not part of the module
    alt: str  # what its figures show


class Example(NamedTuple):
    code: str
    outputs: list  # of the notebook's cell, if the example prints the same
    notebook: Path
    number: int  # of the cell
    alt: str  # what its figure shows


def names_below(node):
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def changed(node):
    "Names of objects that a statement may change: it calls something with them, or assigns parts of them."
    parts, called = list(ast.walk(node)), set()
    for part in parts:
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            if not re.match(WITHOUT_EFFECT, ast.unparse(part.value.func)):
                called |= names_below(part.value)
    for part in parts:  # a variable of a loop is part of what the loop is over
        if isinstance(part, ast.For) and names_below(part.target) & called:
            called |= names_below(part.iter)
        if isinstance(part, ast.Assign) and part is not node and names_below(part.targets[0]) & called:
            called |= names_below(part.value)
    stored = [x for x in parts if isinstance(x, (ast.Attribute, ast.Subscript)) and isinstance(x.ctx, ast.Store)]
    return called.union(*map(names_below, stored))


def folders(statements):
    "Names of paths, each with the names of the folders that they are in: `file = path / name`."
    found = {}
    for one in statements:
        if " / " in one.text and re.match(r"[\w, ]+ = ", one.text):
            found |= {name: one.needs for name in one.defines}
    return found


def names_in(node):
    "Names that a statement needs from the statements before it, and names that it defines for those after it."
    table = symtable.symtable(ast.unparse(node), "cell", "exec")
    tables = [table]
    for inner in tables:
        tables += inner.get_children()
    defines = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}
    needs = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    for inner in tables[1:]:
        needs |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global() and symbol.is_referenced()}
    if not isinstance(node, (ast.Assign, ast.AugAssign)):  # the variable of a loop is defined before its use
        needs -= defines
    return needs - set(vars(builtins)), defines


def statement(node, lines, is_result):
    "Describe a statement at the top level of a cell; `is_result` if the notebook shows its value."
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
    text = "\n".join(lines[first - 1 : node.end_lineno])
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        copies = {alias.asname or alias.name.split(".")[0]: alias for alias in node.names}
        start = f"from {node.module} import" if isinstance(node, ast.ImportFrom) else "import"
        imports = {name: f"{start} {ast.unparse(alias)}" for name, alias in copies.items()}
        return Statement(text, set(), set(imports), set(), imports, False)
    prints = is_result or "print(" in text
    return Statement(text, *names_in(node), set() if is_result else changed(node), {}, prints)


@cache
def cells(path):
    "Code cells of a notebook. Commands of the shell are left out."
    found = []
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            python = re.sub(r"^\s*[!%].*", "", source, flags=re.M)
            nodes = ast.parse(python).body
            has_result = any(out["output_type"] == "execute_result" for out in cell["outputs"])
            lines = python.splitlines()
            statements = [statement(node, lines, has_result and node is nodes[-1]) for node in nodes]
            exported = bool(re.search(r"^#\| *export", source, re.M))
            shown = python == source and not re.search(r"^#\| *(hide|export)", source, re.M)
            found.append(Cell(number, statements, cell["outputs"], exported, shown, alternative_text(source)))
    return found


@cache
def names_of_all():
    "All names that `all.py` imports, also those of fastaudio."
    nodes = [node for node in parse(f"{PACKAGE}.all").body if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in nodes for alias in node.names}


def join_imports(lines):
    "Import statements in the usual order, those from one module joined."
    modules = {}
    for line in lines:
        start, _, name = line.partition(" import ")
        modules.setdefault(start, []).append(name)

    def order(start):
        module = start.split()[1].split(".")[0]
        return module == PACKAGE, module not in sys.stdlib_module_names, start.startswith("from"), start

    joined = []
    for start in sorted(modules, key=order):
        names = sorted(set(modules[start]))
        if start == f"from {PACKAGE}.all" and len(names) > MOST_NAMES or "*" in names:
            names = ["*"]
        joined.append(f"{start} import {', '.join(names)}" if names[0] else start)
    return joined


def spaced(texts):
    "Statements, with an empty line around each function and class."
    code = ""
    for text in texts:
        apart = re.match(r"def |class |@", text)
        code += f"\n{text}\n\n" if apart else f"{text}\n"
    return re.sub(r"\n{3,}", "\n\n", code).strip("\n")


def compose(name, path, target):
    "Example from the cell `target` of a notebook; None if it needs what no user can import."
    module = ".".join([PACKAGE, *path.relative_to("nbs").with_suffix("").parts])
    uses, kept = {name}, []  # the statements that use the name or what they made of it
    for one in target.statements:
        if one.needs & uses and not one.text.startswith("test_fail("):
            kept.append(one)
            uses |= one.defines
    if not any(name in one.needs for one in kept):
        return None
    needs, imports, chosen = set(), set(), []
    before = [cell for cell in cells(path) if cell.number <= target.number]
    statements = [(one, cell.is_exported) for cell in before for one in cell.statements]
    inside = folders(one for one, _ in statements)
    fixed = set().union(*(one.defines for one, is_exported in statements if one.imports or is_exported))
    for one, is_exported in reversed(statements):
        changes = one.changes.union(*(inside.get(name, ()) for name in one.changes))
        changes = changes if "seed(" in one.text else changes - fixed  # of modules, only random generators change
        if one.imports or is_exported:
            for found in needs & one.defines - names_of_all():
                if found.startswith("_"):
                    return None
                imports.add(one.imports.get(found, f"from {module} import {found}"))
                needs = needs - {found}
        elif any(one is other for other in kept) or needs & (one.defines | changes):
            if "seed(" not in one.text or not any("seed(" in text for text in chosen):
                chosen.insert(0, one.text)
                needs = (needs - one.defines) | one.needs
    imports |= {f"from {PACKAGE}.all import {found}" for found in needs & names_of_all()}
    if needs - names_of_all():
        stars = {one.imports["*"] for one, _ in statements if "*" in one.imports}
        if not stars:
            return None
        imports |= stars
    prints = [one for one in target.statements if one.prints]
    outputs = target.outputs if all(any(one is other for other in kept) for one in prints) else []
    return Example(spaced([*join_imports(imports), "", *chosen]), outputs, path, target.number, target.alt)


def order(example):
    "Short examples first, but those without an output to look at last."
    return not example.outputs, len(example.code)


def notebooks():
    "All notebooks, sorted."
    return sorted(path for path in Path("nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def guides():
    "Notebooks of tutorials and how-tos."
    return [path for path in notebooks() if path.as_posix().startswith(GUIDES)]


def names_used(path):
    "Names that the code of a notebook uses."
    return set().union(*(one.needs for cell in cells(path) for one in cell.statements))


def example(name, module):
    "The shortest example in the notebook of the module, else in a guide, else in any notebook; None without one."
    own = Path("nbs", *module.split(".")[1:]).with_suffix(".ipynb")
    for paths in ([own], guides(), notebooks()):
        composed = [compose(name, path, cell) for path in paths for cell in cells(path) if cell.is_shown]
        short = [found for found in composed if found and len(re.findall(r"^.", found.code, re.M)) <= MOST_LINES]
        if short:
            return min(short, key=order)
    return None
