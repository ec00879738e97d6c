"""How curves, scores, hands and bodies are drawn.

In: numbers and points. Out: figures of Matplotlib, and pictures of Pillow.
"""
