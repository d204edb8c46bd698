"""The page of `fastaudio-norm app`, without a browser: its function, and requests to its server."""

import json
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest
import torch

from fastaudio_norm.cli.main import main
from fastaudio_norm.layers import GroupedSpecNorm
from fastaudio_norm.measure import measure
from fastaudio_norm.monitor import DriftSession
from fastaudio_norm.serve import Decibels, Downmix, SoundClassifier, Spectrum, prediction_table
from fastaudio_norm.serve.app import batch_function, drift_function, make_app, page_function, start_app
from fastaudio_norm.serve.app_results import classify_files
from fastaudio_norm.stats import StatsRecorder

gradio = pytest.importorskip("gradio", reason="Gradio is not installed: pip install gradio")
from gradio_client import Client, handle_file  # noqa: E402


class Mean(torch.nn.Module):
    def forward(self, spec):
        return spec.mean((1, 3))[:, :2] / 20


def model(**options):
    return SoundClassifier([Downmix(), Spectrum(n_fft=64), Decibels()], Mean(), ["a", "b"], 16000, **options)


def check_outputs(app, name, values):
    "Each component of an event accepts its value."
    [event] = [event for event in app.fns.values() if event.api_name == name]
    for component, value in zip(event.outputs, values, strict=True):
        component.postprocess(value["value"] if isinstance(value, dict) and "__type__" in value else value)


@pytest.mark.parametrize("target", ["label", "labels", "numbers"])
def test_the_page_is_built_and_shows_what_its_functions_return(target, make_file, tmp_path):
    classifier = model(target=target)
    app, function, batch = make_app(classifier), page_function(classifier), batch_function(classifier)
    file, long = str(make_file()), str(make_file(8000, 61.0, name="long.wav"))
    decision, _, timeline, before, after, windows, usable = values = function(file)
    assert [x["visible"] for x in (timeline, before, after, windows)] == [False, True, True, False] and usable == [file]
    check_outputs(app, "classify", values)
    check_outputs(app, "classify", function(long))
    assert function(long)[2]["visible"] and len(function(long)[5]["value"]) == 7
    decided, *_, nothing = function(None)
    assert decision and (decided, nothing) == ("", [])
    (tmp_path / "bad.wav").write_text("no audio")
    with pytest.raises(gradio.Error) as refused:
        function(str(tmp_path / "bad.wav"))
    assert refused.value.message.startswith("bad.wav: not readable as audio")
    both = [file, str(tmp_path / "bad.wav")]
    summary, table, rows, bad, usable = values = batch(both)
    check_outputs(app, "classify_files", values)
    assert summary == "1 of 2 files could be classified" and usable == [file]
    assert rows["value"] == [["clip.wav", "0 to 1", decision]] and bad["value"][0][0] == "bad.wav"
    results = [(Path(name).name, result) for name, result in classify_files(classifier, both)]
    assert Path(table["value"]).read_text() == prediction_table(classifier, results).to_csv(index=False)
    assert batch(None)[0] == "" and not batch([])[1]["visible"]


def test_the_page_says_whether_the_clips_have_drifted(made_up, make_file, tmp_path):
    new_session = partial(DriftSession, measure(made_up))
    app, judge = make_app(model(), new_session=new_session), drift_function(new_session)
    session, verdict, tests, figure = judge([str(make_file())])
    assert verdict.startswith("1 clip: too few") and not tests["visible"] and not figure["visible"]
    (tmp_path / "bad.wav").write_text("no audio")
    files = [str(make_file(44100, 1.0, 2, "second.wav")), str(tmp_path / "bad.wav")]
    session, verdict, tests, figure = values = judge(files, session)
    first, last = verdict.split("\n")
    assert (
        first == str(session) and first.startswith("2 clips: drift (") and last.startswith("Not counted: bad.wav: not")
    )
    assert [row[0] for row in tests["value"]] == ["level", "shape", "spread", "values"] and figure["visible"]
    check_outputs(app, "drift", values)
    assert judge([])[1] == str(new_session()) and judge([])[0] is not session


def test_a_page_without_the_group_says_which_groups_there_are(make_file):
    location = torch.zeros(1, 1, 1, 1)
    norm = GroupedSpecNorm.from_statistics({"phone": (location, location + 1)}, (location, location + 1))
    grouped = SoundClassifier([Downmix(), Spectrum(n_fft=64), Decibels(), norm], Mean(), ["a", "b"], 16000)
    app, file = make_app(grouped), str(make_file())
    [dropdown] = [block for block in app.blocks.values() if isinstance(block, gradio.Dropdown)]
    assert dropdown.visible and dropdown.choices == [("phone", "phone")] and dropdown.value is None
    assert page_function(grouped)(file, "phone")[0] and batch_function(grouped)([file], "phone")[4] == [file]
    for call in (page_function(grouped), lambda file, group: batch_function(grouped)([file], group)):
        with pytest.raises(gradio.Error, match="choose the group, one of phone"):
            call(file, None)


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
        assert fetch(f"{url}gradio_api/runs")[0] == 404  # offers to upload clips
        [clip] = [block for block in app.blocks.values() if isinstance(block, gradio.Audio)]
        assert clip.buttons == ["download"]
        file = str(make_file())
        assert fetch(f"{url}gradio_api/file={file}")[0] == 403
        clip = {"path": file, "meta": {"_type": "gradio.FileData"}}  # was not uploaded
        for name, value in (("classify", clip), ("classify_files", [clip])):
            _, begun = fetch(f"{url}gradio_api/call/{name}", {"data": [value, None]})
            assert fetch(f"{url}gradio_api/call/{name}/{json.loads(begun)['event_id']}")[1].startswith("event: error")
    finally:
        app.close(verbose=False)
    with pytest.raises(urllib.error.URLError):
        fetch(url)


def test_uploaded_files_become_a_table_to_download(make_file, tmp_path):
    app, file = make_app(model()), make_file()
    (tmp_path / "empty.wav").touch()
    try:
        client = Client(start_app(app), verbose=False, download_files=tmp_path / "downloads")
        files = [handle_file(file), handle_file(tmp_path / "empty.wav")]
        summary, table, *_ = client.predict(files, None, api_name="/classify_files")
        text = Path(table["value"]).read_text()
        assert summary == "1 of 2 files could be classified"
        assert "\nclip.wav,0.0,1.0," in text and "\nempty.wav,,,,,,is empty\n" in text
    finally:
        app.close(verbose=False)


def test_unsuitable_statistics_are_refused_before_the_page_is_served(tmp_path, capsys):
    recorder = StatsRecorder((0, 3))
    recorder.update(torch.randn(2, 1, 4, 5))
    recorder.save(tmp_path / "stats.json")
    for name, message in (("stats.json", "must record how clips differ"), ("missing.json", "missing.json")):
        with pytest.raises(SystemExit) as stopped:
            main(["app", "model.safetensors", "--stats", str(tmp_path / name)])
        assert stopped.value.code == 2 and message in capsys.readouterr().err
