"""JUnit XML of runs: a testcase per run. What the machine did wrong is an error, never a failure of QEMU's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from bot.model import PRECOPY, TCG, Case, Expected, Outcome, Run
from bot.report.safe import clean, line
from bot.report.table import NOT_TESTED, what


def junit(runs: Sequence[Run], expected: Mapping[Case, Expected] | None = None, suite: str = "bot") -> str:
    """One testsuite; classname is target, profile, direction and baseline (and what is unusual: method, accelerator)
    with dots, name is the machine type.

    UNTESTABLE and NOT_BUILT are `<skipped>`, and so are failures that `expected` knows, with its reason, and those that
    came and went; INFRA is `<error>`, every other outcome but PASS is `<failure>`.
    """
    cases = [_case(run, (expected or {}).get(run.case)) for run in runs]
    count = {tag: sum(case.find(tag) is not None for case in cases) for tag in ("failure", "error", "skipped")}
    attributes = {
        "name": _text(suite),
        "tests": str(len(runs)),
        "failures": str(count["failure"]),
        "errors": str(count["error"]),
        "skipped": str(count["skipped"]),
        "time": f"{sum(run.observation.seconds for run in runs):.3f}",
    }
    root = ET.Element("testsuites")
    ET.SubElement(root, "testsuite", attributes).extend(cases)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(run: Run, known: Expected | None) -> ET.Element:
    case, seen = run.case, run.observation
    unusual = [case.method] if case.method != PRECOPY else []
    unusual += [case.accel] if case.accel != TCG else []
    parts = (case.target, case.profile, case.direction, case.baseline or "", *unusual)
    group = ".".join(part.replace(".", "_") for part in parts if part)
    element = ET.Element(
        "testcase", {"classname": _text(group), "name": _text(case.machine), "time": f"{seen.seconds:.3f}"}
    )
    if run.outcome is Outcome.PASS:
        return element
    if known is not None:
        ET.SubElement(element, "skipped", {"message": _text(f"expected: {known.id}: {line(known.why)}", 1000)})
        return element
    if run.flaky:
        ET.SubElement(element, "skipped", {"message": _text(f"flaky: {what(run)}: {line(seen.message)}", 1000)})
        return element
    tag = "skipped" if run.outcome in NOT_TESTED else "error" if run.outcome is Outcome.INFRA else "failure"
    child = ET.SubElement(element, tag, {"message": _text(f"{what(run)}: {line(seen.message)}", 1000)})
    if tag != "skipped":
        child.set("type", str(run.outcome))
        child.text = _text("\n".join(f"{log.name}:\n{clean(log.text)}" for log in seen.logs if "qmp" not in log.name))
    return element


def _text(text: str, limit: int = 65536) -> str:
    """Only characters that XML 1.0 allows (section 2.2); `clean` has taken the control characters and surrogates."""
    return "".join(c for c in clean(text)[:limit] if c not in "\ufffe\uffff")
