"""A server for agents, over the Model Context Protocol: four tools for every workflow.

`WorkflowService` runs the workflows and sends each write once, `make_server` makes its
server, and `http_app` makes the web application of a server. The command
``linkedapi mcp`` runs them::

    async with (
        WorkflowService(Session.from_env) as service,
        stdio_server() as (read, write),
    ):
        server = make_server(service)
        await server.run(read, write, server.create_initialization_options())

It needs the package ``mcp``: the extra ``mcp``.
"""

from linkedapi_async.agents._checks import Check
from linkedapi_async.agents._http import AsgiApp, http_app, serve_http
from linkedapi_async.agents._server import make_server
from linkedapi_async.agents._service import (
    Answer,
    AnswerStatus,
    Report,
    WorkflowService,
)


__all__ = [
    "Answer",
    "AnswerStatus",
    "AsgiApp",
    "Check",
    "Report",
    "WorkflowService",
    "http_app",
    "make_server",
    "serve_http",
]
