"""A config or a run directory, opened: its network, its data, and what the model says of them.

In: a Config or a directory. Out: a model, and its answers and scores for every record of a split.
"""
