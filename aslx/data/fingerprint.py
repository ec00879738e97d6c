"""Whether a data set is the one that it was."""

import hashlib

import numpy as np

from aslx.data import records

# What training reads of the index. The CRCs stand for every byte of the records; how these are
# divided among files changes nothing.
_COLUMNS = "crc", "length", "frames", "signer", "label", "phrase", "characters", "confidence"


def of(data: records.Records) -> str:
    """How many records there are, and a hash of what they hold, in their order."""
    digest = hashlib.sha256()
    for name in _COLUMNS:
        column = np.ascontiguousarray(getattr(data.index, name))
        digest.update(f"{name} {column.dtype.str} {len(column)}\n".encode())
        digest.update(column.tobytes())
    return f"{len(data)} records, {digest.hexdigest()[:16]}"
