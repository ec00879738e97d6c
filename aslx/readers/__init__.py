"""A user's or a stranger's file -> arrays, in bounded memory.

In: parquet, csv, images, npy, npz and films. Out: NumPy arrays, or one line that says what is
wrong.
"""
