"""Errors made from those of aiohttp, without its requests and frames."""

from __future__ import annotations

import re
import socket
import ssl

import aiohttp
from yarl import URL

from linkedapi_async._http.requests import Headers
from linkedapi_async._utils.text import printable
from linkedapi_async.errors import ConnectionFailedError


LONGEST_REASON = 300
"""In characters."""

_USER_INFO = re.compile(r"(?<=//)[^/\s]*@")
"""The name and the password in a URL, such as that of a proxy."""

CERTIFICATE_DETAILS = ("library", "reason", "verify_code", "verify_message")


def connection_error(
    error: Exception, url: str, headers: Headers, *, sent: bool
) -> ConnectionFailedError:
    """Return the error for a request that ended in *error*.

    Its cause has the reason, the errno and the details of a certificate, but neither a
    traceback nor a request.

    Args:
        error: What aiohttp raised.
        url: Where the request went.
        headers: The headers of the request; its tokens are redacted from the reason.
        sent: Whether the request may have reached the server.
    """
    address = URL(url)
    place = f"{address.host}:{address.port}"
    inner = _inner_error(error)
    text = _text(inner, headers)
    name = "" if _is_clear(inner) else type(inner).__name__
    reason = ": ".join(filter(None, (name, text)))
    status = None
    if isinstance(error, aiohttp.ClientHttpProxyError):
        status = error.status
        message = f"the proxy refused to connect to {place}: {reason}"
    elif isinstance(error, aiohttp.ClientProxyConnectionError):
        message = f"cannot connect to the proxy for {place}: {reason}"
    elif sent:
        message = f"sent to {place}, but no complete answer came: {reason}"
    else:
        message = f"cannot connect to {place}: {reason}"
    failed = ConnectionFailedError(message, sent=sent, http_status=status)
    failed.__cause__ = _copy(inner, text)
    return failed


def _inner_error(error: Exception) -> Exception:
    """Return the error of the operating system or of TLS that aiohttp wrapped."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error


def _is_clear(error: Exception) -> bool:
    """Return whether the text of *error* says enough without the name of its class."""
    return type(error) is OSError or isinstance(error, aiohttp.ClientHttpProxyError)


def _text(error: Exception, headers: Headers) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        text = (
            error.message
        )  # its full text contains the URL, with the proxy's password
    elif isinstance(error, OSError) and error.strerror:
        text = str(error.strerror)
    else:
        text = str(error)
    # Redacted before it is shortened, so that no part of a token remains.
    redacted = headers.redact(text.encode(errors="backslashreplace")).decode()
    redacted = _USER_INFO.sub("", redacted)
    return printable(redacted[:LONGEST_REASON])


def _copy(error: Exception, text: str) -> Exception | None:
    """Return an equivalent error of the standard library."""
    if isinstance(error, ssl.SSLError):
        copy = ssl.SSLError(error.errno, text)
        if isinstance(error, ssl.SSLCertVerificationError):
            copy = ssl.SSLCertVerificationError(error.errno, text)
        for name in CERTIFICATE_DETAILS:
            if hasattr(error, name):
                setattr(copy, name, getattr(error, name))
        return copy
    if isinstance(error, socket.gaierror):
        return socket.gaierror(error.errno, text)
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, text)  # this selects the class by the number
    return TimeoutError(text) if isinstance(error, TimeoutError) else None
