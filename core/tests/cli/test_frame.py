from __future__ import annotations

import os
import subprocess
import sys

import pytest

from patter.cli.commands import COMMANDS
from patter.plugins._metadata import own_version

ECHO = """
    from patter import hookimpl
    from patter.errors import ConfigError, ProviderError

    def run(arguments):
        if arguments.how == "fail":
            raise ProviderError("the line is dead")
        if arguments.how == "interrupt":
            raise KeyboardInterrupt
        if arguments.how == "defect":
            raise ZeroDivisionError
        print(arguments.how, len(arguments.manager.plugins()) > 1)
        return {"three": 3, "none": None}.get(arguments.how, 0)

    @hookimpl
    def patter_register_commands(cli):
        parser = cli.add_parser("echo", help="say it again")
        parser.add_argument("how")
        parser.set_defaults(run=run)
"""


def test_help_lists_every_command(patter):
    patter("--help")
    assert patter.code == 0
    assert all(name in patter.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(patter, name):
    patter(name, "--help")
    assert patter.code == 0
    assert "usage: patter " + name in patter.out


def test_version(patter):
    assert patter("--version").out == f"patter {own_version()}\n"
    assert patter.code == 0


def test_without_a_command_the_help_is_shown_and_nothing_was_done(patter):
    assert patter().code == 2
    assert "usage: patter" in patter.out


@pytest.mark.parametrize("words", [("nonsense",), ("plugins", "--nonsense"), ("providers", "ears")])
def test_a_usage_error_is_said_by_argparse(patter, words):
    assert patter(*words).code == 2
    assert "usage: patter" in patter.err


@pytest.mark.parametrize(("how", "code"), [("hello", 0), ("three", 3), ("none", 0)])
def test_a_plugin_adds_a_command_by_hook(patter, how, code):
    patter.install("patter-echo", ECHO)
    assert patter("echo", how).code == code
    assert patter.out == f"{how} True\n"


def test_an_error_of_ours_is_one_line_and_its_traceback_is_for_debug(patter):
    patter.install("patter-echo", ECHO)
    assert patter("echo", "fail").code == 2
    assert patter.err == "patter: the line is dead\n"
    assert patter("--debug", "echo", "fail").code == 2
    assert "Traceback" in patter.err


def test_a_bad_setting_of_the_plugins_is_one_line(patter, monkeypatch):
    monkeypatch.setenv("PATTER_DISABLE_PLUGIN_AUTOLOAD", "perhaps")
    assert patter("plugins").code == 2
    assert patter.err == "patter: PATTER_DISABLE_PLUGIN_AUTOLOAD='perhaps' is neither 1 nor 0\n"


def test_a_defect_is_not_hidden(patter):
    patter.install("patter-echo", ECHO)
    with pytest.raises(ZeroDivisionError):
        patter("echo", "defect")


def test_ctrl_c_ends_without_a_traceback(patter):
    patter.install("patter-echo", ECHO)
    assert patter("echo", "interrupt").code == 130
    assert patter.err == "\n"


@pytest.mark.parametrize(
    "source", ["raise OSError('no disk')", "cli.add_parser('plugins')", "cli.nonsense()"]
)
def test_a_plugin_whose_commands_fail_is_left_out_with_a_warning(patter, caplog, source):
    patter.install(
        "patter-bad", f"from patter import hookimpl\n@hookimpl\ndef patter_register_commands(cli): {source}"
    )
    patter.install("patter-echo", ECHO)
    assert patter("echo", "hello").code == 0
    assert "the commands of plugin 'bad' are left out" in caplog.text


def test_strict_mode_does_not_stop_the_commands_that_explain(patter, monkeypatch):
    patter.install("patter-broken", "import a_module_that_is_nowhere")
    monkeypatch.setenv("PATTER_STRICT_PLUGINS", "1")
    assert patter("plugins").code == 0
    assert "a_module_that_is_nowhere" in patter.out


@pytest.mark.parametrize("words", [["--help"], ["plugins", "--all"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_traceback(words, unbuffered):
    code = f"import sys; from patter.cli import main; sys.stdin.read(1); sys.exit(main({words!r}))"
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", code], env=environ, **pipes) as process:
        process.stdout.close()
        process.stdin.write(b"x")
        process.stdin.close()
        assert process.stderr.read() == b""
