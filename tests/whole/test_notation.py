"""docs/notation.md has every symbol of the lectures' formulas; a lecture says where a letter means something else."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "notation.md").read_text(encoding="utf-8")
LECTURES = {int(path.stem[:2]): path for path in sorted((ROOT / "lectures").glob("[0-9]*.py"))}
GREEK = (
    "alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|varphi|psi|chi"
    "|omega|Delta|Lambda|Sigma|Phi|Psi|Omega"
)


def paragraphs(path):
    """The texts of a lecture's markdown cells, without code."""
    for cell in re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        if cell.startswith(" [markdown]"):
            text = re.sub("^# ?", "", cell.partition("\n")[2], flags=re.MULTILINE)
            yield from re.split(r"\n\s*\n", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL))


def symbols(text):
    r"""The letters of all formulas in a text: `x`, `\nu`, `\mathcal{K}`, `\beta_1`, `k_h`.

    Without words, units, bars and hats, the F of Frobenius, the e of an exponential and the O of a remainder.
    """
    found = set()
    for formula in map("".join, re.findall(r"\$\$(.+?)\$\$|\$([^$]+?)\$", text, re.DOTALL)):
        formula = re.sub(r"\\(text|mathrm|operatorname|mathbb|tag|begin|end)\s*\{[^{}]*\}", " ", formula)
        formula = re.sub(r"\\mathbb\s*[A-Z]|_F\b|\be(?=\^)|\bO(?=\()", " ", formula)
        formula = re.sub(r"\\mathcal\s*\{?([A-Z])\}?", r"\\mathcal\1 ", formula)
        for whole in (r"\\beta_\{?[12]\}?", "k_h", "k_w", r"\\mathcal[A-Z]"):
            found.update(match.replace("{", "").replace("}", "") for match in re.findall(whole, formula))
            formula = re.sub(whole, " ", formula)
        found.update(re.findall(rf"\\(?:{GREEK}|ell|mathbf)(?![a-zA-Z])", formula))
        found.update(re.findall("[A-Za-z]", re.sub(r"\\[a-zA-Z]+", " ", formula)))
    return found


def rows(heading):
    """The cells of the table under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines[1:]]


def numbers(text):
    """ "1, 3 to 5" -> {1, 3, 4, 5}."""
    found = set()
    for part in text.split(", "):
        first, _, last = part.partition(" to ")
        found.update(range(int(first), int(last or first) + 1))
    return found


EVERYWHERE = {symbol: numbers(lectures) for symbol, _, lectures in rows("In all lectures")}
HERE = {int(lecture): text for lecture, text in rows("Here something else")}
LOCAL = {int(lecture): text for lecture, text in rows("In one lecture")}
each_lecture = pytest.mark.parametrize("number", sorted(LOCAL))


def test_a_letter_of_all_lectures_has_one_meaning():
    letters = [symbol for symbol, _, _ in rows("In all lectures")]
    assert len(set(letters)) == len(letters)


def test_all_lectures_are_there():
    assert set(LOCAL) == set(LECTURES)


def house_letters(number):
    return {symbol.strip("$") for symbol, lectures in EVERYWHERE.items() if number in lectures}


@each_lecture
def test_every_symbol_of_a_lecture_is_in_the_tables(number):
    used = symbols("\n\n".join(paragraphs(LECTURES[number])))
    known = house_letters(number) | symbols(HERE.get(number, "")) | symbols(LOCAL[number])
    assert used - known == set(), "symbols that docs/notation.md does not have for this lecture"
    assert house_letters(number) - used == set(), "symbols that this lecture does not use"


@each_lecture
def test_a_letter_with_another_meaning_is_announced(number):
    """In the lecture's first cell, behind "Letters"; no other letter of all lectures means something else."""
    protected = {symbol.strip("$") for symbol in EVERYWHERE}
    first = LECTURES[number].read_text(encoding="utf-8").split("\n# %%")[0]
    announced = symbols(re.sub("^# ?", "", first, flags=re.MULTILINE).partition("**Letters**")[2])
    other = symbols(HERE.get(number, "")) & protected
    assert other - house_letters(number) <= announced, (
        "letters of which the first cell does not say that they are others"
    )
    assert symbols(LOCAL[number]) & protected <= house_letters(number) | other
