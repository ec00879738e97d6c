"""aslx: a JAX trainer for sign-language recognition."""
