"""What landmarks, characters and columns are called, and in which order they stand.

In: nothing. Out: names and indices that every other room shares.
"""
