"""The options of all commands: help that works, and one help text for what several commands share."""

import argparse
import re

import pytest
from helpers_cli import run

from minisvdd.cli.main import COMMANDS, make_parser
from minisvdd.cli.options import backend_label, check_counts, start_backend, verbosity

pytestmark = pytest.mark.slow

# Commands in which an option of this name is another one: where a download goes, what a grader draws.
OTHERS = {
    "--data-dir": {"minisvdd data fetch", "minisvdd info"},
    "--seed": {"minisvdd assignment", "minisvdd grade"},
}
SHARED = (
    "--backend",
    "--check-kernels",
    "--data-dir",
    "--precision",
    "--protocol",
    "--quiet",
    "--seed",
    "--skip-damaged",
)


def leaves(parser):
    """All parsers below this one that have no sub-parsers, by the words that lead to them."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        return {parser.prog: parser}
    return {words: leaf for inner in below[0].choices.values() for words, leaf in leaves(inner).items()}


PARSERS = leaves(make_parser())


def options(parser):
    """Names and actions of a parser's options."""
    return {name: action for action in parser._actions for name in action.option_strings}


def test_every_command_is_there():
    assert {words.split()[1] for words in PARSERS} == set(COMMANDS)
    assert len(PARSERS) > len(COMMANDS), "tables, report and figures of `experiment`"


def test_counts_are_at_least_one_where_they_are_given():
    check_counts(argparse.Namespace(seeds=1, queries=None), "seeds", "queries")
    with pytest.raises(ValueError, match=r"^--seeds 0: expected an integer >= 1$"):
        check_counts(argparse.Namespace(queries=5, seeds=0), "queries", "seeds")


@pytest.mark.parametrize(("quiet", "verbose"), [(True, 0), (False, 1)])
def test_quiet_is_verbose_0(quiet, verbose):
    assert verbosity(argparse.Namespace(quiet=quiet)) == verbose


@pytest.mark.parametrize("words", PARSERS)
def test_help_of_each_command_names_its_options(words, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*words.split()[1:], "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {words}")
    assert all(name in text for name in options(PARSERS[words]))


@pytest.mark.parametrize("words", PARSERS)
def test_every_option_and_argument_has_a_help_text(words):
    assert [action.dest for action in PARSERS[words]._actions if not action.help] == []


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_option_has_one_help_text_and_one_type(name):
    found = {words: options(parser)[name] for words, parser in PARSERS.items() if name in options(parser)}
    others = OTHERS.get(name, set())
    assert others <= found.keys()
    same = [action for words, action in found.items() if words not in others]
    assert len(same) > 1
    assert len({(action.help, action.type, action.nargs, str(action.choices)) for action in same}) == 1
    if name != "--protocol":  # each table has its own
        assert len({action.default for action in same}) == 1


@pytest.mark.parametrize("words", PARSERS)
def test_a_default_is_said_once_and_only_where_there_is_one(words):
    for text in re.split(r"\n  (?=\S)", PARSERS[words].format_help()):
        assert text.count("(default") <= 1, text
        assert not re.search(r"\(default:\s+(None|False)\)", text), text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train --seed -1", "--seed -1: expected a seed >= 0"),
        ("train --checkpoint-every -3", "--checkpoint-every -3: expected an integer >= 1"),
        ("train --data fashion", "--data fashion: expected digits, "),
        ("train --nu 7", "--nu 7.0: expected a number in (0, 1]"),
        (
            "train --network mnist_lenet",
            "--network mnist_lenet expects images of 28x28, got 8x8; use --network small_lenet",
        ),
        ("train --threshold nu --false-alarm-rate 0.05", "--false-alarm-rate: has no effect with --threshold nu"),
        ("train --threshold nu --refit", "--refit: has no effect with --threshold nu"),
        (
            "train --nu 0.1 --threshold holdout",
            "--nu 0.1: has no effect with --threshold holdout and --objective one-class",
        ),
        (
            "assignment linear --seed 0",
            "--seed: assignment NAME takes --out, --level, --solution, --notebook, --variant",
        ),
        ("assignment linear --wheel w", "--wheel: assignment NAME takes --out, "),
        ("assignment linear --notebook otter --install spec", "--install: assignment NAME --notebook takes --out, "),
        ("assignment pack linear --solution", "--solution: assignment pack takes --out, --level, --seed, "),
        ("assignment list --level plain", "--level: assignment list takes no options"),
        ("assignment list --solution --out x", "--out: assignment list takes no options"),
        ("train --normal-class x", "--normal-class x: "),
        ("train --backend gpu", "--backend gpu "),
        ("train --precision tf32", "--precision tf32: needs --backend cuda or emulator, not numpy"),
        ("bench --precision tf32 --backend plain", "--precision tf32: needs --backend cuda or emulator, not plain"),
        ("experiment table1-digits --precision tf32", "--precision tf32: needs --backend cuda or emulator, not numpy"),
        ("experiment table1-digits --methods svm", "--methods svm: expected some of oc-svm, "),
        ("experiment table1-digits --seeds 0", "--seeds 0: expected an integer >= 1"),
        ("experiment table1-digits --jobs 0", "--jobs 0: expected an integer >= 1"),
        ("experiment table1-digits --jobs -3", "--jobs -3: expected an integer >= 1"),
        ("experiment table1-digits --budget -1", "--budget -1.0: expected seconds > 0"),
    ],
)
def test_errors_name_the_option_that_was_typed(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*words.split()) == 2
    assert capsys.readouterr().err.startswith(f"minisvdd: error: {message}")


@pytest.mark.compiler
@pytest.mark.parametrize("words", ["train", "bench", "experiment table1-digits"])
def test_precision_reaches_the_backend(words):
    arguments = make_parser().parse_args([*words.split(), "--backend", "emulator", "--precision", "tf32"])
    backend = start_backend(backend_label(arguments), check_kernels=True)
    assert (backend.label, backend.check) == ("emulator:tf32", True)


def test_a_file_is_no_option(tmp_path, capsys):
    assert run("train", "--data", tmp_path / "seed=0.npz") == 2
    assert "seed=0.npz" in capsys.readouterr().err
