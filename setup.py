"""What pyproject.toml cannot say. configs/ is aslx/configs in a wheel. A Python that is too old is
named: pip, given constraints, would say that versions conflict."""

import sys

import setuptools

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("aslx needs Python 3.11 or newer, and this is %d.%d" % sys.version_info[:2])  # noqa: UP031
setuptools.setup(
    packages=[*setuptools.find_packages(include=["aslx*"]), "aslx.configs"],
    package_dir={"aslx.configs": "configs"},
)
