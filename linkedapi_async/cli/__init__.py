"""The command ``linkedapi``: the library's jobs at a terminal and in CI."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line, and end the process with one of its exit statuses."""
    # Results are UTF-8 whatever the code page of the console; messages follow it, and
    # characters that it does not have are escaped.
    for stream, encoding in ((sys.stdout, "utf-8"), (sys.stderr, None)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    try:
        # Without the extra, click is missing.
        from linkedapi_async.cli._app import app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write(
            "linkedapi: the command line needs its extra; install it with: "
            "python -m pip install 'linkedapi-async[cli]'\n"
        )
        sys.exit(2)
    app(prog_name="linkedapi")
