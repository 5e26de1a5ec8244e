"""`dna cheat`: the shipped attacker. What README promises of each lie, anyone can see."""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from decision_dna.ledger import cheat as attacker
from decision_dna.service.commands.places import fixed_view, named
from decision_dna.service.commands.terminal import Json, write, write_json, write_table


def cheat(
    lie: Annotated[str | None, typer.Argument(metavar="LIE", help="Which lie; see --list.")] = None,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The honest ledger; it is not changed.")
    ] = None,
    copy: Annotated[Path | None, typer.Argument(metavar="COPY", help="The lying copy; DIR-LIE, if not given.")] = None,
    list_lies: Annotated[
        bool, typer.Option("--list", help="List the lies, and the steps that must name each.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a lie in a copy of a ledger, to see which check names it.

    The attacker has the disk and every key in DIR/keys. The copy's verifier is pinned to the honest ledger's key.
    """
    if list_lies:
        _list(json=json)
        return
    if lie is None or directory is None:
        raise typer.BadParameter("give a LIE and a DIR, or --list")
    directory = named(directory)
    if lie not in lies():
        raise typer.BadParameter(f"there is no lie {lie!r}: see `dna cheat --list`")
    target = copy or directory.with_name(f"{directory.name}-{lie}")
    attacker.cheat(lie, directory, target)
    kept = target.with_name(target.name + ".head")
    if lie in BY_EARLIER_HEAD + BY_OTHER_HEAD:
        with fixed_view(directory) as view:
            kept.write_text(view.head.note)
    steps = steps_of(lie)
    command = f'dna verify {target} --key "$(cat {directory}.vkey)"' + (
        f" --head {kept}" if lie in BY_EARLIER_HEAD else ""
    )
    if lie in BY_OTHER_HEAD:
        other = target.with_name(target.name + ".other.head")
        with fixed_view(target) as view:
            other.write_text(view.head.note)
        command = f'dna check {kept} --fork {other} --key "$(cat {directory}.vkey)"'
    if json:
        write_json({"lie": lie, "what": what(lie), "copy": str(target), "steps": steps, "verify": command})
        return
    write(what(lie))
    write(f"The lie is in {target}; {_named(lie, steps)} See:")
    write(f"  {command}")


BY_EARLIER_HEAD = ("reroll", "rewind")
"""Lies that only a head from before shows, given with `--head`."""
BY_OTHER_HEAD = ("split",)
"""Lies that only the heads of both copies show (`dna check --fork`): each copy verifies alone."""
AT_START = ("restore",)
"""Lies that the lock shows, when the ledger is opened for writing."""


def lies() -> list[str]:
    """All of them."""
    return [*attacker.LIES, *BY_OTHER_HEAD, *AT_START]


def what(lie: str) -> str:
    """Who lies, and how: one sentence."""
    function = attacker.APART[lie] if lie in attacker.APART else attacker.LIES[lie][0]
    return (inspect.getdoc(function) or "").replace("\n", " ")


def steps_of(lie: str) -> list[int]:
    """The steps that must name it."""
    if lie in BY_OTHER_HEAD:
        return []
    return [7] if lie in BY_EARLIER_HEAD + AT_START else list(attacker.LIES[lie][1])


def _named(lie: str, steps: list[int]) -> str:
    if lie in BY_OTHER_HEAD:
        return "no step names it in one copy; the heads of both convict."
    by = {"reroll": " against the head kept from before", "restore": ", and start-up refuses it"}.get(lie, "")
    return f"step {', '.join(map(str, steps))} must name it{by}."


def _list(*, json: bool) -> None:
    rows = [{"lie": lie, "steps": steps_of(lie), "what": what(lie)} for lie in lies()]
    if json:
        write_json(rows)
        return
    write_table(
        ("lie", "named by step", "what"), [(lie, ", ".join(map(str, steps_of(lie))), what(lie)) for lie in lies()]
    )
