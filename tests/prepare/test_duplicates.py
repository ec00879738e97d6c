"""Equal examples are counted, within a part and across parts."""

from aslx.prepare import duplicates


def test_duplicates_are_counted_within_and_across_parts_and_labels():
    keys = [bytes([i]) for i in range(5)]
    found = [("train", "a", keys[0])] * 3
    found += [("train", "a", keys[1]), ("test", "a", keys[1]), ("test", "a", keys[1])]
    found += [("validation", "a", keys[2]), ("test", "b", keys[2])]
    found += [("train", "a", keys[3]), ("test", "b", keys[4])]
    counts = duplicates.count(found)
    assert counts == {"within a part": 3, "across parts": 3, "with another label": 2}
    assert len(duplicates.said(counts)) == 3 and not duplicates.said(duplicates.count(found[5:6]))
