"""What is said of a wrong config.yaml: where, what is wrong, what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import Config, load
from bot.errors import UserError
from tests.config.schema import keys


def errors(text: str | bytes, *overrides: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The lines that a config.yaml of this text in the current directory is refused with."""
    Path("config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        load(overrides=overrides, environ=environ or {})
    return str(caught.value).splitlines()


NAME = "must be a name of letters, digits and . _ + -"
TIME = "must be a time such as 90s, 30m, 3h or 1h30m"

PROFILES = ", ".join(load(environ={}).profiles)

WRONG: dict[str, tuple[str | bytes, list[str]]] = {
    "a typo in a section": (
        "wach: {}\n",
        [
            "config.yaml:1:1: wach: unknown key, did you mean watch? (there are upstream, watch, baselines, targets,"
            " each_tip, nightly, profiles, smoke, expected, build, sandbox, executor, bisect, report, replies)"
        ],
    ),
    "a typo in a key": (
        "watch:\n  evry: 1h\n",
        [
            "config.yaml:2:3: watch.evry: unknown key, did you mean every? "
            "(there are branches, stable, releases, pushes, every, nightly, budget)"
        ],
    ),
    "a key that resembles none": (
        "report:\n  z9: 1\n",
        [
            "config.yaml:2:3: report.z9: unknown key"
            " (there are out, sender, lists, cc, domain, url, archive, owner, operator, approval, digest, send, smtp,"
            " sendmail, caps, domains, no_cc, test_to, webhooks, gitlab)"
        ],
    ),
    "a typo in a list": (
        "watch:\n  branches:\n    - name: master\n    - nam: stable\n",
        [
            "config.yaml:4:7: watch.branches.1.name: is missing, must be text",
            "config.yaml:4:7: watch.branches.1.nam: unknown key, did you mean name? (there are name, since)",
        ],
    ),
    "a typo in a recipe": (
        "build:\n  recipes:\n    - {name: new, configur: [--disable-werror]}\n",
        [
            "config.yaml:3:19: build.recipes.0.configur: unknown key, did you mean configure?"
            " (there are name, has, lacks, configure, build, env, meson, submodules)"
        ],
    ),
    "a key twice": (
        "watch:\n  every: 1h\n  every: 2h\n",
        ["config.yaml:3:3: watch.every: key is there twice, first at config.yaml:2:3"],
    ),
    "a section twice": (
        "watch: {every: 1h}\nwatch: {every: 2h}\n",
        ["config.yaml:2:1: watch: key is there twice, first at config.yaml:1:1"],
    ),
    "text for a number": (
        "bisect: {min_runs: many}\n",
        ['config.yaml:1:20: bisect.min_runs: is "many", must be a whole number from 3 to 10000'],
    ),
    "a number out of bounds": (
        "bisect: {min_runs: 2}\n",
        ['config.yaml:1:20: bisect.min_runs: is "2", must be a whole number from 3 to 10000'],
    ),
    "a fraction for a number": (
        "executor: {smokes: 1.5}\n",
        ['config.yaml:1:20: executor.smokes: is "1.5", must be a whole number from 0 to 4096'],
    ),
    "a scheduler that is reached without TLS": (
        "executor: {address: 'tcp://host:8786'}\n",
        ['config.yaml:1:21: executor.address: is "tcp://host:8786", must be tls://HOST:PORT'],
    ),
    "mails that nobody may get": (
        "report:\n  send: smtp\n",
        [
            "config.yaml:2:9: report.send: is smtp, must be never while report.domains is empty: name those that may"
            ' get mail, or "*"'
        ],
    ),
    "a password without TLS": (
        "report: {smtp: {user: bot, tls: none}}\n",
        [
            "config.yaml:1:33: report.smtp.tls: is none, must not be where report.smtp.user is given: its password"
            " would be seen"
        ],
    ),
    "more mails in an hour than in a day": (
        "report: {caps: {hour: 30}}\n",
        ["config.yaml:1:23: report.caps.hour: hour 30 is more than day 20, must not be"],
    ),
    "a webhook with the name of mails": (
        "report: {webhooks: {mail: {url: 'https://example.org/'}}}\n",
        ['config.yaml:1:27: report.webhooks.mail: the name "mail" stands for mails, must be another'],
    ),
    "a webhook with the name of issues": (
        "report: {webhooks: {gitlab: {url: 'https://example.org/'}}}\n",
        ['config.yaml:1:29: report.webhooks.gitlab: the name "gitlab" stands for issues, must be another'],
    ),
    "a webhook with the name of the operator's mails": (
        "report: {webhooks: {operator: {url: 'https://example.org/'}}}\n",
        [
            'config.yaml:1:31: report.webhooks.operator: the name "operator" stands for mails to report.operator,'
            " must be another"
        ],
    ),
    "a webhook that would be sent the mail server's password": (
        "report: {webhooks: {smtp: {url: 'https://example.org/', token_file: token}}}\n",
        [
            'config.yaml:1:27: report.webhooks.smtp: the name "smtp" is for the variable BOT_SECRET_SMTP, as'
            " report.smtp is, must be another"
        ],
    ),
    "a webhook that would be sent GitLab's token": (
        "report: {webhooks: {GitLab: {url: 'https://example.org/'}}}\n",
        [
            'config.yaml:1:29: report.webhooks.GitLab: the name "GitLab" is for the variable BOT_SECRET_GITLAB, as'
            " report.gitlab is, must be another"
        ],
    ),
    "two webhooks with one variable": (
        "report:\n  webhooks:\n    a.b: {url: 'https://example.org/'}\n    A-B: {url: 'https://example.net/'}\n",
        [
            'config.yaml:4:10: report.webhooks.A-B: the name "A-B" is for the variable BOT_SECRET_A_B, as'
            " report.webhooks.a.b is, must be another"
        ],
    ),
    "an operator whom nothing is sent to": (
        "report:\n  operator: ann@example.org\n",
        ["config.yaml:2:13: report.operator: is given, so report.send must be smtp or sendmail: nothing is sent"],
    ),
    "an operator who is a list": (
        "report: {send: smtp, operator: QEMU-devel@nongnu.org}\n",
        [
            "config.yaml:1:32: report.operator: is one of report.lists, must be a person's address: it gets no news for"
            " others"
        ],
    ),
    "a token without TLS": (
        "report: {gitlab: {url: 'http://localhost.example.org', project: a/b}}\n",
        ["config.yaml:1:24: report.gitlab.url: is http://, must be https://: the token would be seen"],
    ),
    "a project by its URL": (
        "report: {gitlab: {project: 'https://gitlab.com/a/b'}}\n",
        [
            'config.yaml:1:28: report.gitlab.project: is "https://gitlab.com/a/b",'
            " must be the path or number of a project such as qemu-project/qemu"
        ],
    ),
    "labels for what is no news": (
        "report: {gitlab: {labels: {reports: [a]}}}\n",
        [
            'config.yaml:1:28: report.gitlab.labels.reports: key is "reports", must be one of all, report, exposed,'
            " range, merge, fixed, stable, fixed-in-stable, reopened, expired, retract, corrected"
        ],
    ),
    "two labels in one": (
        "report: {gitlab: {labels: {all: ['a,b']}}}\n",
        ['config.yaml:1:34: report.gitlab.labels.all.0: is "a,b", must be a label, without a comma'],
    ),
    "answers that anybody can forge": (
        "replies: {mailbox: {path: /var/mail/bot}}\n",
        [
            "config.yaml:1:27: replies.mailbox.path: is given, so replies.trusted must be: the mail server whose"
            " Authentication-Results are believed"
        ],
    ),
    "a domain that is an address": (
        "report: {domains: [a@example.org]}\n",
        [
            'config.yaml:1:20: report.domains.0: is "a@example.org", must be a domain such as example.org,'
            " *.example.org or *"
        ],
    ),
    "text for a list": (
        "targets: x86_64\n",
        ['config.yaml:1:10: targets: is "x86_64", must be a list that is not empty, such as [x86_64]'],
    ),
    "an empty list": (
        "targets: []\n",
        ["config.yaml:1:10: targets: is an empty list, must be a list that is not empty"],
    ),
    "a list for a section": (
        "watch: [master]\n",
        [
            "config.yaml:1:8: watch: is a list, must be a map with branches, stable, releases, pushes, every, "
            "nightly, budget"
        ],
    ),
    "text for a section": (
        "upstream: git@example.org:qemu.git\n",
        ['config.yaml:1:11: upstream: is "git@example.org:qemu.git", must be a map with url'],
    ),
    "nothing for a value": (
        "upstream:\n  url:\n",
        ["config.yaml:2:7: upstream.url: is empty, must be an https:// or ssh:// URL, or a path"],
    ),
    "a map for a value": ("watch: {every: {m: 30}}\n", [f"config.yaml:1:16: watch.every: is a map, {TIME}"]),
    "a time without a unit that is known": (
        "watch: {every: 30min}\n",
        [f'config.yaml:1:16: watch.every: is "30min", {TIME}'],
    ),
    "a time of nothing": ("smoke: {deadline: 0s}\n", [f'config.yaml:1:19: smoke.deadline: is "0s", {TIME}']),
    "a time beyond a year": ("watch: {every: 400d}\n", [f'config.yaml:1:16: watch.every: is "400d", {TIME}']),
    "a negative time": (
        "profiles: {bare: {run: -1}}\n",
        ['config.yaml:1:24: profiles.bare.run: is "-1", must be a time such as 0, 2s or 1m'],
    ),
    "a size": (
        "build: {cache_size: 10 gigs}\n",
        ['config.yaml:1:21: build.cache_size: is "10 gigs", must be a size such as 500M or 10G'],
    ),
    "a size of memory": (
        'smoke: {memory: {"*": 128X}}\n',
        ['config.yaml:1:23: smoke.memory.*: is "128X", must be a value of QEMU\'s -m such as 128M or 1G'],
    ),
    "a word out of few": (
        "report: {approval: nobody}\n",
        ['config.yaml:1:20: report.approval: is "nobody", must be required or automatic'],
    ),
    "a direction": (
        "each_tip: {directions: [same, sideways]}\n",
        ['config.yaml:1:31: each_tip.directions.1: is "sideways", must be same, forward or backward'],
    ),
    "a direction twice": (
        "each_tip: {directions: [same, same]}\n",
        ['config.yaml:1:24: each_tip.directions: names "same" twice, must name each once'],
    ),
    "an accelerator": (
        "smoke: {accel: hvf}\n",
        ['config.yaml:1:16: smoke.accel: is "hvf", must be tcg or kvm, with or without ,property=value'],
    ),
    "a target": (
        "targets: [x86-64]\n",
        ['config.yaml:1:11: targets.0: is "x86-64", must be a QEMU target such as x86_64-softmmu or ppc64'],
    ),
    "a target twice, in two forms": (
        "targets: [ppc64, ppc64-softmmu]\n",
        ['config.yaml:1:10: targets: names "ppc64-softmmu" twice, must name each once'],
    ),
    "a command as a URL": (
        "upstream: {url: 'ext::sh -c id'}\n",
        ['config.yaml:1:17: upstream.url: is "ext::sh -c id", must be an https:// or ssh:// URL, or a path'],
    ),
    "an option as a URL": (
        "upstream: {url: --upload-pack=id}\n",
        ['config.yaml:1:17: upstream.url: is "--upload-pack=id", must be an https:// or ssh:// URL, or a path'],
    ),
    "a URL that anybody on the way can change": (
        "upstream: {url: 'http://example.org/q.git'}\n",
        ['config.yaml:1:17: upstream.url: is "http://example.org/q.git", must be an https:// or ssh:// URL, or a path'],
    ),
    "a password in a URL, which is not repeated": (
        "upstream: {url: 'https://me:hunter2@example.org/q.git'}\n",
        ["config.yaml:1:17: upstream.url: holds a password, must not: use an ssh:// URL with a key"],
    ),
    "an address": (
        "report: {lists: [nobody]}\n",
        ['config.yaml:1:18: report.lists.0: is "nobody", must be an address such as Name <name@example.org>'],
    ),
    "an address with a second header in it": (
        'report: {sender: "x@example.org\\nBcc: y@example.org"}\n',
        [
            'config.yaml:1:18: report.sender: is "x@example.org\\nBcc: y@example.org",'
            " must be an address such as Name <name@example.org>"
        ],
    ),
    "a URL of pages": (
        "report: {url: here}\n",
        ['config.yaml:1:15: report.url: is "here", must be an http:// or https:// URL'],
    ),
    "a baseline that is nothing": (
        "baselines:\n  - name: v7.2\n",
        [
            "config.yaml:2:5: baselines.0: must have exactly one of ref (a release that is built)"
            " and path (an installed binary)"
        ],
    ),
    "a baseline that is two things": (
        "baselines:\n  - {name: v7.2, ref: v7.2.0, path: /usr/bin/qemu-system-x86_64}\n",
        [
            "config.yaml:2:5: baselines.0: must have exactly one of ref (a release that is built)"
            " and path (an installed binary)"
        ],
    ),
    "a baseline with a slash": (
        "baselines:\n  - {name: stable/7.2, ref: v7.2.0}\n",
        [f'config.yaml:2:5: baselines.0: has the name "stable/7.2", {NAME}'],
    ),
    "a baseline twice": (
        "baselines:\n  - {name: a, ref: v7.2.0}\n  - {name: a, ref: v8.2.0}\n",
        ['config.yaml:3:12: baselines.1.name: "a" is there twice, must be unique'],
    ),
    "a profile's name": ("profiles: {a/b: {}}\n", [f'config.yaml:1:12: profiles.a/b: key is "a/b", {NAME}']),
    "a profile's arguments": (
        "profiles:\n  mine: {args: {m: 1}}\n",
        ["config.yaml:2:16: profiles.mine.args: is a map, must be arguments, as a list or as on a command line"],
    ),
    "a quote that is left open": (
        "profiles:\n  mine: {args: -name 'x}\n",
        ['config.yaml:2:16: profiles.mine.args: is "-name \'x", which a shell cannot split: no closing quotation'],
    ),
    "a profile that is not there": (
        "each_tip: {profiles: [bare, bear]}\n",
        [f'config.yaml:1:29: each_tip.profiles.1: no profile "bear", did you mean bare? (there are {PROFILES})'],
    ),
    "a profile that is not there, in the other sweep": (
        "nightly: {profiles: [all, bare]}\n",
        [f'config.yaml:1:22: nightly.profiles.0: no profile "all" (there are {PROFILES})'],
    ),
    "a profile with the name of all": (
        "profiles: {all: {args: -nodefaults}}\n",
        ['config.yaml:1:17: profiles.all: the name "all" stands for every profile, must be another'],
    ),
    "no profile at all": (
        "each_tip: {profiles: []}\n",
        ["config.yaml:1:22: each_tip.profiles: is an empty list, must be all, or a list of profiles that is not empty"],
    ),
    "one profile that is no list": (
        "each_tip: {profiles: bare}\n",
        [
            'config.yaml:1:22: each_tip.profiles: is "bare", must be all, or a list of profiles that is not empty,'
            " such as [bare]"
        ],
    ),
    "a method": (
        "each_tip: {methods: {precop: [bare]}}\n",
        [
            'config.yaml:1:22: each_tip.methods.precop: key is "precop",'
            " must be one of precopy, ping-pong, exec, savevm, multifd, postcopy"
        ],
    ),
    "an accelerator of a sweep": (
        "nightly: {accels: [tcg, kvm-if-there]}\n",
        [
            'config.yaml:1:25: nightly.accels.1: is "kvm-if-there",'
            " must be tcg, kvm or kvm-if-usable, with or without ,property=value"
        ],
    ),
    "a device without -device": (
        "profiles:\n  mine:\n    devices:\n      pc-*: [virtio-net-pci]\n",
        [
            "config.yaml:4:14: profiles.mine.devices.pc-*.0:"
            ' is "virtio-net-pci", must be arguments that end in -device NAME'
        ],
    ),
    "a device that needs what comes after it": (
        "profiles:\n  mine:\n    devices:\n      pc-*:\n        - -device scsi-hd,drive=d -drive if=none,id=d\n",
        [
            "config.yaml:5:11: profiles.mine.devices.pc-*.0:"
            ' is "-device scsi-hd,drive=d -drive if=none,id=d", must be arguments that end in -device NAME'
        ],
    ),
    "a device that is a map": (
        "profiles: {mine: {devices: {pc-*: [{device: edu}]}}}\n",
        ["config.yaml:1:36: profiles.mine.devices.pc-*.0: is a map, must be arguments that end in -device NAME"],
    ),
    "yes or no": (
        "profiles: {mine: {guest: perhaps}}\n",
        ['config.yaml:1:26: profiles.mine.guest: is "perhaps", must be true or false'],
    ),
    "no pattern": (
        "profiles: {mine: {machines: ''}}\n",
        ['config.yaml:1:29: profiles.mine.machines: is "", must be patterns, as a list or with blanks between them'],
    ),
    "machine options without a reason": (
        "smoke: {machines: {mine: {machines: virt-*, cpu: cortex-a57}}}\n",
        ["config.yaml:1:26: smoke.machines.mine.why: is missing, must be text"],
    ),
    "machine options that are none": (
        "smoke: {machines: {mine: {machines: virt-*, why: x, options: -M virt}}}\n",
        [
            'config.yaml:1:62: smoke.machines.mine.options: is "-M virt",'
            " must be options of -M such as cap-htm=off,ic-mode=xics"
        ],
    ),
    "an exclusion without a reason": (
        "smoke: {exclude: [none, {machines: x-*}]}\n",
        ["config.yaml:1:25: smoke.exclude.1.why: is missing, must be text"],
    ),
    "a condition on a release": (
        "expected:\n  mine:\n    {why: x, owner: me, expires: 2027, source: '>=9.2,<v10'}\n",
        [
            'config.yaml:3:48: expected.mine.source: holds "<v10", must be conditions on a release with commas between'
            " them, such as >=9.2 or <=9.1,>=8.0 or 10.0.13 or <previous"
        ],
    ),
    "an expected failure without an end": (
        "expected:\n  mine: {why: x, owner: me}\n",
        ["config.yaml:2:9: expected.mine: has no end, must have expires (a date) or until (the commit that mends it)"],
    ),
    "an expected failure that nobody answers for": (
        "expected:\n  mine: {expires: 2027-12-31}\n",
        [
            "config.yaml:2:9: expected.mine.why: is missing, must be text",
            "config.yaml:2:9: expected.mine.owner: is missing, must be text",
        ],
    ),
    "a day that is not in the calendar": (
        "expected:\n  mine: {why: x, owner: me, expires: 2027-02-30}\n",
        ['config.yaml:2:38: expected.mine.expires: is "2027-02-30", must be a date such as 2027-12-31 or 2027-12'],
    ),
    "a commit by another name": (
        "expected:\n  mine: {why: x, owner: me, until: v9.2.0}\n",
        ['config.yaml:2:36: expected.mine.until: is "v9.2.0", must be a commit id of 10 to 40 hex digits'],
    ),
    "bounds that cross": (
        "bisect: {max_runs: 5}\n",
        ["config.yaml:1:20: bisect.max_runs: min_runs 10 is more than max_runs 5, must not be"],
    ),
    "several at once, in the order of the file": (
        "watch:\n  every: soon\n  stable: few\nzzz: 1\ntargets: [ppc64]\nbisect: {min_runs: 0}\n",
        [
            f'config.yaml:2:10: watch.every: is "soon", {TIME}',
            'config.yaml:3:11: watch.stable: is "few", must be a whole number from 0 to 99',
            "config.yaml:4:1: zzz: unknown key (there are upstream, watch, baselines, targets,"
            " each_tip, nightly, profiles, smoke, expected, build, sandbox, executor, bisect, report, replies)",
            'config.yaml:6:20: bisect.min_runs: is "0", must be a whole number from 3 to 10000',
        ],
    ),
    "a bracket that is left open": (
        "targets: [ppc64\nwatch: {}\n",
        ["config.yaml:2:6: not YAML: expected ',' or ']', but got ':', while parsing a flow sequence"],
    ),
    "a tab": (
        "watch:\n\tevery: 1h\n",
        [
            "config.yaml:2:1: not YAML: found character '\\t' that cannot start any token, while scanning for the"
            " next token: indent with spaces, not with tabs"
        ],
    ),
    "a colon too many": (
        "report:\n  sender: Bot: x <a@example.org>\n",
        [
            "config.yaml:2:14: not YAML: mapping values are not allowed here:"
            " put the text in quotes if it is meant as text"
        ],
    ),
    "a pattern without quotes": (
        "smoke:\n  memory:\n    *: 1G\n",
        ["config.yaml:3:6: not YAML: expected alphabetic or numeric character, but found ':', while scanning an alias"],
    ),
    "an alias of nothing": (
        "targets: *all\n",
        ["config.yaml:1:10: not YAML: found undefined alias 'all': put the text in quotes if it is meant as text"],
    ),
    "two documents": (
        "watch: {}\n---\nwatch: {}\n",
        ["config.yaml:2:1: not YAML: but found another document, expected a single document in the stream"],
    ),
    "not UTF-8": (
        b"# \xe4\nwatch: {}\n# gr\xfc\xdf\n",
        ["config.yaml:1:3: byte 0xe4 is not UTF-8: save the file as UTF-8"],
    ),
    "UTF-16": ("watch: {}".encode("utf-16"), ["config.yaml:1:1: byte 0xff is not UTF-8: save the file as UTF-8"]),
    "a NUL": ("watch: {}\n# \0\n", ["config.yaml:2:3: character U+0000 is not allowed in YAML"]),
    "a list as the whole": (
        "- watch\n",
        [
            "config.yaml:1:1: is a list, must be a map with upstream, watch, baselines, targets, each_tip, nightly,"
            " profiles, smoke, expected, build, sandbox, executor, bisect, report, replies"
        ],
    ),
    "a tag that makes objects": (
        "watch: !!python/object/apply:os.system [id]\n",
        [
            "config.yaml:1:8: watch: is a list, must be a map with branches, stable, releases, pushes, every, "
            "nightly, budget",
            "config.yaml:1:8: watch: tag tag:yaml.org,2002:python/object/apply:os.system is not allowed,"
            " write a plain value",
        ],
    ),
    "a key that is a list": (
        "? [a, b]\n: 1\n",
        ["config.yaml:1:3: a key is a list or a map, must be text"],
    ),
    "an alias within itself": (
        "watch: &x {branches: *x}\n",
        [
            "config.yaml:1:8: watch" + ".branches" * 50 + ": nested too deeply (or an alias in itself),"
            " 50 levels are allowed"
        ],
    ),
    "brackets without end": ("a: " + "[" * 20_000, ["config.yaml:1:1: nested too deeply, 50 levels are allowed"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_said_of_a_wrong_file(here: Path, name: str) -> None:
    text, lines = WRONG[name]
    assert sorted(errors(text)) == sorted(lines)


def test_lines_stand_in_the_order_of_the_file(here: Path) -> None:
    name = "several at once, in the order of the file"
    assert errors(WRONG[name][0]) == WRONG[name][1]


def test_aliases_that_stand_for_billions_are_refused_at_once(here: Path) -> None:
    rows = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    rows += [f"{c}: &{c} [{', '.join(['*' + chr(ord(c) - 1)] * 9)}]" for c in "bcdefghi"]
    (line,) = errors("\n".join(rows))
    assert line.endswith("too large with its aliases expanded, 100000 values are allowed")


def test_a_file_that_is_not_there_or_no_file(here: Path) -> None:
    for path, said in (
        (Path("none.yaml"), "none.yaml: no such file"),
        (here, f"{here}: is a directory, must be a YAML file"),
        (Path("/dev/zero"), "/dev/zero: is larger than 1 MiB, must be a YAML file"),
        (Path("/proc/self/mem"), "/proc/self/mem: cannot be read: Input/output error"),
        (Path("x" * 300), f"{'x' * 300}: cannot be read: File name too long"),
    ):
        with pytest.raises(UserError) as caught:
            load(path, environ={})
        assert str(caught.value) == said


OVERRIDES = {
    "upstrem.url=x": "--set upstrem.url: upstrem: unknown key, did you mean upstream?",
    "watch.every=soon": f'--set watch.every: is "soon", {TIME}',
    "watch.every": "--set watch.every: must have the form KEY=VALUE, such as upstream.url=/srv/qemu.git",
    "=x": "--set : must have the form KEY=VALUE",
    "a..b=x": "--set a..b: must have the form KEY=VALUE",
    "report.lists.9=x": "--set report.lists.9: report.lists: is a list of 1: an index from 0 to 1 is allowed, 1 app",
    "report.lists.x=x": "--set report.lists.x: report.lists: is a list of 1: an index from 0 to 1 is allowed, 1 app",
    "watch.every.x=1": '--set watch.every.x: watch.every: is a single value, it has no key "x"',
    "targets=[": "--set targets: not YAML: expected the node content, but found '<stream end>'",
    "executor.smokes=@": "--set executor.smokes: not YAML: found character '@' that cannot start any token",
    "watch={every: soon}": f'--set watch: watch.every: is "soon", {TIME}',
    "smoke.accel=\udcff": "--set smoke.accel: character U+DCFF is not allowed in YAML",
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_a_wrong_override_is_named(here: Path, override: str) -> None:
    with pytest.raises(UserError) as caught:
        load(overrides=[override], environ={})
    assert str(caught.value).startswith(OVERRIDES[override])
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_variable_is_named(here: Path) -> None:
    environ = {"BOT__WATCH__EVERY": "soon", "BOT__UPSTREM__URL": "x", "BOT__": "x", "BOT__REPORT__LISTS__9": "x"}
    lines = errors("watch: {stable: x}\n", "bisect.min_runs=0", environ=environ)
    assert [line.split(" (there")[0] for line in lines] == [
        '--set bisect.min_runs: is "0", must be a whole number from 3 to 10000',
        "BOT__: unknown key",
        "BOT__REPORT__LISTS__9: report.lists: is a list of 1: an index from 0 to 1 is allowed, 1 appends",
        "BOT__UPSTREM__URL: upstrem: unknown key, did you mean upstream?",
        f'BOT__WATCH__EVERY: watch.every: is "soon", {TIME}',
        'config.yaml:1:17: watch.stable: is "x", must be a whole number from 0 to 99',
    ]


YAMLISH = st.text() | st.text(alphabet="[]{},:&*!|>'\"%@`?-#~<= \n\tab01.\\xu")
STEPS = st.lists(st.sampled_from(sorted({str(step) for path in keys() for step in path})) | YAMLISH, max_size=5).map(
    ".".join
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(path=STEPS, value=YAMLISH)
def test_no_override_can_do_more_than_be_refused(here: Path, path: str, value: str) -> None:
    """Neither --set nor a variable nor a file: a Config comes out, or lines that can be printed."""
    Path("config.yaml").unlink(missing_ok=True)
    for overrides, environ, text in (
        ([f"{path}={value}"], {}, None),
        ([path], {"BOT__" + path.replace(".", "__"): value}, None),
        ([], {}, value),
    ):
        if text is not None:
            Path("config.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            assert isinstance(load(overrides=overrides, environ=environ), Config)
        except UserError as error:
            assert str(error).encode()
            assert str(error).replace("\n", "").isprintable()
