"""The page of `fastaudio-norm app`, without a browser: its function, and requests to its server."""

import json
import urllib.error
import urllib.request

import pytest
import torch

from fastaudio_norm.serve import Decibels, Downmix, SoundClassifier, Spectrum
from fastaudio_norm.serve.app import make_app, page_function, start_app

gradio = pytest.importorskip("gradio", reason="Gradio is not installed: pip install gradio")


class Mean(torch.nn.Module):
    def forward(self, spec):
        return spec.mean((1, 3))[:, :2] / 20


def model(**options):
    return SoundClassifier([Downmix(), Spectrum(n_fft=64), Decibels()], Mean(), ["a", "b"], 16000, **options)


@pytest.mark.parametrize("target", ["label", "labels", "numbers"])
def test_the_page_is_built_and_shows_what_its_function_returns(target, make_file, tmp_path):
    app, function = make_app(model(target=target)), page_function(model(target=target))
    values = function(str(make_file()))
    [event] = app.fns.values()
    for component, value in zip(event.outputs, values, strict=True):
        component.postprocess(value)
    assert values[0] == values[3][0][2] and function(None) == ("", None, None, None)
    (tmp_path / "bad.wav").write_text("no audio")
    with pytest.raises(gradio.Error) as refused:
        function(str(tmp_path / "bad.wav"))
    assert refused.value.message.startswith("bad.wav: not readable as audio")


def fetch(url, data=None):
    "Status and text of a response."
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data and json.dumps(data).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def test_the_server_answers_on_this_machine_only_and_reads_no_files_of_it(make_file):
    app = make_app(model(), "model.safetensors")
    try:
        url = start_app(app)
        status, page = fetch(url)
        assert url.startswith("http://127.0.0.1:") and status == 200 and "model.safetensors" in page
        assert "googleapis" not in page and app.share_url is None and not app.analytics_enabled
        file = str(make_file())
        assert fetch(f"{url}gradio_api/file={file}")[0] == 403
        clip = {"path": file, "meta": {"_type": "gradio.FileData"}}  # was not uploaded
        _, begun = fetch(f"{url}gradio_api/call/classify", {"data": [clip]})
        assert fetch(f"{url}gradio_api/call/classify/{json.loads(begun)['event_id']}")[1].startswith("event: error")
    finally:
        app.close(verbose=False)
    with pytest.raises(urllib.error.URLError):
        fetch(url)
