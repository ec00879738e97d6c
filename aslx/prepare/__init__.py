"""Data sets as their authors publish them -> shards to train on: `python -m aslx.prepare`.

In: a folder of landmarks, images or films. Out: TFRecord shards, an index, a report and figures.
"""
