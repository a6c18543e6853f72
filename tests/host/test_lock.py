"""One coordinator per work directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from bot.errors import UserError
from bot.host.lock import coordinator, holder

HOLDER = """
import sys, time
from pathlib import Path
from bot.host.lock import coordinator
with coordinator(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_holds_it_and_a_killed_holder_lets_go(tmp_path: Path) -> None:
    held = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    try:
        assert held.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"in use by another bot \(process {held.pid}\)"), coordinator(tmp_path):
            pass
    finally:
        held.kill()
        held.wait()
        held.stdout.close()
    with coordinator(tmp_path):
        pass


def test_who_asks_in_the_moment_in_which_it_is_taken(tmp_path: Path) -> None:
    """The holder has the lock, and has not yet said who it is."""
    assert holder(tmp_path) is None
    with FileLock(tmp_path / "lock"):
        assert holder(tmp_path) == 0
    with coordinator(tmp_path):
        assert holder(tmp_path) == os.getpid()
