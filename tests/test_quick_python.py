"""Programs of quick_python.py behave like those of a new interpreter, and have imported nothing that tests look at."""

import subprocess

import pytest
import quick_python


def start(*arguments, **options):
    return subprocess.run([quick_python.start(), *arguments], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    "program, status, error",
    [
        ("", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('stopped')", 1, "stopped\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os; os.abort()", 250, ""),
    ],
)
def test_the_exit_status_and_errors_are_those_of_the_program(program, status, error):
    done = start("-W", "ignore", "-c", program)
    assert done.returncode == status and done.stderr.endswith(error) and bool(done.stderr) == bool(error)


def test_programs_get_arguments_standard_input_environment_and_folder(tmp_path):
    (tmp_path / "program.py").write_text(
        "import os, sys\nprint(sys.argv, sys.stdin.read(), os.environ['A'], os.getcwd())"
    )
    done = start("program.py", "x", "y", cwd=tmp_path, env={"A": "1"}, input="hello")
    assert done.stdout.strip() == f"['program.py', 'x', 'y'] hello 1 {tmp_path}"


def test_programs_import_fastai_and_what_depends_on_it_themselves():
    names = ["fastai", "fastcore", "fastaudio", "fastaudio_norm", "torchaudio", "librosa"]
    assert start("-c", f"import sys; print(set({names}) & set(sys.modules))").stdout == "set()\n"
