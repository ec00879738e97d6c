"""The live application: the page, the exported model, and an API. It imports no JAX.

In: an export, and frames or clips of strangers. Out: texts as they grow, over HTTP and WebSocket.
"""
