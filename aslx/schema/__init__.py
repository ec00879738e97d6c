"""What landmarks, characters and columns are called, and in which order they stand; and what is
asked of features and networks, which every config chooses.

In: nothing. Out: names, indices and Protocols that every other room shares.
"""
