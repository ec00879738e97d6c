"""Reads prepared records into batches on the host, with NumPy alone.

In: a folder of TFRecord shards. Out: batch i, a pure function of i and the `plan`.
"""
