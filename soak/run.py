"""Run the long tests of this folder: ``python soak/run.py [--share 1.0] [name …]``.

A name is that of a module, or the beginning of several, such as *campaign*. Each module has
a function ``run(share)``. It does its full work times *share*, raises `AssertionError` on
a violation, and returns its figures by name.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType


FOLDER = Path(__file__).parent


def load(name: str) -> ModuleType:
    """Return the module *name* of this folder."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Run what the command line names, by default everything."""
    # Python's safe path leaves the folder out, and the modules share one.
    sys.path.insert(0, str(FOLDER))
    known = sorted(
        {path.stem for path in FOLDER.glob("[!_]*.py")} - {Path(__file__).stem}
    )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(known))
    parser.add_argument("--share", type=float, default=1.0, help="of the full figures")
    options = parser.parse_args()
    named = []
    for name in options.names:
        found = [one for one in known if one.startswith(name)]
        if not found:
            parser.error(f"unknown: {name}")
        named.extend(found)
    failed = 0
    for name in named or known:
        began = time.perf_counter()
        print(f"{name}", flush=True)
        try:
            figures = load(name).run(options.share)
        except AssertionError as error:
            failed = 1
            figures = {"violation": error}
        figures["seconds"] = f"{time.perf_counter() - began:.0f}"
        for label, figure in figures.items():
            print(f"  {label:<44} {figure}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
