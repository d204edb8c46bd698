"""Pages of the reference, and the notes below each public name: an example, related names, and pages that use it."""

import ast
import json
import re
from pathlib import Path

from examples import cells, example, guides, names_used
from markdown.extensions.toc import slugify, unique
from outputs import IMAGES, data_of, image, image_type, output
from public import PACKAGE, parse, public_names, tasks

MOST_OUTPUT = 2000  # characters of an example's output


def notebook_of(module):
    "Path of the notebook that a module is exported from."
    return Path("nbs", *module.split(".")[1:]).with_suffix(".ipynb")


def headings(path):
    "Headings of a notebook as MkDocs numbers them: number of the cell, text and anchor."
    found, anchors = [], set()
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        text = "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
        for heading in re.findall(r"^#+ (.+)", text, re.M):
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading)
            found.append((number, plain, unique(slugify(plain, "-"), anchors)))
    return found


def title(path):
    "Title of a notebook."
    return headings(path)[0][1]


def link_above(path, number):
    "Link from the reference to the last heading above a cell of a notebook."
    *_, (_, heading, anchor) = [one for one in headings(path) if one[0] <= number]
    text = heading if heading == title(path) else f"{title(path)}: {heading}"
    return f"[{text}](../{path.as_posix()}#{anchor})"


def docstring(name, module):
    "Docstring of a name in its module; an empty one for constants."
    nodes = [node for node in parse(module).body if getattr(node, "name", None) == name]
    return ast.get_docstring(nodes[-1]) or "" if nodes else ""


def related(name, module):
    "Names that the docstring mentions, then the other names of the same task."
    known = public_names()
    mentioned = [other for other in re.findall(r"`(\w+)", docstring(name, module)) if other in known]
    [group] = [names for names in tasks().values() if name in names]
    return [other for other in dict.fromkeys([*mentioned, *group]) if other != name]


def users(name):
    "Links to the tutorials and how-tos that use a name, and to the home page if its code does."
    found = [f"[{title(path)}](../{path.as_posix()})" for path in guides() if name in names_used(path)]
    quick_start = re.split(r"^## Choose", Path("README.md").read_text(), maxsplit=1, flags=re.M)[0]
    code = "".join(re.findall(r"^```python\n(.*?)^```", quick_start, re.M | re.S))
    return [*found, "[Quick start](../index.md)"] if re.search(rf"\b{name}\b", code) else found


def shown(found):
    "Markdown of an example: its code, its text and tables unless they are long, and its first figure."
    parts = [f"```{{.python data-search-exclude=''}}\n{found.code}\n```"]
    for i, out in enumerate(found.outputs):
        kind = image_type(out)
        if kind and "text/html" not in data_of(out):
            file = found.notebook.with_suffix("") / f"{found.number}-{i}.{IMAGES[kind]}"
            parts.append(image(out, f"../{file.as_posix()}", found.alt))
            break
        text = output(out, "", "", {})
        if len(text) <= MOST_OUTPUT:
            parts.append(text.replace('class="output"', 'class="output" data-search-exclude=""'))
    return "\n\n".join(parts)


def notes(name, module):
    "Markdown below the description of a public name."
    known, path, parts = public_names(), notebook_of(module), []
    if found := example(name, module):
        parts += ["**Example**", shown(found)]
    names = ", ".join(f"[`{other}`][{known[other]}.{other}]" for other in related(name, module))
    lines = [f"**See also:** {names}"] if names else []
    if links := users(name):
        lines.append(f"**Used in:** {', '.join(links)}")
    exported = [(cell.number, one) for cell in cells(path) if cell.is_exported for one in cell.statements]
    lines.append(f"**Source note:** {link_above(path, [n for n, one in exported if name in one.defines][0])}")
    return "\n\n".join([*parts, "  \n".join(lines)])


def overview(names):
    "Markdown of the first page: the names by task, and the packages."
    rows = [f"# Reference\n\n`from {PACKAGE}.all import *` imports these names, and those of fastaudio."]
    for task, members in tasks().items():
        rows.append(f"\n## {task}\n\n| Name | Description |\n| --- | --- |")
        for name in members:
            about = (docstring(name, names[name]).splitlines() or [""])[0].replace("|", "\\|")
            rows.append(f"| [`{name}`][{names[name]}.{name}] | {about} |")
    rows.append("\n## Packages\n\nThese pages also describe other names of the same modules.\n")
    rows.append("| Package | Description |\n| --- | --- |")
    return "\n".join(rows)


def reference_pages(names):
    "Markdown of the reference: an overview and one page for each package, by path."
    pages, rows = {}, [overview(names)]
    for package in sorted({module.split(".")[1] for module in names.values()}):
        about = ast.get_docstring(parse(f"{PACKAGE}.{package}")).splitlines()[0]
        rows.append(f"| [{package}]({package}.md) | {about} |")
        texts = [f"---\nsearch:\n  boost: 4\n---\n\n# {package}\n\n{about}"]  # before the pages that use the names
        for module in sorted({module for module in names.values() if module.split(".")[1] == package}):
            title = f"## {module.removeprefix(f'{PACKAGE}.')}\n\n" if module.count(".") > 1 else ""
            level = f"\n    options:\n      heading_level: {3 if title else 2}"
            texts.append(f"{title}::: {module}{level}")
        pages[f"reference/{package}.md"] = "\n\n".join(texts) + "\n"
    return {"reference/index.md": "\n".join(rows)} | pages
