"""Run the official Node SDK against a sandbox: ``python run_node_sdk.py NODE FOLDER``.

*NODE* is the program, *FOLDER* has the SDK in its ``node_modules``. Prints how many
operations ended as they should; the status tells whether all did.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from linkedapi_async.sandbox import Sandbox


SCRIPT = Path(__file__).parent / "every_operation.cjs"


async def main(node: str, folder: str) -> int:
    """Return the exit status of the script that runs all operations."""
    async with Sandbox(speed=2000) as sandbox:
        process = await asyncio.create_subprocess_exec(
            node, SCRIPT, folder, sandbox.url
        )
        return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
