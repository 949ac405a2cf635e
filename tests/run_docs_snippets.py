"""Runs a page: its Python and its commands, and compares their output with the page.

``python run_docs_snippets.py PAGE FOLDER`` runs the blocks of a Markdown page from top to
bottom in a folder. A comment before a block says what to do with it:

- ``<!-- file: NAME -->``: write it to a file;
- ``<!-- terminal -->``: run the command in the background, a server that prints its URL;
- ``<!-- stop after: N -->``: send Ctrl-C when the command has printed N lines;
- ``<!-- warns -->``: the block may write to standard error, which others may not;
- ``<!-- raises -->``: the block ends in an error, whose last line is shown next;
- ``<!-- shown: WHY -->``: run nothing.

A page with ``<!-- needs: PACKAGE … -->`` runs where these packages are: in the session
``integrations`` of nox, by ``python run_docs_snippets.py --sandbox PAGE FOLDER``.

Other ``python`` blocks run one after another in one namespace. In ``console`` blocks,
the lines that begin with ``$`` are commands; a command that ends with ``&`` runs in the
background. A ``text`` block is the last output; ``…`` matches anything in a line, and
any lines if it is alone in its line.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
NEEDS = re.compile(r"^<!-- needs: (.*) -->$", re.MULTILINE)
URL = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass
class Block:
    """A fenced block of a page."""

    mark: str
    language: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for found in BLOCK.finditer(page):
        mark, language, text = found["mark"] or "", found["language"], found["text"]
        yield Block(mark, language, text, page.count("\n", 0, found.start("text")) + 1)


def pattern(shown: str) -> re.Pattern[str]:
    """Return the pattern of *shown* output, in which ``…`` matches anything."""
    lines = []
    for line in shown.strip("\n").split("\n"):
        parts = (re.escape(part) for part in line.split("…"))
        lines.append("(?:.*\n)*?" if line == "…" else ".*".join(parts) + "\n")
    return re.compile("".join(lines))


class WrongPageError(Exception):
    """A page does not do what it shows."""


@dataclass
class PageRunner:
    """Runs the blocks of one page in one folder."""

    folder: Path
    environ: MutableMapping[str, str] = field(default_factory=lambda: os.environ)
    """The environment of the commands, which ``export`` changes."""
    output: str = ""
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    background: list[subprocess.Popen[str]] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    """The URLs of the servers that run, by the URL that the page shows."""

    def run(self, page: str) -> None:
        """Run all blocks of a page, then stop its servers."""
        try:
            for block in blocks(page):
                self.run_block(block)
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop the servers of the page."""
        for process in self.background:
            process.terminate()
            process.communicate()

    def run_block(self, block: Block) -> None:
        """Run one block, or compare it with the last output.

        Raises:
            WrongPageError: It does something else than the page shows.
        """
        word, _, argument = block.mark.partition(": ")
        try:
            if word == "file":
                self._write(argument, block)
            elif word == "terminal":
                (command,) = re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)
                self._serve(command)
            elif word == "raises":
                self._expect_error(block)
            elif block.language == "text" and word != "shown":
                self._compare(block.text)
            elif block.language == "python" and word != "shown":
                self._execute(block)
            elif block.language == "console" and word != "shown":
                self._run_commands(
                    block, int(argument) if word == "stop after" else None
                )
        except WrongPageError as wrong:
            raise WrongPageError(f"line {block.line}: {wrong}") from None

    def _write(self, name: str, block: Block) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._with_real_urls(block.text), encoding="utf-8")

    def _with_real_urls(self, text: str) -> str:
        for shown, real in self.urls.items():
            text = text.replace(shown, real)
        return text

    def _serve(self, command: str) -> None:
        # Port 0 is any free port: the one of the page may be in use.
        (shown,) = re.findall(r"--port (\d+)", command)
        process = subprocess.Popen(
            self._words(command.replace(shown, "0")),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.environ,
        )
        self.background.append(process)
        assert process.stdout is not None
        printed = ""
        while not (found := URL.search(printed)):
            line = process.stdout.readline()
            if not line:
                raise WrongPageError(f"the server printed no URL: {printed}")
            printed += line
        self.urls[f"http://127.0.0.1:{shown}"] = found[0]

    def _words(self, command: str) -> list[str]:
        words = shlex.split(command)
        run = {
            "python": [sys.executable],
            "linkedapi": [sys.executable, "-m", "linkedapi_async"],
        }
        return [*run.get(words[0], [words[0]]), *words[1:]]

    def _execute(self, block: Block) -> None:
        out, err = io.StringIO(), io.StringIO()
        # Errors point into the page.
        code = compile("\n" * (block.line - 1) + block.text, "page", "exec")
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                exec(code, self.names)
        except Exception:  # noqa: BLE001  # any error is reported
            raise WrongPageError(traceback.format_exc()) from None
        finally:
            self.output = out.getvalue()
        if err.getvalue() and block.mark != "warns":
            raise WrongPageError(f"unexpected on standard error:\n{err.getvalue()}")

    def _expect_error(self, block: Block) -> None:
        try:
            exec(block.text, self.names)
        except Exception as error:  # noqa: BLE001  # any error is shown
            self.output = f"{type(error).__name__}: {error}\n"
        else:
            raise WrongPageError("the block raised no error")

    def _run_commands(self, block: Block, most: int | None) -> None:
        shown: list[str] = []
        for line in block.text.splitlines():
            if not line.startswith("$ "):
                shown.append(line)
                continue
            self._check(shown)
            self._run_command(self._with_real_urls(line[2:]), most)
        self._check(shown)

    def _check(self, shown: list[str]) -> None:
        if shown:
            self._compare("\n".join(shown))
            shown.clear()

    def _run_command(self, command: str, most: int | None) -> None:
        if command.startswith("export "):
            assignments = (word.partition("=") for word in self._words(command)[1:])
            self.environ.update({name: value for name, _, value in assignments})
            return
        if command.endswith(" &"):
            self._serve(command.removesuffix(" &"))
            return
        if change := re.fullmatch(r"(.*?) > (\S+)", command):
            done = self._run_to_end(change[1])
            (self.folder / change[2]).write_text(done.stdout, encoding="utf-8")
        elif most is not None:
            self._interrupt(command, most)
            return
        else:
            done = self._run_to_end(command)
        self.output = done.stdout + done.stderr

    def _run_to_end(self, command: str) -> subprocess.CompletedProcess[str]:
        command, _, status = command.partition("  # exit status ")
        done = subprocess.run(
            self._words(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            cwd=self.folder,
            env=self.environ,
            timeout=100,
        )
        if done.returncode != int(status or 0):
            raise WrongPageError(
                f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def _interrupt(self, command: str, most: int) -> None:
        with subprocess.Popen(
            self._words(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            env=self.environ,
        ) as process:
            assert process.stdout is not None
            self.output = "".join(process.stdout.readline() for _ in range(most))
            # Ctrl-C; Windows has no such signal for one process.
            process.send_signal(
                signal.SIGTERM if sys.platform == "win32" else signal.SIGINT
            )
            process.communicate()

    def _compare(self, shown: str) -> None:
        output = "".join(f"{line.rstrip()}\n" for line in self.output.splitlines())
        if not pattern(self._with_real_urls(shown)).search(output):
            raise WrongPageError(f"the page shows:\n{shown}\nthe output is:\n{output}")


@contextlib.contextmanager
def sandbox_process() -> Iterator[str]:
    """Run a sandbox in a process of its own, as a user would; yield its URL."""
    command = [sys.executable, "-m", "linkedapi_async.sandbox", "--speed", "1000"]
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        (url,) = URL.findall(line)[:1]
        try:
            yield str(url)
        finally:
            process.terminate()


def environment(url: str, account: str = "account") -> dict[str, str]:
    """Return the environment of snippets that use the sandbox at *url*."""
    return {
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "CI": "1",  # Hypothesis then forgives a busy machine
        "LINKED_API_TOKEN": "token",
        "IDENTIFICATION_TOKEN": account,
        "LINKED_API_BASE_URL": url,
        "LINKED_API_POLL_INTERVAL": "0.02",
        "ACCOUNT_API_TOKEN": "",
    }


def packages_for(page: str) -> list[str]:
    """Return the packages that a page needs beside those of the tests."""
    return [name for found in NEEDS.findall(page) for name in found.split()]


def main() -> None:
    """Run the page that the command line names."""
    arguments = sys.argv[1:]
    if arguments[0] == "--sandbox":
        with sandbox_process() as url:
            os.environ.update(environment(url))
            run_page(*arguments[1:])
    else:
        run_page(*arguments)


def run_page(page: str, folder: str) -> None:
    """Run a page in a folder; end the process if it does not do what it shows."""
    page, folder = (str(Path(path).resolve()) for path in (page, folder))
    os.chdir(folder)
    # A user can import the files of the folder.
    os.environ.pop("PYTHONSAFEPATH", None)
    sys.path.insert(0, folder)
    try:
        PageRunner(Path(folder)).run(Path(page).read_text(encoding="utf-8"))
    except WrongPageError as wrong:
        sys.exit(f"{page}: {wrong}")


if __name__ == "__main__":
    main()
