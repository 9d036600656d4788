"""The options of all commands: help that works, and one help text for what several commands share."""

import argparse

import pytest
from helpers_cli import run

from minisvdd.cli.main import COMMANDS, make_parser

pytestmark = pytest.mark.slow

# Commands in which an option of this name is another one: where a download goes, what a grader draws.
OTHERS = {
    "--data-dir": {"minisvdd data fetch", "minisvdd info"},
    "--seed": {"minisvdd assignment", "minisvdd grade"},
}
SHARED = ("--backend", "--check-kernels", "--data-dir", "--protocol", "--quiet", "--seed", "--skip-damaged")


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
