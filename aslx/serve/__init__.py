"""The live application: the page, the exported model, and an API beside them. No JAX in here."""
