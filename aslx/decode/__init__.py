"""Logits -> ids: greedy, by beams, and with a prior of phrases.

In: a model and its inputs. Out: ids i32[B, L], confidences, and where each was read.
"""
