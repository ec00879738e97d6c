"""Saved train states: written, listed, checked and read.

In: a tree of arrays and its score. Out: the same tree, of the newest step or of the best.
"""
