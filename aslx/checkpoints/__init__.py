"""Saved train states: written, listed, checked and read.

In: a tree of arrays and its score. Out: the same tree, from the newest step or the best.
"""
