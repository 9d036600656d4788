"""Tables of features: separators, headers, labels by name; a cell that is no number is named by row and column."""

import codecs

import numpy as np
import pytest
from helpers_data import one_line_error

from minisvdd.data.datasets import load_dataset
from minisvdd.data.own import read_samples
from minisvdd.data.tables import read_table


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t", ", "])
@pytest.mark.parametrize("header", ["", "a{0}b{0}c\n", "0{0}1{0}2\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_headers(tmp_path, mark, header, end):
    text = (header + "1{0}2.5{0}-3e-1\n\n4{0}5{0}6\n").format(mark).replace("\n", end)
    table = read_table(written(tmp_path, text))
    np.testing.assert_array_equal(table.features, [[1, 2.5, -0.3], [4, 5, 6]])
    assert (table.features.dtype, table.labels) == (np.float64, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, encoding):
    table = read_table(written(tmp_path, "größe,class\n1,gut\n2,schlecht\n", encoding))
    assert table.labels.tolist() == ["gut", "schlecht"]
    np.testing.assert_array_equal(table.features, [[1], [2]])


def test_one_row_of_numbers_is_a_sample_and_no_header(tmp_path):
    np.testing.assert_array_equal(read_table(written(tmp_path, "1,2,3")).features, [[1, 2, 3]])
    np.testing.assert_array_equal(read_table(written(tmp_path, "0\n1\n")).features, [[0], [1]])


@pytest.mark.parametrize("name", ["class", "Label", "y", "TARGET", "labels"])
@pytest.mark.parametrize(("cells", "labels"), [(("1", "-1.0", "1"), [1, -1, 1]), (("A", "a", "1"), ["A", "a", "1"])])
def test_a_column_of_labels_by_its_name(tmp_path, name, cells, labels):
    rows = "".join(f"{k},{cell},{2 * k}\n" for k, cell in enumerate(cells))
    table = read_table(written(tmp_path, f"u,{name},v\n{rows}"))
    assert table.labels.tolist() == labels
    np.testing.assert_array_equal(table.features, [[0, 0], [1, 2], [2, 4]])


def test_a_table_is_a_data_set(tmp_path):
    path = written(
        tmp_path, "u,v,class\n" + "".join(f"{k},{k % 3},{'bad' if k % 5 == 4 else 'good'}\n" for k in range(20))
    )
    dataset = load_dataset(str(path))
    one_line_error(lambda: dataset.one_class(), "bad (4 training samples), good (16", error=ValueError)
    split = dataset.one_class("good")
    assert (len(split.train), int((~split.is_anomaly).sum()), int(split.is_anomaly.sum())) == (12, 4, 4)
    found = read_samples(path)
    assert found.samples.shape == (20, 2)
    assert found.labels[4] == "bad"
    counted = load_dataset(str(written(tmp_path, "id,u\n1,5\n2,7\n")))
    assert "column 'id' counts the rows" in counted.notes[0]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["1000", "-3.0"], [1000, -3]),
        (["9007199254740993", "1"], ["9007199254740993", "1"]),
        (["1.5", "b"], ["1.5", "b"]),
        (["inf", "nan"], ["inf", "nan"]),
    ],
)
def test_labels_are_whole_numbers_or_text(tmp_path, cells, labels):
    rows = "".join(f"{cell},0\n" for cell in cells)
    assert read_table(written(tmp_path, f"y,u\n{rows}")).labels.tolist() == labels


@pytest.mark.parametrize("name", ["y", "Target", "class"])
@pytest.mark.parametrize("cells", [("0.2", "1"), ("3", "0.2"), ("nan", "0.2")])
def test_a_feature_that_is_called_like_labels_is_not_taken_for_them(tmp_path, name, cells):
    rows = "".join(f"0.1,{cell},0.3\n" for cell in cells)
    message = f"column {name!r}: expected whole numbers or words as labels, found 0.2: if it is a feature, call it"
    one_line_error(lambda: read_table(written(tmp_path, f"x,{name},z\n{rows}")), message)


@pytest.mark.parametrize("wanted", [None, ["z", "x"]])
def test_which_column_is_taken_as_the_labels_is_said(tmp_path, wanted):
    path = written(tmp_path, "x,y,z\n0.1,0,0.3\n0.2,1,0.4\n")
    assert f"{path}: column 'y' is taken as the labels" in read_table(path, wanted).notes


def test_a_column_that_counts_the_rows_is_left_out_and_said(tmp_path):
    table = read_table(written(tmp_path, ",u,y\n0,5,a\n1,6,b\n2,7,a\n"))
    np.testing.assert_array_equal(table.features, [[5], [6], [7]])
    assert "column '' counts the rows" in table.notes[1]


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
@pytest.mark.parametrize("numbers", ["3 7 12", "12 3 7", "-1 0 5", "3.0 7.0 12.0"])
def test_an_index_with_gaps_is_left_out_and_said(tmp_path, name, numbers):
    """As pandas writes it of a data frame that has lost rows or their order."""
    rows = "".join(f"{number},1.5,{k}\n" for k, number in enumerate(numbers.split()))
    path = written(tmp_path, f"{name},a,b\n{rows}")
    table = read_table(path)
    assert table.names == ("a", "b")
    assert table.notes == (f"{path}: column {name!r} numbers the rows and is left out",)
    np.testing.assert_array_equal(table.features, [[1.5, 0], [1.5, 1], [1.5, 2]])
    wanted = read_table(path, [name, "a", "b"])
    assert (wanted.features.shape, wanted.notes) == ((3, 3), ())


@pytest.mark.parametrize("name", ["id", "Index"])
def test_an_id_with_gaps_stays_and_is_said(tmp_path, name):
    path = written(tmp_path, f"{name},u\n3,5\n7,6\n")
    table = read_table(path)
    np.testing.assert_array_equal(table.features, [[3, 5], [7, 6]])
    (note,) = table.notes
    assert f"column '{name}' numbers the rows" in note
    assert "taken as a feature" in note
    assert read_table(path, [name, "u"]).notes == ()


@pytest.mark.parametrize("name", ["", "id", "Unnamed: 0"])
@pytest.mark.parametrize("cells", [("3", "3"), ("1.5", "2")])
def test_what_does_not_number_the_rows_is_a_feature(tmp_path, name, cells):
    table = read_table(written(tmp_path, f"{name},u\n{cells[0]},5\n{cells[1]},6\n"))
    assert (table.features.shape, table.notes) == ((2, 2), ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("u,v\n1,2\n3,x\n", ["row 3, column 'v'", "'x'"]),
        ("1,2\n3,x\n", ["row 2, column 2", "'x'"]),
        ("1.5,2,good\n3,4,bad\n", ["row 1, column 3", "'good'"]),
        ("u,v\n1,\n", ["row 2, column 'v'", "''"]),
        ("u,v\n1,nan\n", ["row 2, column 'v'", "'nan'"]),
        ("u,v\n1,1e99\n", ["row 2, column 'v'", "'1e99'", "too large for float32"]),
        ("u,v\n1,-3.5e38\n", ["row 2, column 'v'", "'-3.5e38'", "too large for float32"]),
        ("u;v\n1,5;2\n", ["row 2, column 'u'", "'1,5'", "decimal point"]),
        ("u,v\n1,2\n3\n", ["row 3", "expected 2 cells", "found 1"]),
        ("u,v\n1,2\n,\n3,4\n", ["row 3, column 'u'", "''"]),
        ("u;v\n1;2\n3;4\n;\n", ["row 4, column 'u'", "''"]),
        ("u\tv\n1\t2\n\t\n", ["row 3, column 'u'", "''"]),
        ('u\n1\n""\n3\n', ["row 3, column 'u'", "''"]),
        ('u,v\n1,2\n""\n', ["row 3", "expected 2 cells", "found 1"]),
        (",\n1,2\n", ["row 1, column 1", "''"]),
        ("u,y\n1,a\n2, \n", ["column 'y': row 3", "empty"]),
        ("u,y,class\n1,2,3\n", ["one column of labels", "'y', 'class'"]),
        ("y\n1\n", ["columns of features"]),
        ("u,v\n", ["rows below the names"]),
        ("", ["found no row"]),
        ("\n \n", ["found no row"]),
        ('u,v\n1,"2\n', ["damaged"]),
        ("u,v\n1,1_2\n", ["row 2, column 'v'", "'1_2'"]),
        ("1,2\n1,1_2\n", ["row 2, column 2", "'1_2'"]),
        (b"u,v\n1,\xff\n", ["expected text in UTF-8 or UTF-16, found byte 0xff at 6"]),
        ("größe,v\n1,2\n".encode("cp1252"), ["expected text in UTF-8 or UTF-16, found byte 0xf6 at 2"]),
        (codecs.BOM_UTF16_LE + b"1", ["expected text in UTF-8 or UTF-16"]),
    ],
)
def test_refusals_name_row_and_column(tmp_path, text, words):
    path = written(tmp_path, text)
    one_line_error(lambda: read_table(path), path, *words)


@pytest.mark.parametrize("blank", ["\n", "  \n", " \t \n", "\r\n"])
@pytest.mark.parametrize(
    "rows", [["u,v\n", "1,2\n", "3,4\n"], ["u\n", "1\n", "3\n"], ["u;v;class\n", "1;2;a\n", "3;4;b\n"]]
)
def test_blank_lines_are_skipped_wherever_they_stand(tmp_path, blank, rows):
    """Of a table of one column, too: an empty cell there is written `""`."""
    expected = read_table(written(tmp_path, "".join(rows)))
    table = read_table(written(tmp_path, blank + blank.join(rows) + blank))
    np.testing.assert_array_equal(table.features, expected.features)
    assert len(table.features) == 2


def test_missing_table(tmp_path):
    one_line_error(lambda: read_table(tmp_path / "absent.csv"), "absent.csv", "no such file")


def test_names_of_features_are_those_of_the_columns_that_are_kept(tmp_path):
    path = written(tmp_path, "id,u,class,größe\n0,1,a,2\n1,3,b,4\n")
    assert read_table(path).names == ("u", "größe")
    assert read_samples(path).feature_names == load_dataset(str(path)).feature_names == ("u", "größe")
    assert read_table(written(tmp_path, "1,2\n3,4\n")).names is None


# --- Columns by their names ---


def test_wanted_columns_are_taken_by_their_names(tmp_path):
    path = written(tmp_path, "v,id,u,class,w\n1,0,2,a,3\n4,1,5,b,6\n")
    table = read_table(path, ["u", "v"])
    np.testing.assert_array_equal(table.features, [[2, 1], [5, 4]])
    assert (table.names, table.labels.tolist()) == (("u", "v"), ["a", "b"])
    labels, left, order = table.notes
    assert "column 'class' is taken as the labels" in labels
    assert "not trained on 'id', 'w', left out" in left
    assert "another order" in order
    assert all(str(path) in note for note in table.notes)
    assert read_table(path, ["v", "id", "u", "w"]).notes == (labels,)
    for found in (read_samples(path, ["u", "v"]), load_dataset(str(path), columns=["u", "v"])):
        assert (found.feature_names, found.notes) == (table.names, table.notes)


def test_what_merely_counts_and_what_is_called_like_labels_is_kept_where_it_is_wanted(tmp_path):
    path = written(tmp_path, "id,y,u,label\n0,5,7,a\n1,6,8,b\n")
    table = read_table(path, ["id", "y", "u"])
    np.testing.assert_array_equal(table.features, [[0, 5, 7], [1, 6, 8]])
    assert table.labels.tolist() == ["a", "b"]
    assert table.notes == (f"{path}: column 'label' is taken as the labels",)


def test_blanks_around_names_do_not_matter(tmp_path):
    """Data frames keep them."""
    np.testing.assert_array_equal(read_table(written(tmp_path, "u , v\n1,2\n"), [" v", "u"]).features, [[2, 1]])


def test_columns_without_names_are_taken_as_they_are(tmp_path):
    """Which is said where other names were wanted."""
    path = written(tmp_path, "1.5,2\n3,4\n")
    for wanted in (None, ["u", "v"]):
        table = read_table(path, wanted)
        np.testing.assert_array_equal(table.features, [[1.5, 2], [3, 4]])
        assert table.names is None
        note = f"{path}: its columns have no names, and are taken for 'u', 'v' by their places"
        assert table.notes == ((note,) if wanted else ())


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("u,x,y,z", ["columns 'v', 'w'", "found 'u', 'x', 'z'"]),
        ("0,1,2,3", ["columns 'u', 'v', 'w'", "found '0', '1', '2', '3'"]),
        ("u,v,w,v", ["one column 'v'", "several"]),
    ],
)
def test_wanted_columns_that_are_missing_are_named(tmp_path, header, words):
    path = written(tmp_path, f"{header}\n1,2,3,4\n")
    one_line_error(lambda: read_table(path, ["u", "v", "w"]), path, *words)


def test_names_that_several_columns_have_are_noticed(tmp_path):
    table = read_table(written(tmp_path, "u,v,u,class\n1,2,3,a\n"))
    np.testing.assert_array_equal(table.features, [[1, 2, 3]])
    assert "several columns are called 'u'" in table.notes[1]


# --- What the first line is ---

SAMPLE, NAMES = "numbers of a sample", "names of columns"


@pytest.mark.parametrize(
    ("text", "rows", "said"),
    [
        ("0,1,2\n3,1,4\n", 1, NAMES),
        ("1.5,2,y\n3,4,n\n", 1, NAMES),
        ("2019,2020,class\n3,4,1\n", 1, NAMES),
        ("0,1,class\n3,4,a\n", 1, None),
        (",0,1\n7,3,4\n", 1, None),
        ("u,v\n1,2\n", 1, None),
        ("2019,2020,2021\n3,1,4\n", 2, SAMPLE),
        ("400,410,420\n3,1,4\n", 2, SAMPLE),
        ("7,3\n1.5,2.5\n", 2, SAMPLE),
        ("2019\n1.5\n", 2, SAMPLE),
        ("7,7\n1.5,2.5\n", 2, None),
        ("7,3\n1,2.5\n", 2, None),
        ("3,2,1\n1,2,3\n", 2, None),
        ("5,7\n1,2\n", 2, None),
        ("1.0,2.0,3.0\n4.5,5.5,6.5\n", 2, None),
        ("5\n6\n", 2, None),
        ("7,3,9\n", 1, None),
    ],
)
def test_it_is_said_where_the_first_line_could_be_names_or_numbers(tmp_path, text, rows, said):
    path = written(tmp_path, text)
    for found in (load_dataset(str(path)), read_samples(path)):
        assert len(found.samples if hasattr(found, "samples") else found.train_images) == rows
        about_it = [note for note in found.notes if f"{path}: the first line, " in note]
        line = text.splitlines()[0]
        assert [f"{line}, is taken for {said}" in note for note in about_it] == ([True] if said else [])


def test_a_long_first_line_is_shown_in_part(tmp_path):
    (note,) = read_table(written(tmp_path, ",".join(map(str, range(2000, 3000))) + "\n" + "1," * 999 + "1\n")).notes
    assert "the first line, 2000,2001,2002,2003,2004,2005,2006,2007,..., is" in note


@pytest.mark.parametrize("wanted", [("0", "1", "2"), ("2", "0")])
def test_wanted_names_tell_what_the_first_line_is(tmp_path, wanted):
    assert not any("first line" in note for note in read_table(written(tmp_path, "0,1,2\n3,4,6\n"), wanted).notes)
    years = written(tmp_path, "2020,2019,2021\n3,4,6\n")
    np.testing.assert_array_equal(read_table(years, ["2019", "2020"]).features, [[4, 3]])
