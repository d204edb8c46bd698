"""What mkdocstrings cannot know of fastcore's ways: comments beside parameters, and methods added by `@patch`."""

import ast
import io
import logging
import re
import textwrap
import tokenize

import griffe

log = logging.getLogger("mkdocs.docments")  # warnings below "mkdocs" fail a strict build


def comments(obj):
    "Comments beside the parameters of a function or the fields of a class, by name, and of what comes back."
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
    "Append the parameters of a function, and what comes back, to a docstring."
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
    "What `NamedTuple` does: `__init__` takes the fields."
    fields = [a for a in cls.attributes.values() if a.annotation]
    kind = griffe.ParameterKind.positional_or_keyword
    parameters = [griffe.Parameter(a.name, annotation=a.annotation, kind=kind, default=a.value) for a in fields]
    cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))


def move(function, pkg):
    "From the module where `@patch` stands to the class that it adds to."
    how = str(function.decorators[0].value)
    if function.docstring:
        describe(function.docstring, function, comments(function))
    function.parent.members.pop(function.name, None)
    function.labels |= {"classmethod"} if "cls_method" in how else set()
    cls = function.parameters[0].annotation.canonical_path
    if "as_prop" in how:
        function = griffe.Attribute(function.name, annotation=function.returns, docstring=function.docstring)
        function.labels |= {"property"}
    pkg.modules_collection[cls].set_member(function.name, function)


def check(obj):
    if (obj.is_class or obj.is_function) and not obj.docstring:
        log.warning(f"{obj.path} is public and has no docstring")


class Docments(griffe.Extension):
    def __init__(self):
        self.patched = []

    def on_function_instance(self, *, func, **kwargs):
        if any(str(decorator.value).startswith("patch") for decorator in func.decorators):
            self.patched.append(func)

    def on_package(self, *, pkg, **kwargs):
        for module in pkg.modules.values():
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
        for path in {path.rpartition(".")[0] for path in pkg["all"].imports.values()}:
            if path.startswith(pkg.path):
                for name in pkg.modules_collection[path].exports:
                    check(pkg.modules_collection[path][name])
        for path in pkg["all"].imports.values():  # constants, whose value says it
            if path.startswith(pkg.path) and not pkg.modules_collection[path].docstring:
                pkg.modules_collection[path].docstring = griffe.Docstring("")
