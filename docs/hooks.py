"""Pages of the site that are no files in docs/: notebooks, one page for each module, and texts of the root.

Each keeps its path in the repository, so that a link means the same there and in the site, and MkDocs checks it.
"""

import ast
import base64
import html
import json
import logging
import re
from pathlib import Path
from xml.etree import ElementTree

from latex2mathml.converter import convert
from mkdocs.structure.files import File

PACKAGE = "fastaudio_norm"
PICTURES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
log = logging.getLogger("mkdocs.hooks")  # warnings below "mkdocs" fail a strict build


class Notebook(File):
    def is_documentation_page(self):
        return True


def public():
    "Modules that users import from, with the names that `all.py` takes from each."
    tree = ast.parse(Path(PACKAGE, "all.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module.startswith(PACKAGE)]
    return {node.module.split(".")[1]: [alias.name for alias in node.names] for node in imports}


def refer(text, names):
    "Names in backticks become links to the reference, where they stand in no link yet."
    return re.sub(r"(?<!\[)`(\w+)`(?!\])", lambda m: f"[{m[0]}][{names[m[1]]}]" if m[1] in names else m[0], text)


def output(data, name, heading, pictures):
    "Markdown of one output; a picture is added to `pictures` under `name`, and told by the heading it stands under."
    kind = next((kind for kind in ("text/html", *PICTURES, "text/markdown", "text/plain") if kind in data), None)
    content = "".join(data.get(kind, []))
    if kind in PICTURES:
        name = f"{name}.{PICTURES[kind]}"
        pictures[name] = content if kind == "image/svg+xml" else base64.b64decode(content)
        return f"[![{heading}: picture drawn by the code above]({name})]({name})"  # larger where it is tapped
    if kind == "text/html":  # tables without pandas' style are given the theme's
        content = re.sub(r"<style scoped>.*?</style>", "", content, flags=re.S)
        content = content.replace(' border="1" class="dataframe"', "")
        return f'<div class="output">\n{content}\n</div>'
    if kind == "text/plain":
        plain = re.sub(r"\x1b\[[\d;]*m", "", content).strip("\n")  # colours of a terminal
        return f'<pre class="output">{html.escape(plain)}</pre>' if plain else ""
    return content


def notebook(path, names):
    "Markdown of a notebook, and its pictures: bytes or text by path beside it."
    parts, pictures, heading = [], {}, path.stem
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(refer(source, names))
            *_, heading = [heading, *re.findall(r"^#+ (.+)", source, re.M)]
        elif cell["cell_type"] == "code" and not re.search(r"^#\| *hide\b", source, re.M):
            code = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip("\n")
            exported = " data-search-exclude=''" if "#| export" in source else ""  # which the reference tells about
            parts.append(f"````{{.python{exported}}}\n{code}\n````" if code else "")
            for i, out in enumerate(cell["outputs"]):
                data = {"text/plain": out["text"]} if out["output_type"] == "stream" else out.get("data", {})
                parts.append(output(data, f"{path.stem}/{number}-{i}", heading, pictures))
    return "\n\n".join(parts), pictures


def on_files(files, config):
    def add(uri, content, kind=File):
        file = kind.generated(config, uri, content=content)
        file.dest_uri = file.dest_uri.removeprefix("nbs/")
        files.append(file)

    modules = public()
    names = {name: f"{PACKAGE}.{module}.{name}" for module in modules for name in modules[module]}
    told = {name: path for name, path in names.items() if not name.isalpha() or not name.islower()}  # no plain words
    for path in sorted(Path("nbs").rglob("*.*")):
        if path.suffix == ".ipynb" and ".ipynb_checkpoints" not in path.parts:
            text, pictures = notebook(path, told)
            add(path.as_posix(), text, Notebook)
            for name, content in pictures.items():
                add((path.parent / name).as_posix(), content)
        elif path.suffix in (".png", ".svg", ".jpg"):  # that texts show
            add(path.as_posix(), path.read_bytes())
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        add(name, refer(Path(name).read_text(), told))
    rows = [f"# Reference\n\n`from {PACKAGE}.all import *` brings these names.\n\n| Module | Names |\n| --- | --- |"]
    for module in modules:
        about = ast.get_docstring(ast.parse(Path(PACKAGE, f"{module}.py").read_text())).splitlines()[0]
        links = ", ".join(f"[`{name}`][{names[name]}]" for name in modules[module])
        rows.append(f"| [{module}]({module}.md) | {about}<br>{links} |")
    add("reference/index.md", "\n".join(rows))
    for module in modules:
        add(f"reference/{module}.md", f"# {module}\n\n::: {PACKAGE}.{module}\n")

    pages = [file.src_uri for file in files.documentation_pages()]
    for section in config.nav:
        for title, value in section.items():
            if isinstance(value, str):
                section[title] = [page for page in pages if page.startswith(value)]


def on_page_content(content, page, **kwargs):
    def mathml(match):
        "A formula as browsers show it by themselves."
        formula = html.unescape(match[2]).strip()
        try:  # it is lenient: what it cannot read is left out, or left as it stands
            result = convert(formula[2:-2], display="block" if match[1] == "div" else "inline")
            fractions = ElementTree.fromstring(result).iterfind(".//{*}mfrac")
            braces = re.sub(r"\\[{}]", "", formula)
            complete = all(len(x) == 2 for x in fractions) and braces.count("{") == braces.count("}")
        except Exception as e:
            result, complete = repr(e), False
        if "\\" in result or not complete:
            log.warning(f"{page.file.src_uri}: cannot convert the formula {formula}")
        return f'<{match[1]} class="arithmatex">{result}</{match[1]}>'

    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', mathml, content, flags=re.S)
