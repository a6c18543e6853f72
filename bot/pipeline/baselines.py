"""`bot baselines`: which release each baseline is, what keeps a newer one from its place, and what a person decides."""

from __future__ import annotations

from pathlib import Path

from bot.core.succession import Release
from bot.errors import UserError
from bot.host.git import Repository
from bot.model import Baseline, Sha
from bot.pipeline.bench import newest
from bot.pipeline.sending import user
from bot.report.releases import advice, failures, lines
from bot.store.store import Store


def show(work: Path) -> int:
    """`bot baselines`: print where each stands, and what fails between two releases."""
    store = Store(work)
    found = list(lines(store.releases.used(), store.releases.waiting()))
    for text in found:
        print(text)
    for name, new in sorted(store.releases.waiting().items()):
        for text in failures(new.trial):
            print(f"  {text}")
        if new.held and new.person is None:
            print(f"  {advice(name, store.releases.used()[name].ref, new.ref)}")
    if not found:
        print("no baseline is a series (v10.0.x) that `bot run` has used yet")
    return 0


def use(work: Path, name: str, ref: str, why: str) -> int:
    """`bot baselines NAME --use REF`: have it from the next cycle on. Newer releases than it that are there now do not
    take its place; later ones do, as ever. Raises `UserError` for what is no release of that baseline's series."""
    store, clone = Store(work), work / "upstream.git"
    there = store.releases.used().get(name)
    if there is None or not clone.exists():
        names = ", ".join(sorted(store.releases.used())) or "none"
        raise UserError(f"{name}: not a baseline that is a series and was used by `bot run`; there are: {names}")
    if not why.strip():
        raise UserError("--why is empty: it is what people read who ask")
    repository = Repository(clone)
    series = there.ref.rpartition(".")[0]
    if ref.rpartition(".")[0] != series or not ref.rpartition(".")[2].isdigit():
        raise UserError(f"--use {ref}: not a point release of {series}, such as {there.ref}")
    mine = Release(name, ref, _resolved(repository, ref), store.clock())
    last = newest(repository, Baseline(name, ref=f"{series}.x"))
    instead = None
    if last.ref is not None and last.ref != ref:
        instead = Release(name, last.ref, repository.resolve(last.ref), store.clock())
    said = f"{ref} is used: {why.strip()}"
    store.releases.take(mine, said, person=user(), instead=instead)
    print(f"baseline {name}: {ref} from the next cycle on" + (f", also though {last.ref} is there" if instead else ""))
    return 0


def _resolved(repository: Repository, ref: str) -> Sha:
    try:
        return repository.resolve(ref)
    except UserError as error:
        raise UserError(f"--use {ref}: {error}") from error
