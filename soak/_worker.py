"""A worker process of the soaks of fleets: the command, in a process that was forked."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from linkedapi_async.cli import main


def work(folder: Path, environment: Mapping[str, str], ahead: float) -> None:
    """Run ``linkedapi worker`` until it ends the process.

    Args:
        folder: Where its module and its log are.
        environment: More variables of its environment.
        ahead: How far its clock is ahead, in seconds.
    """
    with (folder / "log").open("ab") as log:
        for output in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), output.fileno())
    # All that the library logs is searched for tokens.
    logging.basicConfig(level="INFO")
    logging.getLogger("linkedapi_async").setLevel("DEBUG")
    os.chdir(folder)
    os.environ.update(environment)
    real = time.time
    time.time = lambda: real() + ahead
    sys.argv = ["linkedapi", "worker", "fleet_worker:worker"]
    main()
