"""A grade for people (a table) and for machines (Gradescope's results.json, JUnit XML)."""

import re
import xml.etree.ElementTree as ElementTree

from ...files.atomic import atomic_write
from .grading import Grade

# What terminals obey, XML cannot hold, or turns the direction of writing round.
_CONTROL = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
_LONGEST_NAME = 100


def as_text(grade: Grade) -> str:
    """The table for the terminal: points of each part, then what is wrong with each that lost some."""
    width = max([len(part.name) for part in grade.parts], default=10)
    lines = [f"{clean_line(grade.file)}: {grade.assignment}", *(clean(note) for note in grade.notes), ""]
    for part in grade.parts:
        mark = "ok" if part.passed else "part" if part.score else "-"
        kind = "hidden" if part.hidden else "public"
        lines.append(f"{part.name:{width}}  {kind}  {part.score:5g} / {part.points:<3g} {mark}")
    lines += ["", *_messages(grade)]
    lines += [f"tried, and was not allowed: {clean_line(what)}" for what in grade.tried]
    if grade.output.strip():
        lines += ["printed:", *(f"  {line}" for line in clean(grade.output).splitlines()[:20])]
    lines.append(
        f"public {grade.public_score:g} / {grade.public_points:g}, total {grade.score:g} / {grade.points:g} "
        f"({grade.seconds:.1f} s)"
    )
    return "\n".join(lines)


def _messages(grade):
    """Each message once, under the names of all the parts that it is about."""
    names: dict[str, list[str]] = {}
    for part in grade.parts:
        if part.message:
            names.setdefault(part.message, []).append(part.name)
    for message, parts in names.items():
        shown = parts if len(parts) <= 4 else [*parts[:3], f"and {len(parts) - 3} more"]
        yield "; ".join(shown)
        yield from (f"  {line}" for line in clean(message).splitlines())
        yield ""


def gradescope(grade: Grade) -> dict:
    """What Gradescope reads as results.json: hidden parts show after the grades are published."""
    tests = [
        {
            "number": str(number),
            "name": part.name,
            "score": part.score,
            "max_score": part.points,
            "status": "passed" if part.passed else "failed",
            "output": clean(part.message),
            "visibility": "after_published" if part.hidden else "visible",
        }
        for number, part in enumerate(grade.parts, start=1)
    ]
    notes = [f"public parts: {grade.public_score:g} of {grade.public_points:g} points; hidden parts count too"]
    notes += [clean(note) for note in grade.notes]
    notes += [f"tried, and was not allowed: {clean(what)}" for what in grade.tried]
    if grade.problem:
        notes.insert(0, clean(grade.problem))
    return {
        "score": grade.score,
        "execution_time": round(grade.seconds, 3),
        "output": "\n".join(notes),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {
            "assignment": grade.assignment,
            "file": clean_line(grade.file),
            "max_score": grade.points,
            "public_score": grade.public_score,
            "public_max_score": grade.public_points,
            "tried": [clean(what) for what in grade.tried],
            "printed": clean(grade.output),
        },
    }


def write_junit(path, grade: Grade) -> None:
    """Write JUnit XML: a test case for each part."""
    lost = sum(not part.passed for part in grade.parts)
    suite = ElementTree.Element(
        "testsuite",
        name=f"minisvdd.{grade.assignment}",
        tests=str(len(grade.parts)),
        failures=str(lost),
        errors="0",
        skipped="0",
        time=f"{grade.seconds:.3f}",
    )
    for part in grade.parts:
        function, _, what = part.name.partition(": ")
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"{grade.assignment}.{function}", name=what, time=f"{part.seconds:.3f}"
        )
        if not part.passed:
            message = clean(part.message)
            failure = ElementTree.SubElement(case, "failure", message=message.partition("\n")[0], type="points")
            failure.text = f"{part.score:g} of {part.points:g} points\n{message}"
    if grade.output:
        ElementTree.SubElement(suite, "system-out").text = clean(grade.output)
    tree = ElementTree.ElementTree(ElementTree.Element("testsuites"))
    tree.getroot().append(suite)
    ElementTree.indent(tree)
    with atomic_write(path, "wb") as file:
        tree.write(file, encoding="utf-8", xml_declaration=True)


def clean(text: str) -> str:
    """Without the characters that XML cannot hold and terminals obey."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def clean_line(text: str) -> str:
    """`clean`, in one line."""
    return " ".join(clean(text).split())


def clean_name(name: str) -> str:
    """The name of a file or a student as it can be printed; bytes that are no UTF-8 are shown as such (`Jos\\xe9`)."""
    text = re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", name)
    return clean_line(text)[:_LONGEST_NAME] or "?"
