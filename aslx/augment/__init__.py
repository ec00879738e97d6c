"""Clips, images and model inputs, changed at random on the device.

In: a batch and a key. Out: a batch of the same shapes.
"""
