"""Prepared records -> batches on the host: NumPy alone, no JAX.

In: a folder of TFRecord shards. Out: batch i, a pure function of the plan; where a batch is decided
is `plan`.
"""
