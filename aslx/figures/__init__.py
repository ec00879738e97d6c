"""Draws curves, scores, hands and bodies.

In: numbers and points. Out: Matplotlib figures and Pillow images.
"""
