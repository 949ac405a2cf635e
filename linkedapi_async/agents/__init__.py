"""A server for agents, over the Model Context Protocol: four tools for every workflow.

`Desk` runs the workflows and sends each write once, `make_server` makes its server, and
`http_app` makes the web application of a server. The command ``linkedapi mcp`` runs them::

    async with Desk(Session.from_env) as desk, stdio_server() as (read, write):
        server = make_server(desk)
        await server.run(read, write, server.create_initialization_options())

It needs the package ``mcp``: the extra ``mcp``.
"""

from linkedapi_async.agents._checks import Check
from linkedapi_async.agents._desk import Answer, AnswerStatus, Desk, Report
from linkedapi_async.agents._http import AsgiApp, http_app, serve_http
from linkedapi_async.agents._server import make_server


__all__ = [
    "Answer",
    "AnswerStatus",
    "AsgiApp",
    "Check",
    "Desk",
    "Report",
    "http_app",
    "make_server",
    "serve_http",
]
