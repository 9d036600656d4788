"""The README and the pages that it leads to: examples run as they stand there, numbers are those of the results, links
lead somewhere, and the test command is the one that CI knows."""

import json
import re
import shlex
from pathlib import Path

import pytest

from minisvdd.cli.main import main, make_parser

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/start.md", "docs/gradients.md", "benchmarks/README.md", "benchmarks/results/README.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
README = TEXTS["README.md"]
RESULTS = ROOT / "benchmarks" / "results"
NUMBERS = {15: "Fifteen", 16: "Sixteen", 17: "Seventeen"}


def blocks(text, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [inside for kind, inside in found if kind == language]


def example(page, beginning):
    """The one Python example of the page that contains this."""
    (found,) = [text for text in blocks(TEXTS[page], "python") if beginning in text]
    return found


def row(text, beginning):
    """The cells of the one line of a table that begins so, behind the first; empty ones too."""
    (line,) = [line for line in text.splitlines() if line.startswith(beginning)]
    return [cell.strip() for cell in line.strip().strip("|").split("|")[1:]]


def means(name, columns, beginning="| **mean**"):
    """Of these columns of a published table."""
    tables = re.split(r"\n(?=\| normal class )", "\n" + (RESULTS / f"{name}.md").read_text(encoding="utf-8"))[1:]
    found = {}
    for table in tables:
        if any(line.startswith(beginning) for line in table.splitlines()):
            heads = [cell.strip() for cell in table.splitlines()[0].strip("|").split("|")[1:]]
            found = dict(zip(heads, row(table, beginning))) | found
    return [found[column] for column in columns]


def json_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


# Examples


def test_detector_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example("README.md", "load_model("), names)
    split, model = names["split"], names["model"]
    scores = names["load_model"]("threes.npz").anomaly_score(split.test)
    assert (scores == model.anomaly_score(split.test)).all()
    assert scores[split.is_anomaly].mean() > 3 * scores[~split.is_anomaly].mean()
    comment = r"\.mean\(\)  # about ([\d.]+): of (\d+) % asked, (\d+) threes"
    said = re.search(comment, example("README.md", "load_model("))
    alarms = (model.predict(split.test[~split.is_anomaly]) == -1).mean()
    assert float(said[1]) == pytest.approx(alarms, abs=0.06)  # five of 91: a score's last digits are a machine's own
    assert (int(said[2]), int(said[3])) == (100 * model.false_alarm_rate, len(model.holdout_scores_))


@pytest.mark.slow
def test_what_the_first_command_prints(tmp_path, capsys):
    """On another machine the last digits may be others."""
    (shown,) = [text for text in blocks(TEXTS["docs/start.md"], "") if text.startswith("digits, normal class")]
    assert main(["train", "--quiet", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.partition("model  ")[0]
    number = r"\d+(?:\.\d+)?"
    assert re.sub(number, "#", printed) == re.sub(number, "#", shown)
    for ours, theirs in zip(re.findall(number, printed), re.findall(number, shown)):
        assert float(ours) == pytest.approx(float(theirs), abs=0.25)


def test_gradcheck_example(capsys):
    exec(example("docs/gradients.md", "check_gradients"), {})
    assert "looks like: negated" in capsys.readouterr().out


def test_the_formula_is_that_of_the_library():
    text = (ROOT / "minisvdd" / "ops" / "conv2d" / "__init__.py").read_text(encoding="utf-8")
    assert example("README.md", "def conv2d_forward") in text


# Commands


def test_there_are_two_commands_and_each_is_spelt_for_windows_too():
    commands = [block.strip() for block in blocks(README, "sh")]
    assert len(commands) == 2
    assert commands[0].endswith("minisvdd train")
    assert 'pytest -m "not gpu"' in commands[1]
    assert README.split("<!-- the test command -->\n", 1)[1].startswith("```sh\n" + commands[1])
    on_windows = [" ".join(words.split()) for words in re.findall(r"`(py -m venv.*?)`", README, re.DOTALL)]
    assert on_windows == [
        command.replace("python3", "py").replace(".venv/bin/", ".venv\\Scripts\\") for command in commands
    ]


COMMANDS = [
    (page, line.partition("  #")[0].strip())
    for page in PAGES[:3]
    for text in re.findall(r"```\w*\n(.*?)```|`([^`]+)`", TEXTS[page], re.DOTALL)
    for line in "".join(text).splitlines()
    if re.match(r"minisvdd [a-z]+ \S", line) and "COMMAND" not in line
]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_is_one_that_there_is(page, command):
    """With options that it has; it is not run here."""
    words = [word for word in shlex.split(command)[1:] if word != "NAME"]
    if words[:2] == ["assignment", "pack"] or words[-1] in ("fetch", "--data", "pack"):  # said without the name
        words.append("mnist" if words[-1] == "fetch" else "batchnorm")
    assert make_parser(words).parse_args(words).run


def test_the_first_scripts_are_there():
    for script in re.findall(r"\bpython ((?:lectures|benchmarks)/\w+\.py)", "".join(TEXTS.values())):
        assert (ROOT / script).is_file(), script


# Numbers


def test_the_table_is_that_of_the_results():
    """Means over the classes, ours and the paper's."""
    columns = ["one-class, random weights", "dcae", "soft-boundary", "one-class"]
    for name in ("table1-digits", "table1-mnist"):
        (line,) = [line for line in README.splitlines() if f"results/{name}.md)" in line]
        cells = row(README, line[:10])
        assert cells[:4] == means(name, columns), name
        paper = means(name, columns[1:], "| paper: mean") if name == "table1-mnist" else ["", "", ""]
        assert cells[4:] == paper, name


def test_what_training_adds_is_that_of_the_results():
    page = TEXTS["benchmarks/results/README.md"]
    for name in ("table1-digits-stages-one-class", "mnist-authors-code-one-class-nu0.1-seed0"):
        published = row((RESULTS / f"{name}.md").read_text(encoding="utf-8"), "| **mean**")
        (line,) = [line for line in page.splitlines() if f"]({name}.md)" in line and line.startswith("| [")]
        assert [cell for cell in row(page, line[:20]) if cell] == published


def test_speed_and_memory_are_those_of_the_results():
    rows = json_of(RESULTS / "step.json")["rows"]
    ratios = [row["ratio"] for row in rows if "scoring" not in row["workload"]]
    assert f"takes {min(ratios):.2f} to {max(ratios):.2f} times as long" in README
    shares = [row["peak_mb"]["minisvdd"] / row["peak_mb"]["torch"] for row in rows]
    assert f"with {min(shares):.2f} to {max(shares):.2f} of its memory" in README
    table = TEXTS["benchmarks/README.md"]
    for found in rows:
        (beginning,) = [line[:25] for line in table.splitlines() if line.startswith(f"| {found['workload']}, ")]
        ours, theirs, *_ = row(table, beginning)
        assert (ours, theirs) == (f"{found['ms']['minisvdd']:.1f}", f"{found['ms']['torch']:.1f}")


def test_counts_of_checks_are_those_of_the_records():
    planted = json_of(ROOT / "tests" / "mutants" / "python_mutants.json")["results"]
    damaged = sum(found["files"] for found in json_of(RESULTS / "fuzz.json")["formats"])
    words = " ".join(README.split())
    assert f"{len(planted)} planted errors, {damaged} damaged files" in words


def test_the_number_of_lectures():
    assert f"[{NUMBERS[len(list((ROOT / 'lectures').glob('[0-9]*.py')))]} lectures](lectures/README.md)" in README


# Links


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", TEXTS[page], flags=re.DOTALL)):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings], target
