"""The README's Python examples run as they stand there, and its two commands are the ones that CI knows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_detector_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(EXAMPLES[0], names)
    split, model = names["split"], names["model"]
    scores = names["load_model"]("threes.npz").anomaly_score(split.test)
    assert (scores == model.anomaly_score(split.test)).all()
    assert scores[split.is_anomaly].mean() > 3 * scores[~split.is_anomaly].mean()


def test_gradcheck_example(capsys):
    exec(EXAMPLES[1], {})
    assert "looks like: negated" in capsys.readouterr().out


def test_there_are_two_commands():
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert len(commands) == 2
    assert commands[0].endswith("minisvdd train")
    assert 'pytest -m "not gpu"' in commands[1]
    assert README.split("<!-- the test command -->\n", 1)[1].startswith("```sh\n" + commands[1])


def test_tables_of_the_first_result_are_published_ones():
    for name in ("table1-digits-stages-one-class", "mnist-authors-code-one-class-nu0.1-seed0"):
        assert (ROOT / "benchmarks" / "results" / f"{name}.md").read_text(encoding="utf-8") in README
