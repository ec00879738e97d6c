"""Files and folders that are complete or not there at all, on a disk or in a bucket.

In: paths and bytes. Out: files that survive a power cut, and arrays from files that may be hostile.
"""
