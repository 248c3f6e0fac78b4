"""Read by pytest before any test: packages are imported whole, in the order in which users import them.

Some modules carry the name of their function. Were such a file the first that pytest collects, it would put the module
in the function's place in the package.
"""

import pkgutil

import apmkit

for _package in [name for _, name, is_package in pkgutil.iter_modules(apmkit.__path__, "apmkit.") if is_package]:
    __import__(_package)
