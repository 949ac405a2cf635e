"""Plays a page: runs its Python, its commands, and compares what it shows.

``python snippets.py PAGE FOLDER`` plays the blocks of a Markdown page from top to bottom
in a folder. A comment before a block says what to do with it:

- ``<!-- file: NAME -->``: write it to a file;
- ``<!-- terminal -->``: run the command beside the rest, a server that tells its URL;
- ``<!-- stop after: N -->``: press Ctrl-C when the command has printed N lines;
- ``<!-- warns -->``: the block may write to standard error, which others may not;
- ``<!-- raises -->``: the block ends in an error, whose last line is shown next;
- ``<!-- shown: WHY -->``: run nothing.

Other ``python`` blocks run one after another in one namespace, ``console`` blocks line by
line where they begin with ``$``. A ``text`` block is what came last on standard output;
``…`` stands for anything in a line, and alone in a line for any lines.
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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
URL = re.compile(r"http://127\.0\.0\.1:\d+")

# The waits of the default policy are for workflows that take minutes.
HURRY = """
from linkedapi_async import Polling, Session
patient = Session.from_env.__func__
def hurried(cls, **settings):
    return patient(cls, **{"polling": Polling().faster(1000), **settings})
Session.from_env = classmethod(hurried)
"""


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
    """Return what *shown* output matches: ``…`` stands for what changes."""
    lines = []
    for line in shown.strip("\n").split("\n"):
        parts = (re.escape(part) for part in line.split("…"))
        lines.append("(?:.*\n)*?" if line == "…" else ".*".join(parts) + "\n")
    return re.compile("".join(lines))


class WrongPageError(Exception):
    """A page does not do what it says."""


@dataclass
class Player:
    """Plays one page in one folder."""

    folder: Path
    said: str = ""
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    beside: list[subprocess.Popen[str]] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)

    def play(self, page: str) -> None:
        """Play all blocks of a page."""
        try:
            for block in blocks(page):
                self._play(block)
        finally:
            for process in self.beside:
                process.terminate()
                process.communicate()

    def _play(self, block: Block) -> None:
        word, _, argument = block.mark.partition(": ")
        try:
            if word == "file":
                self._write(argument, block)
            elif word == "terminal":
                self._serve(block)
            elif word == "raises":
                self._raises(block)
            elif block.language == "text" and word != "shown":
                self._compare(block.text)
            elif block.language == "python" and word != "shown":
                self._execute(block)
            elif block.language == "console" and word != "shown":
                self._run(block, int(argument) if word == "stop after" else None)
        except WrongPageError as wrong:
            raise WrongPageError(f"line {block.line}: {wrong}") from None

    def _write(self, name: str, block: Block) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._placed(block.text), encoding="utf-8")

    def _placed(self, text: str) -> str:
        for shown, real in self.urls.items():
            text = text.replace(shown, real)
        return text

    def _serve(self, block: Block) -> None:
        (command,) = re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)
        (shown,) = re.findall(r"--port (\d+)", command)
        process = subprocess.Popen(
            self._words(command.replace(shown, "0")),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        )
        self.beside.append(process)
        assert process.stdout is not None
        said = ""
        while not (found := URL.search(said)):
            line = process.stdout.readline()
            if not line:
                raise WrongPageError(f"no URL came: {said}")
            said += line
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
        except Exception:  # noqa: BLE001  # whatever it is, it is told
            raise WrongPageError(traceback.format_exc()) from None
        finally:
            self.said = out.getvalue()
        if err.getvalue() and block.mark != "warns":
            raise WrongPageError(f"on standard error:\n{err.getvalue()}")

    def _raises(self, block: Block) -> None:
        try:
            exec(block.text, self.names)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is shown
            self.said = f"{type(error).__name__}: {error}\n"
        else:
            raise WrongPageError("no error came")

    def _run(self, block: Block, most: int | None) -> None:
        shown: list[str] = []
        for line in block.text.splitlines():
            if not line.startswith("$ "):
                shown.append(line)
                continue
            self._check(shown)
            self._command(self._placed(line[2:]), most)
        self._check(shown)

    def _check(self, shown: list[str]) -> None:
        if shown:
            self._compare("\n".join(shown))
            shown.clear()

    def _command(self, command: str, most: int | None) -> None:
        if setting := re.fullmatch(r"export (\w+)=(\S+)", command):
            os.environ[setting[1]] = setting[2]
            return
        if change := re.fullmatch(r"(.*?) > (\S+)", command):
            done = self._finished(change[1])
            (self.folder / change[2]).write_text(done.stdout, encoding="utf-8")
        elif most is not None:
            self._interrupted(command, most)
            return
        else:
            done = self._finished(command)
        self.said = done.stdout + done.stderr

    def _finished(self, command: str) -> subprocess.CompletedProcess[str]:
        command, _, status = command.partition("  # exit status ")
        done = subprocess.run(
            self._words(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            cwd=self.folder,
            timeout=100,
        )
        if done.returncode != int(status or 0):
            raise WrongPageError(
                f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def _interrupted(self, command: str, most: int) -> None:
        with subprocess.Popen(
            self._words(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
        ) as process:
            assert process.stdout is not None
            self.said = "".join(process.stdout.readline() for _ in range(most))
            # Ctrl-C; Windows has no such signal for one process.
            process.send_signal(
                signal.SIGTERM if sys.platform == "win32" else signal.SIGINT
            )
            process.communicate()

    def _compare(self, shown: str) -> None:
        said = "".join(f"{line.rstrip()}\n" for line in self.said.splitlines())
        if not pattern(self._placed(shown)).search(said):
            raise WrongPageError(f"shown:\n{shown}\ncame:\n{said}")


@contextlib.contextmanager
def sandbox_process() -> Iterator[str]:
    """Run a sandbox in a process of its own, as a user would; yield its URL."""
    command = [sys.executable, "-m", "linkedapi_async.sandbox", "--speed", "2000"]
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        (url,) = URL.findall(line)[:1]
        yield str(url)
        process.terminate()


def environment(url: str, account: str = "account") -> dict[str, str]:
    """Return the environment in which snippets run against the sandbox at *url*."""
    return {
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "LINKED_API_TOKEN": "token",
        "IDENTIFICATION_TOKEN": account,
        "LINKED_API_BASE_URL": url,
        "ACCOUNT_API_TOKEN": "",
    }


def main() -> None:
    """Play the page that the command line names."""
    page, folder = (str(Path(path).resolve()) for path in sys.argv[1:])
    os.chdir(folder)
    # As for a user, what is in the folder can be imported.
    os.environ.pop("PYTHONSAFEPATH", None)
    sys.path.insert(0, folder)
    exec(HURRY, {})
    try:
        Player(Path(folder)).play(Path(page).read_text(encoding="utf-8"))
    except WrongPageError as wrong:
        sys.exit(f"{page}: {wrong}")


if __name__ == "__main__":
    main()
