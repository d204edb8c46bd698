"""The report as one HTML file."""

import re
from html.parser import HTMLParser

import pytest

from fastaudio_norm.comparison.html_report import write_report

MARKUP = "<script>alert('1')</script><img src=http://example.org/x.png>"


class Page(HTMLParser):
    "Tags with their attributes, and the text, of a page whose tags are closed."

    VOID = {"meta", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_complete_and_contains_everything_it_needs(results, tmp_path):
    "Names that contain markup are shown literally."
    results = results.replace({"norm": {"wave": f"wave{MARKUP}"}})
    results.attrs["classes"] = [f"cat{MARKUP}", "dog & bird"]
    results.attrs["skipped"] = {f"{MARKUP}.wav": "not readable as audio"}
    results.attrs["settings"] = {"bs": 64, "recipe": {"epochs": 2, "spec": MARKUP}, "versions": {"torch": "2.15"}}
    write_report(results, tmp_path / "report.html", f"title {MARKUP}", f"fastaudio-norm compare --path '{MARKUP}'")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    text = "".join(page.text)
    shown = [f"{before}{MARKUP}" for before in ("title ", "cat", "", "--path '", "wave")]
    assert all(name in text for name in [*shown, "dog & bird"])
    sources = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert len(sources) == 5 and all(source.startswith("data:image/png;base64,") for source in sources)
    [policy] = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}
    parts = (
        "60.0",
        "75.0",
        "vs none",
        "too few folds to say",
        "Differences",
        "recipe.epochs",
        "torch",
        "2.15",
        "fastaudio-norm",
    )
    assert all(part in text for part in parts)
    assert re.search(r"Accuracy by class.*Confusions.*Skipped files.*Settings.*Versions.*Command", text, re.S)


@pytest.mark.parametrize("target", ["labels", "numbers"])
def test_other_targets_have_no_confusions(target, results, tmp_path):
    pairs = [[[1, 0], [0, 1]]] * 4
    results = results.assign(truth=pairs, predicted=pairs)
    results.attrs["target"] = target
    results.attrs["metric"] = {"name": "mean error", "higher_is_better": False, "percent": False}
    write_report(results, tmp_path / "report.html")
    text = "".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).text)
    assert "mean error (lower is better)" in text and "Confusions" not in text
