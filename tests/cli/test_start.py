"""The command line starts without PyTorch, and an interruption of its start ends in one line."""

import argparse
import shlex
import subprocess
import sys
import textwrap

import pytest
from support import run

from fastaudio_norm.audio import SPECS
from fastaudio_norm.cli.main import main, make_parser
from fastaudio_norm.names import SPEC_NAMES, SPEC_TEXTS, WAVE_TEXTS
from fastaudio_norm.train import RECIPES
from fastaudio_norm.transforms import SPEC_NORMS, WAVE_NORMS

COMMANDS = ["inspect", "compare", "train", "stats", "norms", "conditions", "predict", "app", "drift", "update"]


def test_help_and_wrong_arguments_import_neither_pytorch_nor_numpy():
    calls = [
        *(["--help"], ["--version"], ["norms"], [], ["bogus"]),
        *([command, "--help"] for command in COMMANDS),
        *(["compare", "--norms", "nope"], ["compare", "--recipe", "x"], ["stats"], ["stats", "--spec", "x", "y"]),
        *(
            ["stats", "d", "--seed", "x"],
            ["predict", "m", "f", "--window", "-1"],
            ["drift", "s", "d", "--on-error", "x"],
        ),
    ]
    out = run(
        sys.executable,
        "-c",
        textwrap.dedent(f"""
        import sys
        from fastaudio_norm.cli.main import main
        for argv in {calls}:
            try: main(argv)
            except SystemExit: pass
            assert not {{"torch", "numpy", "fastai", "soundfile", "matplotlib"}} & set(sys.modules), argv
        print("light")
    """),
    )
    assert out.endswith("light\n") and "usage: fastaudio-norm compare" in out and "local-channel-robust" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_is_described_and_every_example_can_be_called(command, capsys):
    parser = make_parser()
    [commands] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    assert set(commands.choices) == set(COMMANDS)
    assert [action.dest for action in commands.choices[command]._actions if not action.help] == []
    with pytest.raises(SystemExit):
        parser.parse_args([command, "--help"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    examples = text.partition("examples:\n")[2].splitlines()[::2]
    assert examples or command == "norms"
    for line in examples:
        assert parser.parse_args(shlex.split(line)[1:]).command


def test_the_names_are_those_of_the_registries(capsys):
    assert list(WAVE_TEXTS) == list(WAVE_NORMS) and list(SPEC_TEXTS) == list(SPEC_NORMS)
    assert list(SPEC_NAMES) == list(SPECS)
    for recipe in RECIPES:
        assert make_parser().parse_args(["compare", "--recipe", recipe]).recipe == recipe
    main(["norms"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "none",
        *WAVE_NORMS,
        *SPEC_NORMS,
        "channel@COLUMN",
    ]


@pytest.mark.parametrize(
    "happens, status, message",
    [
        ("os.kill(os.getpid(), signal.SIGINT)", 130, "stopped; run the same command again to resume"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "stopped; run the same command again to resume"),
        ("raise ImportError('No module named torch')", 2, "No module named torch"),
    ],
)
def test_one_line_if_the_import_of_pytorch_is_interrupted(happens, status, message):
    code = textwrap.dedent(f"""
        import os, signal, sys
        from fastaudio_norm.cli.main import main

        class Interrupt:
            def find_spec(name, path, target=None):
                if name == "torch":
                    {happens}

        sys.meta_path.insert(0, Interrupt)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored if the tests run in the background
        main(["stats", "some/folder"])
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip(), done.stdout) == (status, f"fastaudio-norm: {message}", "")
