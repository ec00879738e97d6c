"""Reads files of users and strangers into arrays, in bounded memory.

In: parquet, csv, images, npy, npz and videos. Out: NumPy arrays, or one line that names the fault.
"""
