"""The same example several times is told, above all where one part tests what another trains."""

import numpy as np

from aslx.prepare import duplicates


def test_duplicates_are_counted_within_and_across_parts_and_labels():
    keys = [duplicates.digest(np.full(3, i)) for i in range(5)]
    found = [("train", "a", keys[0])] * 3
    found += [("train", "a", keys[1]), ("test", "a", keys[1]), ("test", "a", keys[1])]
    found += [("validation", "a", keys[2]), ("test", "b", keys[2])]
    found += [("train", "a", keys[3]), (None, "b", keys[3]), ("test", "b", keys[4])]
    counts = duplicates.count(found)
    assert counts == {"within a part": 3, "across parts": 3, "with another label": 2}
    assert len(duplicates.said(counts)) == 3 and not duplicates.said(duplicates.count(found[5:6]))


def test_a_digest_is_of_values_and_shape():
    a = np.arange(6, dtype="<f2").reshape(1, 2, 3)
    same = np.stack([np.zeros_like(a), a])[1]
    assert duplicates.digest(a) == duplicates.digest(same)
    others = (a.reshape(2, 1, 3), a.astype("<f4"), a + np.float16(1), a[:0])
    assert len({duplicates.digest(x) for x in (a, *others)}) == 5
