"""What is built and installed: every module of the rooms, from any checkout, and a command line that works without extras."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.data import ROOT
from tests.test_readme import tour

ROOMS = ("schemas", "ledger", "engine", "anchors", "service")
NAME = "decision-dna"
Modules = dict[str, bytes]
"""The bytes of each module, by its path in the installed package."""


def checkout(folder: Path, *, links: bool) -> Path:
    """Copy what is committed, or would be; without `links`, as git does it with core.symlinks=false: a link is a text file."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, copy = ROOT / name, folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() and not links:
            copy.write_text(str(source.readlink()))
        elif source.is_symlink():
            copy.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copyfile(source, copy)
    return folder


def build(source: Path, kind: str) -> Path:
    """Build an `sdist` or a `wheel` as pip does, with the build backend of this environment."""
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    out = source.with_name(f"{source.name}-{kind}")
    out.mkdir()
    built = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return out / built.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    return build(checkout(folder / "linked", links=True), "wheel")


def modules_of_rooms() -> Modules:
    """What must be installed: decision_dna/__init__.py and every module in a room."""
    found = {"decision_dna/__init__.py": (ROOT / "decision_dna/__init__.py").read_bytes()}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            found[f"decision_dna/{path.relative_to(ROOT)}"] = path.read_bytes()
    return found


def modules_of_wheel(file: Path) -> Modules:
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist() if name.endswith(".py")}


def unpacked(sdist: Path) -> Path:
    with tarfile.open(sdist) as opened:
        opened.extractall(sdist.parent, filter="data")
    return sdist.parent / sdist.name.removesuffix(".tar.gz")


def test_wheel_holds_every_module(wheel: Path) -> None:
    """A wheel has the modules of the rooms' folders, byte for byte, and no others."""
    assert modules_of_wheel(wheel) == modules_of_rooms()


def test_wheel_of_a_checkout_without_links_holds_every_module(folder: Path) -> None:
    """Links that git wrote as text files change nothing in the wheel."""
    bare = checkout(folder / "bare", links=False)
    assert (bare / "decision_dna/ledger").read_text() == "../ledger"
    assert modules_of_wheel(build(bare, "wheel")) == modules_of_rooms()


def test_sdist_holds_every_module_and_builds_the_same_wheel(folder: Path) -> None:
    """A source distribution of a checkout without links unpacks to a folder that builds the same wheel."""
    source = unpacked(build(checkout(folder / "packed", links=False), "sdist"))
    held = {f"decision_dna/{path.relative_to(source)}" for room in ROOMS for path in (source / room).rglob("*.py")}
    assert held | {"decision_dna/__init__.py"} == set(modules_of_rooms())
    assert not (source / "tests").exists()
    assert modules_of_wheel(build(source, "wheel")) == modules_of_rooms()


def test_editable_install_of_a_checkout_without_links_imports_every_room(folder: Path) -> None:
    """`make setup` and `make run` need no links: the editable install maps the rooms itself."""
    source = checkout(folder / "editable", links=False)
    python = environment(folder / "environment-editable")
    pip(python, "install", "--no-deps", "--no-index", str(build(source, "editable")))
    link_dependencies(python)
    code = f"import decision_dna.{', decision_dna.'.join(ROOMS)}; print(decision_dna.ledger.__file__)"
    ran = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, str(source / "ledger/__init__.py")), ran.stderr


def environment(path: Path) -> Path:
    """Make an empty virtual environment; its interpreter."""
    venv.create(path, with_pip=False, symlinks=True)
    return path / "bin/python"


def pip(python: Path, *arguments: str) -> None:
    """Run this environment's pip for another one."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def site_packages(python: Path) -> Path:
    return next(python.parent.parent.glob("lib/python*/site-packages"))


def link_dependencies(python: Path) -> None:
    """Link what the installed package declares without extras, directly or not, from this environment; nothing is downloaded."""
    site = site_packages(python)
    (root,) = (each for each in distributions(path=[str(site)]) if each.name == NAME)
    for dependency in required_by(root):
        for top in {path.parts[0] for path in dependency.files or ()} - {"..", "__pycache__"}:
            source = Path(str(dependency.locate_file(top)))
            if not (site / top).exists() and source.exists():
                (site / top).symlink_to(source)


def required_by(root: Distribution) -> Iterator[Distribution]:
    """Yield what a distribution requires, directly or not, as pip resolves it: extras only where a requirement names them."""
    pending: list[tuple[Distribution, str]] = [(root, "")]
    seen = {(root.name, "")}
    for requirer, extra in pending:
        for requirement in map(Requirement, requirer.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                found = distribution(requirement.name)
                yield found
                wanted = {(found.name, each) for each in ("", *requirement.extras)} - seen
                seen |= wanted
                pending += [(found, each) for _, each in sorted(wanted)]


@pytest.fixture(scope="module")
def installed(folder: Path, wheel: Path) -> Path:
    """The interpreter of an environment with the wheel and without extras: solana and solders are not there."""
    python = environment(folder / "environment")
    pip(python, "install", "--no-deps", "--no-index", str(wheel))
    link_dependencies(python)
    pip(python, "check")
    absent = "import importlib.util as u; assert not any(map(u.find_spec, ('solana', 'solders', 'pytest')))"
    subprocess.run([python, "-c", absent], check=True)
    return python


EVERY_HELP = """
from decision_dna.service.cli import COMMANDS, Group, commands, main
groups = [name for name, row in COMMANDS.items() if isinstance(row, Group)]
for name in ["", *groups, *(name for name, _ in commands())]:
    assert main([*name.split(), "--help"]) == 0, name
"""


def settings_of(python: Path, folder: Path) -> dict[str, str]:
    """The variables that a program of another environment is run with: none of the settings of this one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DNA_", "PYTHON"))}
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    return inherited | {"PATH": path, "TMPDIR": str(folder)}


def run(python: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of an environment in a folder."""
    return subprocess.run(
        arguments, cwd=folder, env=settings_of(python, folder), capture_output=True, text=True, check=False
    )


def test_without_extras_every_command_has_its_help(installed: Path, tmp_path: Path) -> None:
    """`--help` of every command and group works where the extra `solana` is not installed."""
    ran = run(installed, tmp_path, str(installed), "-c", EVERY_HELP)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("Usage: dna") > 30


def test_without_extras_the_base_part_of_the_tour_runs(installed: Path, tmp_path: Path) -> None:
    """Every block of README's tour that is not marked `solana` runs as it stands."""
    ran = run(installed, tmp_path, "bash", "-euo", "pipefail", "-c", "\n".join(tour(base=True)))
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    for promised in ("HOLDS: evidence of kind event", "HOLDS: evidence of kind run", "HOLDS: evidence of kind absence"):
        assert promised in ran.stdout
    assert ran.stdout.count("\nIT HOLDS\n") == 3


def test_without_extras_config_and_status_answer(installed: Path, tmp_path: Path) -> None:
    """`config`, `status` and `anchor list` need no extra."""
    make_ledger(installed, tmp_path)
    config = run(installed, tmp_path, "dna", "config", "--json")
    assert (config.returncode, config.stderr) == (0, "")
    status = run(installed, tmp_path, "dna", "status", "d", "--json")
    assert status.stderr == ""
    assert json.loads(status.stdout)["anchored_at"] is None
    anchors = run(installed, tmp_path, "dna", "anchor", "list", "d", "--json")
    assert (anchors.returncode, anchors.stdout.strip(), anchors.stderr) == (0, "[]", "")


def test_without_extras_a_ledger_is_served(installed: Path, tmp_path: Path) -> None:
    """`dna serve` starts, answers `dna status`, and ends with 0 by SIGTERM."""
    make_ledger(installed, tmp_path)
    command, pipe = [installed.parent / "dna", "serve", "d", "--port", "0"], subprocess.PIPE
    environment = settings_of(installed, tmp_path)
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as service:
        watchdog = threading.Timer(60, service.kill)
        watchdog.start()
        try:
            assert service.stdout is not None
            address = re.search(r"http://\S+", service.stdout.readline())
            assert address is not None, service.communicate()
            status = run(installed, tmp_path, "dna", "status", address[0], "--json")
            assert status.stderr == ""
            assert json.loads(status.stdout)["size"] >= 1
            service.terminate()
            _, complaints = service.communicate()
            assert (service.returncode, complaints) == (0, "")
        finally:
            watchdog.cancel()
            service.kill()


def make_ledger(installed: Path, folder: Path) -> None:
    made = run(installed, folder, "dna", "init", "d", "--origin", "example.org/d")
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(
    "command", ["run made/ledger --once", "anchor once d", "anchor run d"], ids=["run", "anchor-once", "anchor-run"]
)
def test_without_extras_a_command_that_needs_one_names_it(command: str, installed: Path, tmp_path: Path) -> None:
    """A command that needs the extra `solana` says so in one sentence, exits with 3, and makes nothing."""
    ran = run(installed, tmp_path, "dna", *command.split())
    assert (ran.returncode, ran.stdout) == (3, "")
    assert re.fullmatch(r"dna: .* pip install 'decision-dna\[solana\]'\n", ran.stderr), ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_coverage_measures_the_rooms(tmp_path: Path) -> None:
    """Coverage names modules by their folders, `ledger/…`, and lists those that did not run too."""
    script, data, report = tmp_path / "config.py", tmp_path / "data", tmp_path / "report.json"
    script.write_text("from decision_dna.service.cli import main\nmain(['config'])\n")
    for arguments in (["run", str(script)], ["json", "-o", str(report)]):
        command = [sys.executable, "-m", "coverage", arguments[0], f"--data-file={data}", *arguments[1:]]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    measured = json.loads(report.read_text())["files"]
    assert {f"decision_dna/{path}" for path in measured} | {"decision_dna/__init__.py"} == set(modules_of_rooms())
    assert measured["service/settings.py"]["executed_lines"]
    assert not measured["anchors/local_chain.py"]["executed_lines"]


@pytest.mark.parametrize("links", [True, False], ids=["linked", "bare"])
def test_make_names_missing_links(links: bool, tmp_path: Path) -> None:
    """Without links mypy sees one module and passes: `make lint` and `make test` stop before it, with what to do."""
    ran = subprocess.run(
        ["make", "--no-print-directory", "links"],
        cwd=checkout(tmp_path / "house", links=links),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) == links
    assert ("git config core.symlinks true" in ran.stdout) != links
    assert "\nlint: setup links\n" in (ROOT / "Makefile").read_text()
