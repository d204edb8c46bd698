"""Generate the site's pages from notebooks, modules and the Markdown files of the repository's root.

Every page keeps its path in the repository, so a link means the same in the repository and in the site, and MkDocs can
check it. A link to a folder of notebooks, `nbs/stats/`, leads to its first page, or to `nbs/stats.ipynb`.
"""

import ast
import html
import io
import json
import logging
import posixpath
import re
from graphlib import TopologicalSorter
from pathlib import Path
from xml.etree import ElementTree

from examples import cells, names_of_all
from latex2mathml.converter import convert
from mkdocs.structure.files import File
from outputs import alternative_text, image_type, output
from PIL import Image
from public import PACKAGE, names_from, public_names
from reference import headings, reference_pages

log = logging.getLogger("mkdocs.hooks")  # a strict build fails on warnings of loggers below "mkdocs"


class Notebook(File):
    def is_documentation_page(self):
        return True


def reading_order(notebooks):
    "Sort notebooks by folder; within a folder, put each notebook after those that it imports from."
    modules = {".".join([PACKAGE, *path.relative_to("nbs").with_suffix("").parts]): path for path in sorted(notebooks)}
    sorter = TopologicalSorter(dict.fromkeys(modules, ()))
    for module, path in modules.items():
        if Path(*module.split(".")).with_suffix(".py").exists():
            sources = sorted(set(names_from(module).values()) & modules.keys() - {module})
            sorter.add(module, *(source for source in sources if modules[source].parent == path.parent))
    return sorted((modules[module] for module in sorter.static_order()), key=lambda path: path.parent)


def link_names(text, paths):
    "Link names in backticks to the reference, unless they are part of a link already."
    return re.sub(r"(?<!\[)`(\w+)`(?!\])", lambda m: f"[{m[0]}][{paths[m[1]]}]" if m[1] in paths else m[0], text)


def link_folders(text, uri, pages):
    "Replace links to folders by links to the first of `pages` in that folder."

    def first_page(match):
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(uri), match[1]))
        page = next((page for page in pages if page.startswith((f"{folder}/", f"{folder}.ipynb"))), None)
        return f"]({posixpath.relpath(page, posixpath.dirname(uri))})" if page else match[0]

    return re.sub(r"\]\((?!\w+:)([^()\s]+/)\)", first_page, text)


def folded(source, outputs):
    "Title under which a code cell is folded: imports, private helpers, long code of a figure. None for other cells."
    try:
        nodes = ast.parse(source).body
    except SyntaxError:  # a magic command
        return None
    if "#| export" in source:
        if all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes):
            return "Imports"
        targets = [getattr(node, "targets", [node])[0] for node in nodes]
        parts = [part for target in targets for part in getattr(target, "elts", [target])]
        names = [getattr(part, "name", getattr(part, "id", "")) for part in parts]
        if all(name.startswith("_") for name in names):
            return f"Helpers: {', '.join(names)}"
        return None
    return "Code of the figure" if any(map(image_type, outputs)) and source.count("\n") >= 12 else None


def notebook(path, paths):
    "Markdown of a notebook, and its images: bytes or text, by path relative to the notebook."
    parts, images = [], {}
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(link_names(source, paths))
        elif cell["cell_type"] == "code" and not re.search(r"^#\| *hide\b", source, re.M):
            code = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip("\n")
            exported = " data-search-exclude=''" if "#| export" in source else ""  # the search finds the reference
            block, title = f"````{{.python{exported}}}\n{code}\n````" if code else "", folded(source, cell["outputs"])
            if code and title:
                block = f'<details markdown="1"><summary>{html.escape(title)}</summary>\n\n{block}\n\n</details>'
            parts.append(block)
            alt = alternative_text(source)
            if any(map(image_type, cell["outputs"])) and not alt:
                log.warning(f"{path}: add a line '#| fig-alt: …' to cell {cell['id']}, to describe its figure")
            for i, out in enumerate(cell["outputs"]):
                parts.append(output(out, f"{path.stem}/{number}-{i}", alt, images))
    return "\n\n".join(parts), images


CARDS = {  # page: title, text
    "nbs/tutorials/normalize.ipynb": ("Learn", "How spectrograms are normalized, step by step from the waveform."),
    "nbs/tutorials/choose.ipynb": ("Choose", "What gain, microphone, hum and clicks do to each normalization."),
    "nbs/tutorials/deploy.ipynb": ("Deploy", "Export a model, predict, detect drift, update the statistics."),
    "nbs/tutorials/port.ipynb": ("Port", "Make an old fastaudio project run again in five minutes."),
}


def home(readme):
    "Markdown of the home page: the first sections of the README, with a card for each of four tutorials."
    top, install, rest = re.split(r"^(## Install)$", readme, maxsplit=1, flags=re.M)
    quick_start = re.split(r"^## Choose", rest, maxsplit=1, flags=re.M)[0]
    cards = "\n".join(
        f'<a href="{page.removeprefix("nbs/").removesuffix(".ipynb")}.html"><strong>{title}</strong>{text}</a>'
        for page, (title, text) in CARDS.items()
    )
    return f'{top}<div class="cards">\n{cards}\n</div>\n\n{install}{quick_start}'


def llms(pages):
    "Overview of the site for language models, see llmstxt.org: title and description of each page."
    lines = ["# fastaudio_norm", "", "> Normalize waveforms and spectrograms in fastai, and use fastaudio again.", ""]
    for page in pages:
        title, about = (re.search(rf"^{mark} (.+)", page.content_string, re.M) for mark in "#>")
        lines.append(f"- [{title[1]}]({page.url})" + (f": {about[1]}" if about else ""))
    return "\n".join(lines) + "\n"


THUMBNAIL = 360  # pixels, width


def thumbnail(content):
    "A PNG or JPEG image, in a smaller size, as WebP."
    image, out = Image.open(io.BytesIO(content)).convert("RGBA"), io.BytesIO()
    image.thumbnail((THUMBNAIL, image.height))
    image.save(out, "WEBP", quality=80)
    return out.getvalue()


def first_figure(path, images):
    "Title of a notebook, heading above its first figure, the heading's anchor and the figure's name. None without one."
    name = next(iter(images), None)  # ends in the number of its cell, and its own
    if name is None:
        return None
    number, found = int(re.search(r"(\d+)-\d+\.\w+$", name)[1]), headings(path)
    *_, (_, heading, anchor) = [one for one in found if one[0] < number]
    return found[0][1], heading, anchor, name


def gallery(nav, cards, level=2):
    "Markdown of the gallery: the cards of each section of the navigation. `cards` has the card of each page."
    own, sections = [], []
    for section in nav:
        for title, value in section.items() if isinstance(section, dict) else [("", section)]:
            if not isinstance(value, list):
                own.append(cards.get(value, ""))
            elif below := gallery(value, cards, level + 1):
                sections.append(f"{'#' * level} {title}\n\n{below}")
    grid = [f'<div class="cards" markdown="span">\n{"".join(own)}</div>'] if any(own) else []
    return "\n\n".join([*grid, *sections])


def expand(nav, pages):
    "Replace each path in the navigation that is not a page by the pages whose paths it begins."
    for section in nav:
        for title, value in section.items() if isinstance(section, dict) else ():
            if isinstance(value, list):
                expand(value, pages)
            elif value not in pages:
                found = [page for page in pages if page.startswith(value)]
                section[title] = found[0] if len(found) == 1 else found


def on_files(files, config):
    def add(uri, content, kind=File):
        file = kind.generated(config, uri, content=content)
        file.dest_uri = file.dest_uri.removeprefix("nbs/")
        files.append(file)

    for cached in (cells, names_of_all):
        cached.cache_clear()  # the server of `mkdocs serve` builds again and again
    names = public_names()
    # Names such as `compare` are also ordinary words and commands: only the others are linked.
    linked = {name: f"{module}.{name}" for name, module in names.items() if not name.isalpha() or not name.islower()}
    notebooks = reading_order(path for path in Path("nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    uris = [path.as_posix() for path in notebooks]
    cards = {}
    for path, uri in zip(notebooks, uris):
        text, images = notebook(path, linked)
        add(uri, link_folders(text, uri, uris), Notebook)
        for name, content in images.items():
            add((path.parent / name).as_posix(), content)
        if figure := first_figure(path, images):
            title, heading, anchor, name = figure
            image = path.parent / name
            if image.suffix != ".svg":
                image, content = image.with_name(f"{image.stem}-small.webp"), thumbnail(images[name])
                add(image.as_posix(), content)
            cards[uri] = f"[![{heading}: figure]({image.as_posix()}){{loading=lazy}}**{title}**]({uri}#{anchor})\n"
    for path in sorted(Path("nbs").rglob("*.*")):
        if path.suffix in (".png", ".svg", ".jpg"):
            add(path.as_posix(), path.read_bytes())
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        add(name, link_folders(link_names(Path(name).read_text(), linked), name, uris))
    readme = Path("README.md").read_text()
    add("index.md", link_folders(link_names(home(readme), linked), "index.md", uris))
    for uri, text in reference_pages(names).items():
        add(uri, text)
    pages = [file.src_uri for file in files.documentation_pages()]
    expand(config.nav, [*pages, "gallery.md"])
    about = "# Gallery\n\n> The first figure of each page. A figure leads to the code that draws it."
    add("gallery.md", f"{about}\n\n{gallery(config.nav, cards)}\n")
    add("llms.txt", llms(files.documentation_pages()))


def on_page_content(content, page, **kwargs):
    def mathml(match):
        "Convert a formula to MathML, which browsers display without scripts."
        formula = html.unescape(match[2]).strip()
        try:  # the converter is lenient: it drops or copies what it cannot read
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


def on_post_page(output, **kwargs):
    search = 'data-md-component="search" role="dialog"'
    return output.replace(search, f'{search} aria-label="Search"')


def on_post_template(output_content, template_name, **kwargs):
    return on_post_page(output_content) if template_name == "404.html" else output_content
