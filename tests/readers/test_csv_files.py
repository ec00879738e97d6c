"""Csv files of any tool are read, or refused with the file, the line and the fix."""

import pytest

from aslx import errors
from aslx.readers import csv_files

COLUMNS = ("path", "phrase")


def read(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [line.values for line in csv_files.read(path, COLUMNS)]


PLAIN = "path,phrase\na.parquet,no 7\nb.parquet,héé\n"
SAME = {
    "a byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "lines of Windows": PLAIN.replace("\n", "\r\n"),
    "lines of old Macs": PLAIN.replace("\n", "\r"),
    "all quoted": '"path","phrase"\n"a.parquet","no 7"\n"b.parquet","héé"\n',
    "empty lines": "\n" + PLAIN.replace("\n", "\n\n") + " \n,\n\n",
    "spaces in the header": PLAIN.replace("path,phrase", " path, phrase "),
    "commas at the end": PLAIN.replace("7\n", "7,,\n"),
    "no end of the last line": PLAIN[:-1],
}


@pytest.mark.parametrize("name", SAME)
def test_differences_between_tools_change_nothing(tmp_path, name):
    assert read(tmp_path, SAME[name]) == read(tmp_path, PLAIN)
    assert read(tmp_path, PLAIN)[1] == {"path": "b.parquet", "phrase": "héé"}


FAULTS = {
    "UTF-16": (PLAIN.encode("utf-16"), "a.csv is UTF-16: save it as UTF-8"),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-le"), "a.csv line 1 holds a zero byte: save"),
    "a zero byte": (PLAIN.replace("7", "\0"), "a.csv line 2 holds a zero byte"),
    "Latin-1": (PLAIN.encode("latin-1"), "a.csv line 3 is no UTF-8 (byte 0xe9): save it as UTF-8"),
    "semicolons": (PLAIN.replace(",", ";"), "a.csv parts its values by semicolons: save it with"),
    "tabs": (PLAIN.replace(",", "\t"), "a.csv parts its values by tabs"),
    "another header": ("file,phrase\na,b\n", "a.csv has no column 'path'; it has file, phrase"),
    "no line": ("", "a.csv has no column 'path'; it has nothing"),
    "a column twice": ("path,phrase,path\na,b,c\n", "has the column 'path' more than once"),
    "a comma in a value": (PLAIN.replace("no 7", "no, 7"), "a.csv line 2 has 3 values, and the"),
    "a line that ends early": (PLAIN + "c.parquet\n", "a.csv line 4 has 1 values, and the header"),
    "a quote that is not closed": (PLAIN + 'c,"d\ne\n', "line 5 is no csv: unexpected end of data"),
    "a value of a megabyte": (PLAIN + "c," + "d" * 10**6, "line 4 is no csv: field larger than"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_line(tmp_path, name):
    data, words = FAULTS[name]
    with pytest.raises(errors.BadInput) as caught:
        read(tmp_path, data)
    assert words in str(caught.value)


def test_a_csv_that_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.BadInput, match=r"a\.csv is not there"):
        list(csv_files.read(tmp_path / "a.csv", COLUMNS))


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../a", "a/../../b", "..", "./../c"])
def test_a_path_that_leads_out_of_the_folder_is_refused(path):
    line = csv_files.Line("a.csv line 7", {"path": path})
    with pytest.raises(errors.BadInput, match=r"a\.csv line 7: "):
        line.path()
    assert csv_files.Line("", {"path": " a/../b..c "}).path() == "a/../b..c"


def test_whole_numbers_are_read_and_other_texts_are_named():
    for text, number in (("7", 7), (" 7.0", 7), ("-3", -3), (str(2**63 - 1), 2**63 - 1)):
        assert csv_files.Line("", {"n": text}).integer("n") == number
    for text in ("", "x", "7.5", "nan", str(2**63), "9" * 5000):
        with pytest.raises(errors.BadInput, match=r"a line: n is '.*', and no whole"):
            csv_files.Line("a line", {"n": text}).integer("n")


def test_a_signers_number_depends_on_the_name_alone():
    numbers, names = csv_files.signers(["129", "129.0", "", "P01", "Zoë", " P01 ", "9999999999"])
    assert numbers[:3] == [129, 129, csv_files.UNKNOWN] and numbers[3] == numbers[5]
    assert names[numbers[3]] == "P01" and names[numbers[4]] == "Zoë"
    assert len({*numbers}) == 5 and all(number < 2**31 for number in numbers)
    assert csv_files.signers(["Zoë"]) == ([numbers[4]], {numbers[4]: "Zoë"})
