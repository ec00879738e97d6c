"""What a model is trained for: its loss, its answers, its scores.

In: model inputs and the fields of records. Out: a summed loss, decoded answers, and a report of
them.
"""
