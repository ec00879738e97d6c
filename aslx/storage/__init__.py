"""Files and folders that stand whole or not at all, on a disk or in a bucket.

In: paths and bytes. Out: files that survive a power cut, and arrays out of files that may be
hostile.
"""
