"""Commands called in this process, and the little ledger that most of them are called on."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from decision_dna.service.cli import main

ORIGIN = "example.org/demo"
IDS = [f"01920000-0000-7000-8000-{number:012x}" for number in range(100)]


class Said(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """A JSON value from each line of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


def dna(*arguments: object) -> Said:
    """Call the command line."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Said(code, out.getvalue(), err.getvalue())


def done(*arguments: object) -> Said:
    """Call a command that must hold."""
    said = dna(*arguments)
    assert (said.code, said.err) == (0, ""), said
    return said


class Process:
    """A command in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def says(self, wanted: str) -> str:
        """Read on to the line that holds this; it must come."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if wanted in line:
                return line
        raise AssertionError(f"it ended without {wanted!r}: {self.ended()}")

    def hears(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def ends(self, by: int) -> tuple[int, str]:
        """Exit code and stderr after a signal."""
        os.kill(self.process.pid, by)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Exit code and stderr."""
        _, err = self.process.communicate()
        return self.process.returncode, err


CODE = "import sys; from decision_dna.service.cli import main; sys.exit(main(sys.argv[1:]))"
HANGS_SECONDS = 120.0
"""After so long a process that says nothing is ended, so that a broken command fails its test and not the whole run."""


@contextmanager
def started(*arguments: object, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A command in a process of its own, which does not outlive the test."""
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        watchdog = threading.Timer(HANGS_SECONDS, process.kill)
        watchdog.start()
        try:
            yield Process(process)
        finally:
            watchdog.cancel()
            process.kill()


def is_one_sentence(text: str) -> bool:
    """One line on stderr, from us, and no traceback."""
    return text.startswith("dna: ") and text.count("\n") == 1 and "Traceback" not in text


def submission(number: int, **fields: object) -> dict[str, object]:
    """A foreign event with an id of its own."""
    return {"type": "x.seen", "source": "bot", "id": IDS[number], "payload": {"number": number}, **fields}


def write_lines(file: Path, *submissions: object) -> Path:
    """NDJSON; texts and bytes as they are."""
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in submissions]
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return file


def new_ledger(folder: Path, events: int = 0, **options: object) -> Path:
    """A ledger with so many events, made by commands."""
    path = folder / "d"
    done("init", path, "--origin", ORIGIN, *[part for name, value in options.items() for part in (f"--{name}", value)])
    if events:
        done("append", path, write_lines(folder / "events.ndjson", *map(submission, range(events))))
    return path


def vkey_of(path: Path) -> str:
    """What `dna init` left beside the ledger."""
    return path.with_name(path.name + ".vkey").read_text().strip()


def size_of(path: Path) -> int:
    """How many entries are visible."""
    size: int = done("status", path, "--json").json["size"]
    return size
