"""Teach mkdocstrings fastcore's conventions: comments beside parameters, and methods added by `@patch`."""

import ast
import io
import logging
import re
import sys
import textwrap
import tokenize
from pathlib import Path

import griffe

sys.path.append(str(Path(__file__).parent))  # griffe loads this file by its path
import reference  # noqa: E402

log = logging.getLogger("mkdocs.docments")  # a strict build fails on warnings of loggers below "mkdocs"


def comments(obj):
    "Comments beside the parameters of a function or the fields of a class, by name; `return` for the result."
    source = textwrap.dedent(obj.source)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    beside = {line: re.sub(r"^#\s*(noqa\S*( [A-Z]+\d+)?)?\s*", "", comment) for line, comment in found.items()}
    node = ast.parse(source).body[0]
    if isinstance(node, ast.ClassDef):
        lines = {x.target.id: x.lineno for x in node.body if isinstance(x, ast.AnnAssign)}
    else:
        lines = {x.arg: x.lineno for x in ast.walk(node.args) if isinstance(x, ast.arg)}
        lines["return"] = node.returns and node.returns.lineno
    return {name: beside.get(line, "") for name, line in lines.items()}


def describe(docstring, function, notes):
    "Append the parameters and the result of a function to a docstring."
    parameters = [
        griffe.DocstringParameter(p.name, annotation=p.annotation, value=p.default, description=notes.get(p.name, ""))
        for p in function.parameters
        if p.name not in ("self", "cls")
    ]
    if any(p.description for p in parameters):
        docstring.parsed.append(griffe.DocstringSectionParameters(parameters))
    if notes.get("return"):
        result = griffe.DocstringReturn("", annotation=function.returns, description=notes["return"])
        docstring.parsed.append(griffe.DocstringSectionReturns([result]))


def add_fields(cls):
    "Add the `__init__` that `NamedTuple` generates from the fields."
    fields = [a for a in cls.attributes.values() if a.annotation]
    kind = griffe.ParameterKind.positional_or_keyword
    parameters = [griffe.Parameter(a.name, annotation=a.annotation, kind=kind, default=a.value) for a in fields]
    cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))


def move(function, pkg):
    "Move a function decorated with `@patch` from its module to the class of its first parameter."
    how = str(function.decorators[0].value)
    if function.docstring:
        describe(function.docstring, function, comments(function))
    function.parent.members.pop(function.name, None)
    function.labels |= {"classmethod"} if "cls_method" in how else set()
    cls = pkg.modules_collection[function.parameters[0].annotation.canonical_path]
    cls = cls.final_target if cls.is_alias else cls
    if "as_prop" in how:
        function = griffe.Attribute(function.name, annotation=function.returns, docstring=function.docstring)
        function.labels |= {"property"}
    cls.set_member(function.name, function)


def modules_below(pkg):
    "All modules of a package and of the packages inside it."
    for module in pkg.modules.values():
        if not module.is_alias:
            yield module
            yield from modules_below(module)


def definition(path, pkg):
    "Object of a path, followed through packages that import it: `serve.predict` is a function and its module."
    module, _, name = path.rpartition(".")
    owner = pkg.modules_collection[module]
    return definition(owner.imports[name], pkg) if owner.is_init_module and name in owner.imports else owner[name]


def check(obj):
    "Warn about a public class or function without a docstring."
    if (obj.is_class or obj.is_function) and not obj.docstring:
        log.warning(f"the docstring of {obj.path} is missing")


class Docments(griffe.Extension):
    def __init__(self):
        self.patched = []

    def on_function_instance(self, *, func, **kwargs):
        if any(str(decorator.value).startswith("patch") for decorator in func.decorators):
            self.patched.append(func)

    def on_package(self, *, pkg, **kwargs):
        for module in modules_below(pkg):
            classes = [cls for cls in module.classes.values() if not cls.is_alias]
            for owner in (module, *classes):
                for function in owner.functions.values():
                    if function.docstring and not function.is_alias and function not in self.patched:
                        describe(function.docstring, function, comments(function))
            for cls in classes:
                notes = comments(cls.members.get("__init__", cls))
                if any(str(base) == "NamedTuple" for base in cls.bases):
                    add_fields(cls)
                if cls.docstring and "__init__" in cls.members:
                    describe(cls.docstring, cls.members["__init__"], notes)
        for function in self.patched:
            move(function, pkg)
        public = [definition(path, pkg) for path in pkg["all"].imports.values() if path.startswith(pkg.path)]
        for module in {obj.parent.path: obj.parent for obj in public}.values():
            for name in module.exports:
                check(module[name])
        for obj in public:
            if not obj.docstring:  # constants: mkdocstrings leaves out members without a docstring
                obj.docstring = griffe.Docstring("")
            obj.docstring.parsed.append(griffe.DocstringSectionText(reference.notes(obj.name, obj.parent.path)))
