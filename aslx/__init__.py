"""aslx: a JAX trainer for sign-language recognition."""

__version__ = "0.1.0"
