"""Sessions warn of texts that look as if a value were missing in them."""

from __future__ import annotations

import warnings

import pytest
from scripted_server import Scripted, completed, taken

from linkedapi_async import TextWarning, st


pytestmark = pytest.mark.anyio

SENT = {"actionType": "st.sendMessage", "success": True}


def message(text: str) -> st.send_message:
    """Return a message with a text."""
    return st.send_message("https://www.linkedin.com/in/ada", text=text)


@pytest.mark.parametrize("text", ["Hello {{name}}!", "Hello nan!", "Hello !"])
async def test_doubtful_texts_are_sent_with_a_warning(text: str) -> None:
    """The warning names the place at the caller's line, and the text goes out."""
    async with Scripted() as server:
        server.script("POST", taken())
        server.script("GET", completed(SENT))
        async with server.session() as session:
            with pytest.warns(TextWarning, match="^root: text ") as caught:
                await session.run(message(text))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                await session.run(message(text), check=False)
                await session.run(message("Hello Ada!"))
    sent = [seen.body["text"] for seen in server.seen if seen.method == "POST"]

    assert [__file__] == [warning.filename for warning in caught]
    assert [text, text, "Hello Ada!"] == sent


async def test_warnings_may_be_errors() -> None:
    """Where warnings are errors, nothing is sent."""
    async with Scripted() as server, server.session() as session:
        with pytest.raises(TextWarning):
            await session.start(message("Hello {{name}}!"))

    assert [] == server.seen
