"""The command ``linkedapi``: the library's jobs at a terminal and in CI."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line, and end the process with one of its exit statuses."""
    for stream in (sys.stdout, sys.stderr):
        # What an old console cannot show must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # Without the extra there is no click, and that is worth a sentence.
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
