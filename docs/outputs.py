"""Markdown of the outputs of a notebook's cells."""

import base64
import html
import io
import re

from PIL import Image

LARGE = 50_000  # bytes
IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}


def data_of(out):
    "An output by media type."
    return {"text/plain": out["text"]} if out["output_type"] == "stream" else out.get("data", {})


def smaller(png):
    "A large PNG image with a palette of 256 colours, which takes about a third of its size."
    if len(png) < LARGE:
        return png
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(out, "PNG", optimize=True)
    return min(png, out.getvalue(), key=len)


def output(data, name, heading, images):
    "Markdown of one output. An image is added to `images` under `name`; its alternative text is the last heading."
    kind = next((kind for kind in ("text/html", *IMAGES, "text/markdown", "text/plain") if kind in data), None)
    content = "".join(data.get(kind, []))
    if kind in IMAGES:
        name = f"{name}.{IMAGES[kind]}"
        images[name] = content if kind == "image/svg+xml" else base64.b64decode(content)
        if kind == "image/png":
            images[name] = smaller(images[name])
        return f"[![{heading}: figure drawn by the code above]({name})]({name})"  # the link shows it at full size
    if kind == "text/html":  # remove pandas' own style, so that the theme's applies
        content = re.sub(r"<style scoped>.*?</style>", "", content, flags=re.S)
        content = content.replace(' border="1" class="dataframe"', "")
        return f'<div class="output" tabindex="0">\n{content}\n</div>'
    if kind == "text/plain":
        plain = re.sub(r"\x1b\[[\d;]*m", "", content).strip("\n")  # without terminal colours
        return f'<pre class="output" tabindex="0">{html.escape(plain)}</pre>' if plain else ""
    return content
