"""Build a wheel from an unpacked sdist (PEP 517). Runs on its own: standard library only.

Reads {"source": directory of the sdist, "out": directory}; answers {"wheel": file name}.
"""

import importlib
import json
import os
import sys
import tomllib


def main():
    """Call the backend that the sdist names, or setuptools as pip does for those that name none."""
    spec = json.load(sys.stdin)
    os.chdir(spec["source"])
    sys.path.insert(0, spec["source"])
    # No compiler: a wheel with machine code would fit only the host that it was built on.
    os.environ |= {"CC": "/bin/false", "CXX": "/bin/false", "SOURCE_DATE_EPOCH": "1577836800"}
    answer_to = os.dup(1)
    os.dup2(2, 1)
    system = {}
    if os.path.exists("pyproject.toml"):
        with open("pyproject.toml", "rb") as stream:
            system = tomllib.load(stream).get("build-system", {})
    module, _, attribute = system.get("build-backend", "setuptools.build_meta:__legacy__").partition(":")
    for path in reversed(system.get("backend-path", [])):
        sys.path.insert(0, os.path.abspath(path))
    backend = importlib.import_module(module)
    for name in filter(None, attribute.split(".")):
        backend = getattr(backend, name)
    wheel = backend.build_wheel(spec["out"])
    sys.stdout.flush()
    os.write(answer_to, json.dumps({"wheel": wheel}).encode() + b"\n")


main()
