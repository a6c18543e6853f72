"""What a person is shown of mails: each once, and where it stands by now."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.outbox import Approved
from bot.pipeline import look, showing
from tests.core.test_lifecycle import CURE
from tests.pipeline.test_tracking import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_mail_is_shown_once_with_where_it_stands(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.send(desk.store.outbox.change(desk.items()[0], Approved("ann")))
    desk.note(CURE)
    showing.show(tmp_path, "r0001", as_json=False)
    mails = [text.strip() for text in capsys.readouterr().out.splitlines() if "mail <" in text]
    assert [text.partition(", ")[0] for text in mails] == ["report", "fixed"]
    assert f"mail {desk.original}: sent: 250 ok; approved by ann" in mails[0]
    assert mails[1].endswith("held: approval: not approved by a person")


def test_a_file_says_where_its_mail_stands_by_now(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.store.outbox.change(desk.items()[0], Approved("ann"))
    look.report(tmp_path, "r0001", None, tmp_path / "x.eml")
    assert capsys.readouterr().out == f"{tmp_path / 'x.eml'}: mail {desk.original}: queued\n"
