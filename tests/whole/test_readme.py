"""The README's Python examples run as they stand there, and its two commands are the ones that CI knows."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def example(beginning):
    """The one example whose lines contain this."""
    (found,) = [text for text in EXAMPLES if beginning in text]
    return found


def test_detector_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example("load_model("), names)
    split, model = names["split"], names["model"]
    scores = names["load_model"]("threes.npz").anomaly_score(split.test)
    assert (scores == model.anomaly_score(split.test)).all()
    assert scores[split.is_anomaly].mean() > 3 * scores[~split.is_anomaly].mean()


def test_gradcheck_example(capsys):
    exec(example("check_gradients"), {})
    assert "looks like: negated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("beginning", "file"),
    [("def conv2d_forward", "ops/conv2d/__init__.py"), ("def deep_svdd", "svdd/plain.py")],
)
def test_the_formulas_are_those_of_the_library(beginning, file):
    assert example(beginning) in (ROOT / "minisvdd" / file).read_text(encoding="utf-8")


def test_there_are_two_commands():
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert len(commands) == 2
    assert commands[0].endswith("minisvdd train")
    assert 'pytest -m "not gpu"' in commands[1]
    assert README.split("<!-- the test command -->\n", 1)[1].startswith("```sh\n" + commands[1])


def test_means_are_published_ones():
    """The row of means of both tables stands in the README, column by column."""
    for name in ("table1-digits-stages-one-class", "mnist-authors-code-one-class-nu0.1-seed0"):
        table = (ROOT / "benchmarks" / "results" / f"{name}.md").read_text(encoding="utf-8")
        (means,) = [line for line in table.splitlines() if line.startswith("| **mean**")]
        (row,) = [line for line in README.splitlines() if f"results/{name}.md)" in line]
        wanted = [cell.strip() for cell in means.split("|")[2:] if cell.strip()]
        assert [cell.strip() for cell in row.split("|")[2:] if cell.strip()] == wanted
