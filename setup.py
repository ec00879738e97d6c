"""Names a Python that is too old: pip, given constraints, would say that versions conflict."""

import sys

import setuptools

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("aslx needs Python 3.11 or newer, and this is %d.%d" % sys.version_info[:2])  # noqa: UP031
setuptools.setup()
