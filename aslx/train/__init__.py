"""The trainer: `python -m aslx.train`. The step is in `step`, the loop around it in `loop`.

In: a Config. Out: a run directory with checkpoints, metrics and figures.
"""
