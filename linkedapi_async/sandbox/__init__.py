"""A local server that behaves like the Linked API, with people who do not exist.

::

    async with Sandbox(speed=100) as sandbox, sandbox.session() as session:
        company = await session.run(workflow)

``python -m linkedapi_async.sandbox --port 8080`` runs one for other programs.
"""

from linkedapi_async.sandbox._queue import SeenWorkflow
from linkedapi_async.sandbox._server import Sandbox, Seen


__all__ = ["Sandbox", "Seen", "SeenWorkflow"]
