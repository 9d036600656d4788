"""The course page: its plan holds every lecture and assignment, its hours add up, its links and numbers agree."""

import re
from pathlib import Path

import pytest

from minisvdd.course import NAMES, get_assignment
from minisvdd.course.catalog import PIECES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ("course.md", "questions.md", "problems.md", "teaching.md", "teacher/rubrics.md")
COURSE, QUESTIONS, PROBLEMS, TEACHING, RUBRICS = ((DOCS / name).read_text(encoding="utf-8") for name in PAGES)
LECTURES = {int(path.name[:2]): path.stem for path in (ROOT / "lectures").glob("[0-9]*.py")}
BY_THEMSELVES = PIECES["warm-up"]


def table(beginning):
    """The rows of the one table of the course page whose first cell is this, as lists of cells."""
    (block,) = [block for block in COURSE.split("\n\n") if block.startswith(f"| {beginning} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]


def assignments_of(cell):
    return re.findall(r"`([\w-]+)`(?! \*\(optional\)\*)", cell)


PLAN = table("week")
WEEKS, TOTAL = PLAN[:-1], PLAN[-1]
HOURS = {name.strip("`"): hours for name, hours, _ in table("assignment")}


def most(hours):
    """The upper end of "2 to 3"."""
    return float(hours.split(" to ")[-1])


def test_every_lecture_has_its_week_and_its_link():
    cells = " ".join(row[1] for row in WEEKS)
    linked = re.findall(r"\[(\d+) [^\]]+\]\(\.\./lectures/(\w+)\.py\)", cells)
    assert {int(number): stem for number, stem in linked} == LECTURES
    assert len(linked) == len(LECTURES)
    assert [int(row[0]) for row in WEEKS] == list(range(1, 13))


def test_every_assignment_has_its_week_and_its_hours():
    planned = [name for row in WEEKS for name in re.findall(r"`([\w-]+)`", row[3])]
    assert len(planned) == len(set(planned))
    assert set(planned) == set(HOURS)
    assert set(NAMES) - set(BY_THEMSELVES) <= set(planned)
    for name in set(NAMES) & set(planned):
        assert get_assignment(name).hours in (HOURS[name], ""), name


def test_hours_add_up():
    for row in WEEKS:
        reading, exercises, assignments, together = map(float, row[4:])
        assert sum(most(HOURS[name]) for name in assignments_of(row[3])) == assignments
        assert reading + exercises + assignments == together
    for column in range(4, 8):
        assert sum(float(row[column]) for row in WEEKS) == float(TOTAL[column])


def test_an_assignment_comes_when_its_lecture_was_read():
    """Links the other way: a handout names its lectures, of which the first is read by then."""
    week_of_lecture = {stem: int(row[0]) for row in WEEKS for stem in re.findall(r"lectures/(\w+)\.py", row[1])}
    week = {name: int(row[0]) for row in WEEKS for name in re.findall(r"`([\w-]+)`", row[3])}
    for name in set(NAMES) & set(week):
        first = get_assignment(name).lectures[0].partition("#")[0]
        assert week_of_lecture[first] <= week[name], name


def test_lectures_say_the_same_hours():
    for stem in LECTURES.values():
        text = (ROOT / "lectures" / f"{stem}.py").read_text(encoding="utf-8").replace("\n# ", " ")
        for name, hours in re.findall(r"minisvdd assignment ([\w-]+)` \((\d(?: to \d)?) hours?\b", text):
            assert HOURS[name] == hours, f"{stem}: {name}"


def test_exercises_are_there():
    for row in WEEKS:
        for number, exercise in re.findall(r"(\d+)\.(\d+)", row[2]):
            text = (ROOT / "lectures" / f"{LECTURES[int(number)]}.py").read_text(encoding="utf-8")
            assert re.search(rf"^# {exercise}\. ", text.partition("# ## Exercises")[2], re.MULTILINE), row[2]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = (DOCS / page).parent
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (DOCS / page).read_text(encoding="utf-8")):
        assert target.startswith("https://") or (folder / target).exists(), target


def test_the_papers_have_a_venue_and_a_year():
    books = COURSE.partition("## Books and papers")[2]
    entries = [
        " ".join(entry.split()) for entry in re.findall(r"^\* (.*?)(?=\n\*|\n\n|\Z)", books, re.DOTALL | re.MULTILINE)
    ]
    assert len(entries) >= 25
    for entry in entries:
        assert re.search(r"\*[^*]+\*\. .*\b(19[89]\d|20[012]\d)\b", entry), entry
    for number in re.findall(r"\(?[Ll]ectures? (\d+)", books):
        assert int(number) <= 17


def numbered(text):
    """{"3.1": the text of that item}; those of the capstone are C.1, C.2, ..."""
    parts = re.split(r"^\*\*((?:\d+|C)\.\d+)\*\*", text, flags=re.MULTILINE)[1:]
    found = dict(zip(parts[::2], parts[1::2]))
    assert len(found) == len(parts) // 2
    return found


def test_every_question_has_its_rubric_and_as_many_points():
    questions, rubrics = numbered(QUESTIONS), numbered(RUBRICS)
    assert list(questions) == list(rubrics)
    for number, text in questions.items():
        points = int(re.match(r" \((\d+) points(?:, \*open\*)?\) ", text)[1])
        assert sum(map(int, re.findall(r"^\* (\d+): ", rubrics[number], re.MULTILINE))) == points, number
    for lecture in range(1, 18):
        assert 2 <= sum(number.startswith(f"{lecture}.") for number in questions) <= 3
    assert [number for number in questions if number.startswith("C.")] == ["C.1", "C.2", "C.3"]
    assert QUESTIONS.count("*open*") > 5


def test_problems_are_ordered_and_marked():
    problems = numbered(PROBLEMS)
    assert len(problems) >= 60
    for text in problems.values():
        assert re.match(r" (★|★★|★★★) \w", text)
    order = [tuple(map(int, number.split("."))) for number in problems]
    assert order == sorted(order)
    assert {lecture for lecture, _ in order} == set(range(1, 18))
    headings = [re.findall(r"^## (\d+)\. (.+)$", text, re.MULTILINE) for text in (QUESTIONS, PROBLEMS, RUBRICS)]
    assert headings[0] == headings[1] == headings[2]


def test_rubrics_are_kept_from_the_book():
    """The book is made of docs/*.md."""
    assert "rubrics.md" not in {path.name for path in DOCS.glob("*.md")}


@pytest.mark.parametrize("page", PAGES)
def test_no_formula_is_broken_into_a_list(page):
    """A line that begins with a formula's plus or minus would be an item; dollar signs come in pairs."""
    for block in (DOCS / page).read_text(encoding="utf-8").split("\n\n"):
        outside = re.sub(r"```.*?```|`[^`\n]*`", "", block, flags=re.DOTALL)
        assert outside.count("$") % 2 == 0, block
        assert not re.search(r"^\s*[+-] .*\$", block, re.MULTILINE) or block.lstrip().startswith("- "), block
