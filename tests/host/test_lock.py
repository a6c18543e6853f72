"""One coordinator per work directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.host.lock import coordinator

HOLDER = """
import sys, time
from pathlib import Path
from bot.host.lock import coordinator
with coordinator(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_holds_it_and_a_killed_holder_lets_go(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"in use by another bot \(process {holder.pid}\)"), coordinator(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with coordinator(tmp_path):
        pass
