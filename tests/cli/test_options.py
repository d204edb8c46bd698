"""Messages and exit status that several commands share."""

import pytest

from fastaudio_norm.cli.main import main
from fastaudio_norm.cli.options import report_skipped


def test_skipped_files_are_listed_and_give_status_3(capsys):
    assert report_skipped({}) == 0 and capsys.readouterr().err == ""
    assert report_skipped({"a.wav": "empty", "b.wav": "truncated"}) == 3
    assert capsys.readouterr().err == "\nSkipped 2 unusable files:\n  a.wav: empty\n  b.wav: truncated\n"


@pytest.mark.parametrize(
    "argv, message",
    [
        (["compare", "--runs", "0"], "argument --runs: must be at least 1, got 0"),
        (["stats", "x", "--where", "esc10"], "argument --where: must have the form COLUMN=VALUE, such as esc10=True"),
        (["predict", "model", "a.wav", "--window", "0"], "argument --window: must be positive, got 0"),
        (["predict", "model", "a.wav", "--window", "inf"], "argument --window: must be positive, got inf"),
    ],
)
def test_arguments_out_of_range_end_with_status_2(argv, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2 and message in capsys.readouterr().err
