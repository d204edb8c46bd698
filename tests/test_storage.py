"""Files are complete or absent, and JSON files return exactly what was written or are refused."""

import errno
import json
import os
import stat
import string
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastaudio_norm.storage import MAX_JSON_BYTES, atomic_write, check_writable, read_json, write_json

settings.register_profile("storage", suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
few = settings(settings.get_profile("storage"), max_examples=40)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
contents = st.dictionaries(st.text(max_size=5), values, max_size=5)
kinds = st.text(string.ascii_lowercase + " ", min_size=1, max_size=10)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "numbers.json"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refusal(file, kind="numbers", version=1):
    "Message of the `ValueError` that reading the file raises."
    with pytest.raises(ValueError) as e:
        read_json(file, kind, version)
    return str(e.value)


@few
@given(old=st.binary(), new=st.binary())
def test_a_successful_block_replaces_the_file(old, new, file):
    file.write_bytes(old)
    with atomic_write(file) as part:
        part.write_bytes(new)
        assert file.read_bytes() == old, "the file changed before the block succeeded"
        assert part.parent == file.parent, "a file cannot be moved atomically between file systems"
    assert file.read_bytes() == new and names(file.parent) == [file.name]


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failed_block_leaves_no_trace(exists, failure, file):
    if exists:
        file.write_text("before")
    with pytest.raises(failure):
        with atomic_write(file) as part:
            part.write_text("half")
            raise failure
    assert names(file.parent) == [file.name] * exists
    assert not exists or file.read_text() == "before"


def test_a_full_disk_is_reported_with_the_file(file):
    file.write_text("before")
    with pytest.raises(OSError, match=f"{os.strerror(errno.ENOSPC)}: .*numbers.json"):
        with atomic_write(file) as part:
            part.touch()
            open("/dev/full", "w").write("x" * 10**6)
    assert file.read_text() == "before" and names(file.parent) == [file.name]


def test_a_write_that_the_system_stops_leaves_the_existing_file_unchanged(file):
    resource = pytest.importorskip("resource")
    write_json(file, "numbers", 1, {"few": [1]})
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"{os.strerror(errno.EFBIG)}.*numbers.json"):
            write_json(file, "numbers", 1, {"many": list(range(10_000))})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before and names(file.parent) == [file.name]


def test_a_block_that_writes_nothing_is_an_error(file):
    with pytest.raises(FileNotFoundError):
        with atomic_write(file):
            pass
    assert names(file.parent) == []


def test_writing_through_a_missing_folder_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        write_json(tmp_path / "missing" / "numbers.json", "numbers", 1, {})


def test_check_writable_creates_nothing_and_names_the_obstacle(tmp_path):
    check_writable(tmp_path / "new" / "deep", "")
    assert names(tmp_path) == []
    with pytest.raises(OSError, match="/dev/null is not a folder. Choose another"):
        check_writable("/dev/null/x/y", "Choose another")
    (tmp_path / "program").touch(mode=0o755)
    with pytest.raises(OSError, match="program is not a folder. Choose another"):
        check_writable(tmp_path / "program" / "x", "Choose another")
    (tmp_path / "read-only").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    if not os.access(tmp_path / "read-only", os.W_OK):  # root may write anywhere
        with pytest.raises(OSError, match="read-only is not writable. Choose another"):
            check_writable(tmp_path / "read-only" / "new", "Choose another")


@few
@given(content=contents, kind=kinds, version=st.integers(0, 99))
def test_reading_returns_exactly_what_was_written(content, kind, version, file):
    write_json(file, kind, version, content)
    again = read_json(file, kind, version)
    assert repr(again) == repr(content)  # also distinguishes 1 from 1.0 and True, and -0.0 from 0.0
    first = file.read_bytes()
    write_json(file, kind, version, again)
    assert file.read_bytes() == first


@few
@given(content=contents, data=st.data())
def test_a_truncated_file_is_refused(content, data, file):
    write_json(file, "numbers", 1, content)
    text = file.read_bytes().rstrip()
    file.write_bytes(text[: data.draw(st.integers(0, len(text) - 1))])
    assert "is not a numbers file, or it is truncated" in refusal(file)


@few
@given(content=contents, other=contents)
def test_other_content_does_not_match_the_checksum(content, other, file):
    write_json(file, "numbers", 1, content)
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | {"content": other}))
    if json.dumps(content, sort_keys=True) == json.dumps(other, sort_keys=True):
        assert read_json(file, "numbers", 1) == content
    else:
        assert "was changed after it was written" in refusal(file)


def test_the_order_of_keys_does_not_matter(file):
    "Another program may write the same JSON in another form."
    write_json(file, "numbers", 1, {"a": 1, "b": {"c": 2, "d": 3}})
    document = json.loads(file.read_text())
    document["content"] = {"b": {"d": 3, "c": 2}, "a": 1}
    file.write_text(json.dumps(document, indent=4))
    assert read_json(file, "numbers", 1) == {"a": 1, "b": {"c": 2, "d": 3}}


def test_kind_and_version_must_match(file):
    write_json(file, "numbers", 1, {})
    assert "is not a letters file of fastaudio_norm" in refusal(file, kind="letters")
    assert "has layout version 1, expected version 2" in refusal(file, version=2)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: "", "truncated"),
        (lambda text: "\x00\x01", "truncated"),
        (lambda text: "[" * 100_000, "truncated"),
        (lambda text: '{"a": 1' + "0" * 5000 + "}", "truncated"),
        (lambda text: "[1, 2]", "expected a JSON object with"),
        (lambda text: text.replace('"kind"', '"type"'), "is not a numbers file of fastaudio_norm"),
        (lambda text: text.replace('"some": [', '"some": [NaN, '), "expected finite numbers, got NaN"),
        (lambda text: text.replace('"some": [', '"some": [1e999, '), "expected finite numbers, got 1e999"),
    ],
)
def test_a_damaged_file_is_refused(change, message, file):
    write_json(file, "numbers", 1, {"some": [0.5, 1.5]})
    file.write_text(change(file.read_text()))
    assert message in refusal(file)


def test_missing_binary_and_oversized_files_are_refused(file):
    with pytest.raises(FileNotFoundError):
        read_json(file, "numbers", 1)
    file.write_bytes(bytes(range(256)) * 10)
    assert "truncated" in refusal(file)
    with open(file, "wb") as large:
        large.truncate(200 * 2**20)
    assert MAX_JSON_BYTES == 64 * 2**20
    assert "expected at most 64 MiB, got 200 MiB" in refusal(file)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_cannot_hold_are_refused(number, file):
    write_json(file, "numbers", 1, {"some": 1.0})
    before = file.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, "numbers", 1, {"some": number})
    assert file.read_bytes() == before and names(file.parent) == [file.name]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_umask_gives_the_permissions_of_new_files(umask, file):
    before = os.umask(umask)
    try:
        with atomic_write(file) as part:
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors does
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o664])
def test_a_file_keeps_its_permissions(mode, file):
    file.touch()
    file.chmod(mode)
    write_json(file, "numbers", 1, {})
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.parametrize("same", [True, False])
def test_threads_may_write_at_the_same_time(same, tmp_path):
    barrier = threading.Barrier(8)

    def save(i):
        barrier.wait()
        for k in range(10):
            write_json(tmp_path / f"{0 if same else i}.json", "numbers", 1, {"writer": i, "values": [i] * 500, "k": k})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(8)))  # raises what a thread raised
    for path in tmp_path.iterdir():  # no partial file is left
        content = read_json(path, "numbers", 1)
        assert content["values"] == [content["writer"]] * 500
    assert len(names(tmp_path)) == (1 if same else 8)
