"""What is tuned for one processor, apart from what it computes.

In: arrays, or this process. Out: the same arrays sooner, or in less memory.
"""
