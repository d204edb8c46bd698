"""The public names of the package: the modules that define them, and their tasks."""

import ast
import re
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = "fastaudio_norm"
TASKS = (  # in the order of the reference
    "Normalize waveforms",
    "Normalize spectrograms",
    "Make spectrograms",
    "Use pretrained networks",
    "Augment",
    "Read clips and folds",
    "Inspect clips",
    "Measure statistics",
    "Train",
    "Compare normalizations",
    "Deploy",
    "Monitor",
    "Adapt to new recordings",
)


def file_of(module):
    "Path of a module, or of a package's `__init__`."
    path = Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def parse(module):
    "Syntax tree of a module or of a package's `__init__`."
    return ast.parse(file_of(module).read_text())


def names_from(module):
    "Names that a module imports from this package, each with the module that it is imported from."
    package = module if Path(*module.split(".")).is_dir() else module.rpartition(".")[0]
    names = {}
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            if source.split(".")[0] == PACKAGE:
                names |= {alias.name: source for alias in node.names}
    return names


def defining_module(name, module):
    "The module that defines a name, where `module` may be a package that imports the name."
    while Path(*module.split(".")).is_dir():
        module = names_from(module)[name]
    return module


def public_names():
    "Names that `all.py` takes from this package, each with the module that defines it."
    return {name: defining_module(name, module) for name, module in names_from(f"{PACKAGE}.all").items()}


def tasks():
    "Names by task, in the order of the reference: the comment beside a name in `all.py` is its task."
    names = {task: [] for task in TASKS}
    for name, task in re.findall(r"^    (\w+),  # (.+)$", file_of(f"{PACKAGE}.all").read_text(), re.M):
        names.setdefault(task, []).append(name)
    return {task: sorted(members, key=str.lower) for task, members in names.items()}
