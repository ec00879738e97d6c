"""What a config makes, before it is trained: `python -m aslx.describe`.

In: a Config. Out: its parameters, operations and shapes, and a picture of its augmentations.
"""
