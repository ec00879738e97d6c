"""Landmarks or pixels -> what a network sees, in JAX; one definition for training and export.

In: a batch of clips or images. Out: f32[B, S, D] with its mask, or f32[B, H, W, C].
"""
