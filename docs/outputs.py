"""Markdown of the outputs of a notebook's cells."""

import base64
import html
import re

WIDE = 750  # pixels; the text of wider figures is too small on a phone, so style.css lets them scroll sideways
IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}


def data_of(out):
    "An output by media type."
    return {"text/plain": out["text"]} if out["output_type"] == "stream" else out.get("data", {})


def image_type(out):
    "Media type of the image in an output; None without one."
    return next((kind for kind in IMAGES if kind in data_of(out)), None)


def alternative_text(source):
    "Alternative text of a cell's figures, from its comment `#| fig-alt:`; empty without one."
    return "".join(re.findall(r"^#\| *fig-alt: *(.+?) *$", source, re.M))


def image(out, path, alt):
    "Markdown of an image at `path`, in the size that the notebook shows."
    width = out.get("metadata", {}).get(image_type(out), {}).get("width")  # the image itself has twice as many pixels
    points = re.search(r'<svg\b[^>]*? width="([\d.]+)pt"', "".join(data_of(out).get("image/svg+xml", "")))
    width = round(float(points[1]) * 4 / 3) if points else width
    size = f" width={width}" if width else ""
    wide = " .wide" if width and width > WIDE else ""
    return f"![{alt}]({path}){{{wide} loading=lazy{size}}}"


def output(out, name, alt, images):
    "Markdown of one output. Its image, if it has one, is added to `images` under `name`."
    data = data_of(out)
    kind = next((kind for kind in ("text/html", *IMAGES, "text/markdown", "text/plain") if kind in data), None)
    content = "".join(data.get(kind, []))
    if kind in IMAGES:
        name = f"{name}.{IMAGES[kind]}"
        images[name] = content if kind == "image/svg+xml" else base64.b64decode(content)
        return f"[{image(out, name, alt)}]({name})"  # the link shows it at full size
    if kind == "text/html":  # remove pandas' own style, so that the theme's applies
        content = re.sub(r"<style scoped>.*?</style>", "", content, flags=re.S)
        content = content.replace(' border="1" class="dataframe"', "")
        return f'<div class="output" tabindex="0">\n{content}\n</div>'
    if kind == "text/plain":
        plain = re.sub(r"\x1b\[[\d;]*m", "", content).strip("\n")  # without terminal colours
        return f'<pre class="output" tabindex="0">{html.escape(plain)}</pre>' if plain else ""
    return content
