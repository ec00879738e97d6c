"""A fingerprint of a data set, by which a run knows that its data are unchanged."""

import hashlib

import numpy as np

from aslx.data import records

# What training reads of the index. The CRCs cover every byte of the records. How records are
# divided among files does not matter.
_COLUMNS = "crc", "length", "frames", "signer", "label", "phrase", "characters", "confidence"


def of(data: records.Records) -> str:
    """The number of records, and a hash of their contents in order."""
    digest = hashlib.sha256()
    for name in _COLUMNS:
        column = np.ascontiguousarray(getattr(data.index, name))
        digest.update(f"{name} {column.dtype.str} {len(column)}\n".encode())
        digest.update(column.tobytes())
    return f"{len(data)} records, {digest.hexdigest()[:16]}"
