"""A run -> TFLite, and the folder or the zip that others take it from: `python -m aslx.export`.

In: a run directory. Out: model.tflite, model.json, and submission.zip for a competition.
"""
