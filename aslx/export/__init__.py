"""Exports a run as TFLite, with the files that go with it: `python -m aslx.export`.

In: a run directory. Out: model.tflite, model.json, and submission.zip for a competition.
"""
