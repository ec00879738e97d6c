"""The names and order of landmarks, characters and columns, and Protocols of features and networks.

In: nothing. Out: names, indices and Protocols that every other room shares.
"""
