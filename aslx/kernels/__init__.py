"""The functions that networks compute with: a plain form of each, and tuned forms.

In: arrays. Out: arrays, the same from each form. `mode` says which form a network takes.
"""
