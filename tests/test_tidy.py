"""The house rules as a test: each rule is a function from the files (path -> text) to sentences about what is untidy.

Every rule is shown a small untidy house too, which it must object to, and a tidy twin, which it must not.
"""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import PurePosixPath

import pytest

from tests.data import ROOT

Files = dict[str, str]
Rule = Callable[[Files], Iterator[str]]

ROOMS = ("schemas", "ledger", "engine", "anchors", "service")
ENTRY_POINT = "service/cli.py"
FUNCTION_LINES_MAX = 70

UNREACHED = {
    "ledger/memory.py": "the store of tests and simulations is shipped, so that others can simulate too",
    "anchors/local_chain.py": "the chain of tests and simulations, likewise",
}
"""Modules that only tests import, and why they stay."""

CATCH_ALL = {
    "ledger/workers.py": "whatever a function raises in a worker is for the one who asked for it",
    "engine/projections.py": "whatever a fold raises is reported with the event that it was given",
    "ledger/followers.py": "whatever a follower raises is reported under its name, and the others go on",
    "ledger/rocks.py": "rocksdict raises plain `Exception` for whatever RocksDB reports; it leaves as ours",
    "tests/second_verifier/agree.py": "a fuzzer: whatever escapes a verifier is what it looks for",
}
"""Files that may catch every exception, and why."""

PRINTING = (
    "service/*",
    "benchmarks/*",
    "docs/second_verifier.py",
    "tests/torture/*",
    "tests/simulation/*",
    "tests/properties/*",
)
"""Commands print; the long forms print their seeds."""

ONLY_IMPORTER = {
    "rocksdict": "ledger/rocks.py",
    "sqlite3": "ledger/lock.py",
    "solana": "engine/*.py",
    "confluent_kafka": "service/*.py",
}
"""Packages that one single file of the rooms may import, and where it lies."""

PURE = (
    "schemas/*.py",
    *(
        f"ledger/{name}.py"
        for name in ("hashing", "merkle", "notes", "plan", "verification", "streams", "authority", "freshness")
    ),
    "ledger/evidence.py",
    "engine/detection/*.py",
    *(f"anchors/{name}.py" for name in ("memo", "transaction", "verify", "beside")),
)
"""Modules without a clock, randomness, disk or network. Every module that one of them imports is held to the same."""

TIME_AND_CHANCE = {"time", "random", "secrets"}
DISK = {"os", "pathlib", "tempfile", "shutil", "subprocess", "logging", "sqlite3", "fcntl", "rocksdict"}
NETWORK = {"socket", "ssl", "httpx", "litestar", "uvicorn", "uvloop", "solana", "solders"}
IMPURE = TIME_AND_CHANCE | DISK | NETWORK | {"asyncio", "threading", "multiprocessing"}


def files() -> Files:
    """Every text file that is committed, or would be by adding all."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    found: Files = {}
    for path in sorted(listed.stdout.decode().split("\0")):
        if path and (ROOT / path).is_file():
            data = (ROOT / path).read_bytes()
            if b"\0" not in data:
                found[path] = data.decode(errors="replace")
    for path, text in python(found):
        ast.parse(text, path)  # so that a broken file is named before any rule stumbles over it
    return found


@cache
def parsed(text: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(text)))


def python(tree: Files, *patterns: str) -> Iterator[tuple[str, str]]:
    """The Python files whose path matches one of the patterns, all without any; `*` crosses slashes."""
    for path, text in tree.items():
        if path.endswith(".py") and (not patterns or any(fnmatch(path, pattern) for pattern in patterns)):
            yield path, text


def in_rooms(tree: Files) -> Iterator[tuple[str, str]]:
    return python(tree, *(f"{room}/*" for room in ROOMS))


def imported(text: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported: `from a import b` gives a and a.b."""
    for node in parsed(text):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def calls(text: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything called."""
    return ((node.lineno, ast.unparse(node.func)) for node in parsed(text) if isinstance(node, ast.Call))


def dead_modules(tree: Files) -> Iterator[str]:
    """Until there is a command line, only tests reach anything; from then on tests alone keep nothing alive."""
    tests_count = ENTRY_POINT not in tree
    alive: set[str] = set()
    for path, text in python(tree):
        if tests_count or not path.startswith("tests/"):
            alive.update(name for _, name in imported(text))
            # commands that load lazily name their module in a string
            alive.update(re.findall(r"decision_dna(?:\.\w+)+", " ".join(strings(text))))
    nobody = "nobody imports it" if tests_count else "nobody but tests imports it"
    for path, _ in in_rooms(tree):
        module = "decision_dna." + path.removesuffix(".py").replace("/", ".")
        starts_by_itself = path == ENTRY_POINT or path.endswith(("__init__.py", "__main__.py"))
        if module not in alive and not starts_by_itself and path not in UNREACHED:
            yield f"{path}: {nobody}: use it, remove it, or say in UNREACHED why it stays"


def strings(text: str) -> Iterator[str]:
    return (node.value for node in parsed(text) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def long_functions(tree: Files) -> Iterator[str]:
    for path, text in python(tree):
        for node in parsed(text):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    yield f"{path}:{node.lineno}: {node.name} has {lines} lines, not {FUNCTION_LINES_MAX} at most"


def names_that_say_nothing(tree: Files) -> Iterator[str]:
    for path in tree:
        words = re.split(r"[/._\-]", path.lower())
        for word in sorted({"util", "utils", "helper", "helpers", "manager", "managers", "misc"} & set(words)):
            yield f"{path}: `{word}` does not say what is inside"


def left_for_later(tree: Files) -> Iterator[str]:
    for where, found in matches(tree, r"\b(?:FIXM[E]|TOD[O]|XX[X])\b"):
        yield f"{where}: {found} belongs into an issue or a decision, or is done now"


def matches(tree: Files, pattern: str) -> Iterator[tuple[str, str]]:
    """Where (path:line) a pattern is in any file, and what it found."""
    for path, text in tree.items():
        for match in re.finditer(pattern, text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}", match[0]


def catch_alls(tree: Files) -> Iterator[str]:
    """Handlers that end in a bare `raise` swallow nothing: they may catch all, to close what they opened."""
    for path, text in python(tree):
        for node in parsed(text):
            if isinstance(node, ast.ExceptHandler) and path not in CATCH_ALL and ast.unparse(node.body[-1]) != "raise":
                for name in sorted({"everything", "Exception", "BaseException"} & caught_by(node)):
                    yield f"{path}:{node.lineno}: catches {name}: name the errors, or give the reason in CATCH_ALL"


def caught_by(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"everything"}
    return {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}


def prints(tree: Files) -> Iterator[str]:
    for path, text in python(tree):
        if not any(fnmatch(path, pattern) for pattern in PRINTING):
            yield from (
                f"{path}:{line}: only commands and benchmarks print" for line, name in calls(text) if name == "print"
            )


def patched_seams(tree: Files) -> Iterator[str]:
    seam = "simulate the seam with a shipped adapter, never patch it"
    patching = re.compile(r"(.*\.)?(mock\.patch|mocker\..*|monkeypatch\.(set|del)(attr|item))(\..*)?")
    for path, text in python(tree, "tests/*"):
        for line, name in [*imported(text), *calls(text)]:
            if name.startswith("unittest.mock") or name in ("mock", "pytest_mock"):
                yield f"{path}:{line}: imports a patcher: {seam}"
            elif patching.fullmatch(name):
                yield f"{path}:{line}: {name}: {seam}"
            if name == "time.sleep":
                yield f"{path}:{line}: sleeps: wait for the event itself"


def places_of_one_machine(tree: Files) -> Iterator[str]:
    paths = r"(?<![\w.])/(?:wor[k]|hom[e]/\w+|roo[t]|User[s]/\w+)/"
    registries = r"\b(?:pypi\.or[g]|pythonhosted\.or[g]|npmjs\.(?:or[g]|co[m])|crates\.i[o]|proxy\.golang\.or[g])\b"
    images = r"\b(?:ghcr\.i[o]|docker\.i[o]|deb\.debian\.or[g])\b"
    options = r"--(?:extra-)?index-ur[l]\b|--find-link[s]\b"
    for where, found in matches(tree, "|".join([paths, registries, images, options])):
        yield f"{where}: {found} exists on one machine or binds to one host: every machine brings its own"


def boasts(tree: Files) -> Iterator[str]:
    boast = r"(?i)\b(?:robus[t]|production[- ]read[y]|battle[- ]teste[d]|enterprise[- ]grad[e])"
    for where, found in matches(tree, boast):
        yield f"{where}: instead of `{found}`, the test that shows it"


def second_importers(tree: Files) -> Iterator[str]:
    for package, allowed in ONLY_IMPORTER.items():
        importers = {
            path: line
            for path, text in in_rooms(tree)
            for line, name in imported(text)
            if name.split(".")[0] == package
        }
        for path, line in importers.items():
            if not fnmatch(path, allowed):
                yield f"{path}:{line}: imports {package}, which only {allowed} may"
        if len(importers) > 1:
            yield f"{package} is imported by {', '.join(importers)}: one file knows it, the others ask that file"


def impure_cores(tree: Files) -> Iterator[str]:
    instead = "in a pure module time, draws and bytes come in as arguments"
    for path, way in reached(tree, *PURE).items():
        through = "" if way == path else f" (reached by {way})"
        for line, name in imported(tree[path]):
            package = name.partition(".")[0]
            if package in IMPURE:
                yield f"{path}:{line}: imports {package}{through}: {instead}"
        for line, name in calls(tree[path]):
            if name in ("open", "input"):
                yield f"{path}:{line}: calls {name}(){through}: {instead}"


def reached(tree: Files, *patterns: str) -> Files:
    """Return the matching files and every file of the rooms that they import, directly or not, each with the chain of imports to it."""
    files_of = {module_of(path): path for path, _ in in_rooms(tree)}
    ways = {path: path for path, _ in python(tree, *patterns)}
    pending = list(ways)
    for path in pending:
        for _, name in imported(tree[path]):
            for package in packages_of(name):
                found = files_of.get(package)
                if found is not None and found not in ways:
                    ways[found] = f"{ways[path]} > {found}"
                    pending.append(found)
    return ways


def module_of(path: str) -> str:
    """Return the full name of the module in a file of the rooms: a package's for its __init__.py."""
    return "decision_dna." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def packages_of(name: str) -> Iterator[str]:
    """Yield `a`, `a.b` and `a.b.c` for `a.b.c`: importing a module loads its packages too."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def settings_nobody_reads(tree: Files) -> Iterator[str]:
    """A field of a class called …Settings counts as read where some file of the rooms has it as an attribute."""
    read = {node.attr for _, text in in_rooms(tree) for node in parsed(text) if isinstance(node, ast.Attribute)}
    for path, text in in_rooms(tree):
        for node in parsed(text):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
                for name, line in [(ast.unparse(field.target), field.lineno) for field in fields]:
                    if name not in read:
                        yield f"{path}:{line}: the setting {name} is read by nobody"


def unlisted_packages(tree: Files) -> Iterator[str]:
    """A build takes the packages that pyproject.toml lists, and no others."""
    if "pyproject.toml" not in tree:
        return
    listed = set(tomllib.loads(tree["pyproject.toml"])["tool"]["setuptools"]["packages"])
    folders = {PurePosixPath(path).parent.as_posix() for path, _ in in_rooms(tree)}
    for folder in sorted(folders):
        package = "decision_dna." + folder.replace("/", ".")
        if package not in listed:
            yield f"{folder}/: not in a wheel: add {package} to the packages in pyproject.toml"
        if f"{folder}/__init__.py" not in tree:
            yield f"{folder}/: not a package: it has no __init__.py"
    for package in sorted(listed - {"decision_dna"}):
        if package.removeprefix("decision_dna.").replace(".", "/") not in folders:
            yield f"pyproject.toml: lists {package}, which has no modules"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        dead_modules,
        long_functions,
        names_that_say_nothing,
        left_for_later,
        catch_alls,
        prints,
        patched_seams,
        places_of_one_machine,
        boasts,
        second_importers,
        impure_cores,
        settings_nobody_reads,
        unlisted_packages,
    )
}


@pytest.fixture(scope="module")
def house() -> Files:
    return files()


@pytest.mark.parametrize("rule", RULES)
def test_the_house_is_tidy(house, rule):
    untidy = dict.fromkeys(RULES[rule](house))
    assert not untidy, "\n".join(["", *untidy])


@pytest.mark.parametrize("allowed", [*UNREACHED, *CATCH_ALL])
def test_every_exception_has_a_reason(allowed):
    assert {**UNREACHED, **CATCH_ALL}[allowed]


def listing(*packages: str) -> str:
    return f"[tool.setuptools]\npackages = {list(packages)}"


def function_of(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


IMPORT_X = "from decision_dna.ledger import x\n"
UNTIDY: list[tuple[str, Files, Files, str]] = [
    (
        "dead_modules",
        {"ledger/x.py": ""},
        {"ledger/x.py": "", "ledger/y.py": "import decision_dna.ledger.x\nimport decision_dna.ledger.y"},
        "nobody imports it",
    ),
    (
        "dead_modules",
        {"ledger/x.py": "", ENTRY_POINT: "", "tests/test_x.py": IMPORT_X},
        {"ledger/x.py": "", "tests/test_x.py": IMPORT_X},
        "nobody but tests",
    ),
    (
        "dead_modules",
        {"ledger/x.py": "", ENTRY_POINT: ""},
        {"ledger/x.py": "", ENTRY_POINT: "load('decision_dna.ledger.x:f')"},
        "nobody but tests",
    ),
    (
        "dead_modules",
        {"ledger/x.py": "", "tests/test_x.py": "'decision_dna.ledger.xy'"},
        {"ledger/memory.py": "", ENTRY_POINT: ""},
        "nobody imports it",
    ),
    ("long_functions", {"a.py": function_of(71)}, {"a.py": function_of(70)}, "71 lines"),
    ("long_functions", {"a.py": "class C:\n async " + function_of(71)}, {"a.py": "x = 1\n" * 100}, "71 lines"),
    ("names_that_say_nothing", {"ledger/key_utils.py": ""}, {"ledger/utility_price.py": ""}, "`utils`"),
    ("names_that_say_nothing", {"engine/helpers/a.py": ""}, {"engine/helping.py": ""}, "`helpers`"),
    ("names_that_say_nothing", {"docs/misc.md": ""}, {"docs/miscounts.md": ""}, "`misc`"),
    ("left_for_later", {"a.md": "one\n" + "TO" + "DO: more"}, {"a.md": "one to do"}, "a.md:2"),
    ("left_for_later", {"a.py": "# FIX" + "ME"}, {"a.py": "# FIX" + "MENT"}, "belongs into"),
    (
        "catch_alls",
        {"a.py": "try: f()\nexcept: pass"},
        {"a.py": "try: f()\nexcept OSError: pass"},
        "catches everything",
    ),
    (
        "catch_alls",
        {"a.py": "try: f()\nexcept (OSError, Exception): pass"},
        {"a.py": "try: f()\nfinally: g()"},
        "catches Exception",
    ),
    (
        "catch_alls",
        {"a.py": "try: f()\nexcept* BaseException as e: pass"},
        {"a.py": "try: f()\nexcept BaseException:\n g()\n raise"},
        "a.py:2",
    ),
    ("prints", {"ledger/a.py": "print(1)"}, {"service/a.py": "print(1)", "ledger/b.py": "pprint(1); print"}, "print"),
    (
        "patched_seams",
        {"tests/a.py": "from unittest.mock import patch"},
        {"ledger/a.py": "import unittest.mock"},
        "never patch",
    ),
    ("patched_seams", {"tests/a.py": "from unittest import mock"}, {"tests/a.py": "import unittest"}, "never patch"),
    ("patched_seams", {"tests/a.py": "mock.patch.object(a, 'b')"}, {"tests/a.py": "mocked.patches()"}, "never patch"),
    (
        "patched_seams",
        {"tests/a.py": "monkeypatch.setattr(a, 'b', 1)"},
        {"tests/a.py": "monkeypatch.setenv('A', 'b')"},
        "never patch",
    ),
    ("patched_seams", {"tests/a.py": "time.sleep(1)"}, {"tests/a.py": "clock.sleep(1)"}, "sleeps"),
    ("patched_seams", {"tests/a.py": "from time import sleep"}, {"tests/a.py": "from time import monotonic"}, "sleeps"),
    ("places_of_one_machine", {"a.md": "see /wor" + "k/main"}, {"a.md": "see docs/wor" + "k/main"}, "a.md:1"),
    ("places_of_one_machine", {"a.toml": "'/hom" + "e/ada/x'"}, {"a.toml": "~/x"}, "every machine"),
    (
        "places_of_one_machine",
        {"a.txt": "https://pypi.or" + "g/simple"},
        {"a.txt": "https://example.org/simple"},
        "every machine",
    ),
    (
        "places_of_one_machine",
        {"Dockerfile": "pip --index-ur" + "l x"},
        {"Dockerfile": "pip -c constraints.txt"},
        "every machine",
    ),
    ("boasts", {"a.md": "a robus" + "t ledger"}, {"a.md": "a ledger"}, "the test that shows it"),
    (
        "second_importers",
        {"engine/a.py": "from rocksdict import Rdict"},
        {"ledger/rocks.py": "import rocksdict"},
        "which only",
    ),
    (
        "second_importers",
        {"service/a.py": "import sqlite3"},
        {"ledger/lock.py": "import sqlite3"},
        "which only ledger/lock.py",
    ),
    (
        "second_importers",
        {"engine/a.py": "import solana.rpc", "engine/b.py": "from solana.rpc import api"},
        {"engine/a.py": "import solana.rpc", "engine/b.py": "import solders"},
        "one file knows it",
    ),
    ("impure_cores", {"ledger/merkle.py": "import time"}, {"ledger/store.py": "import time"}, "imports time"),
    (
        "impure_cores",
        {"anchors/memo.py": "def f():\n from os import path"},
        {"anchors/memo.py": "import timeit_like"},
        "memo.py:2",
    ),
    (
        "impure_cores",
        {
            "ledger/merkle.py": "import decision_dna.ledger.a",
            "ledger/a.py": "import decision_dna.ledger.b",
            "ledger/b.py": "import fcntl",
        },
        {
            "ledger/merkle.py": "import decision_dna.ledger.a",
            "ledger/a.py": "import enum",
            "ledger/b.py": "import fcntl",
        },
        "ledger/b.py:1: imports fcntl (reached by ledger/merkle.py > ledger/a.py > ledger/b.py)",
    ),
    (
        "impure_cores",
        {
            "ledger/merkle.py": "from decision_dna.ledger.tree.a import b",
            "ledger/tree/a.py": "",
            "ledger/tree/__init__.py": "import ssl",
        },
        {
            "ledger/merkle.py": "from decision_dna.ledger.tree.a import b",
            "ledger/tree/a.py": "",
            "ledger/tree/c.py": "import ssl",
        },
        "imports ssl",
    ),
    ("impure_cores", {"schemas/a.py": "open('x')"}, {"schemas/a.py": "x.open()"}, "calls open()"),
    ("impure_cores", {"engine/detection/a.py": "import random"}, {"engine/a.py": "import random"}, "imports random"),
    (
        "settings_nobody_reads",
        {"service/a.py": "class Settings:\n port: int"},
        {"service/a.py": "class Settings:\n port: int\ns.port"},
        "port is read by nobody",
    ),
    (
        "unlisted_packages",
        {"pyproject.toml": listing("decision_dna.ledger"), "ledger/__init__.py": "", "ledger/core/__init__.py": ""},
        {"pyproject.toml": listing("decision_dna", "decision_dna.ledger"), "ledger/__init__.py": ""},
        "add decision_dna.ledger.core to the packages",
    ),
    (
        "unlisted_packages",
        {"pyproject.toml": listing("decision_dna.ledger"), "ledger/a.py": ""},
        {"pyproject.toml": listing("decision_dna.ledger"), "ledger/a.py": "", "ledger/__init__.py": ""},
        "no __init__.py",
    ),
    (
        "unlisted_packages",
        {"pyproject.toml": listing("decision_dna.ledger", "decision_dna.engine"), "ledger/__init__.py": ""},
        {"pyproject.toml": listing("decision_dna.ledger"), "ledger/__init__.py": ""},
        "lists decision_dna.engine",
    ),
]


@pytest.mark.parametrize(
    ("rule", "untidy", "tidy", "reason"), UNTIDY, ids=[f"{row[0]}-{at}" for at, row in enumerate(UNTIDY)]
)
def test_every_rule_objects_to_the_untidy_and_not_to_its_tidy_twin(rule, untidy, tidy, reason):
    objections = set(RULES[rule](untidy))
    assert len(objections) == 1 or rule == "second_importers"
    assert any(reason in sentence for sentence in objections)
    assert list(RULES[rule](tidy)) == []


def test_every_rule_has_an_untidy_house_to_object_to():
    assert {row[0] for row in UNTIDY} == set(RULES)


def test_the_house_that_is_looked_at_is_ours(house):
    assert {"docs/format.md", "schemas/errors.py", "tests/test_tidy.py"} <= set(house)
