"""What networks compute with: a plain form of each function, and a tuned form for one use.

In: arrays. Out: arrays, the same from each form. `mode` says which form a network takes.
"""
