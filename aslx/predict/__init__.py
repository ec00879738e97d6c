"""Reads clips, images and films: `python -m aslx.predict`.

In: a run and files. Out: texts or classes, and pictures of what they were read from.
"""
