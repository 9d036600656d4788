"""Names of files from text of others: they stay in their folder, and two texts stay two names."""

import pytest

from minisvdd.files.names import safe_name

STRANGE = (
    "..", ".", "", "../../x", "/etc/passwd", "a/b", "a\\b", "C:x", "a b", "a\0b", "a\nb", ".hidden", "x.", "con",
    "NUL.npz",
    "x" * 300, "ü" * 300, "日" * 300, "\udcff", "a:b", "*", "?",
)  # fmt: skip


@pytest.mark.parametrize("text", ["3", "stop", "speed-limit-20", "good", "über", "mine.npz-good-one-class-seed0", "-1"])
def test_harmless_names_stay_as_they_are(text):
    assert safe_name(text) == text


@pytest.mark.parametrize("text", STRANGE)
def test_what_comes_out_is_one_file_in_its_folder(text, tmp_path):
    name = safe_name(text)
    assert not set(name) & set('/\\:*?"<>|\0\n ')
    path = tmp_path / name
    path.write_text("x")
    assert [found.name for found in tmp_path.iterdir()] == [name]
    assert not name.startswith(".")


def test_as_much_of_a_name_is_kept_as_is_safe():
    for text, kept in (
        ("a/b", "a_b"),
        ("x.", "x_"),
        ("..x", "_.x"),
        ("x" * 300, "x" * 200),
        ("日" * 99, "日" * 66),
        ("CON", "CON"),
    ):
        name, dash, digits = safe_name(text).rpartition("-")
        assert (name, dash, len(digits)) == (kept, "-", 8)


def test_two_texts_are_two_names():
    texts = [*STRANGE, "a_b", "a?b", "_", "__", "x" * 301]
    assert len({safe_name(text).lower() for text in texts}) == len(texts)
