"""The networks, as their papers describe them, and the layers that they share.

In: f32[B, S, D] and a mask. Out: logits.
"""
