"""The live application: the page, the exported model, and an API beside them. No JAX in here.

In: an export, and frames or clips of strangers. Out: texts as they grow, over HTTP and WebSocket.
"""
