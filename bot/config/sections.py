"""The sections of config.yaml as frozen models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bot.config.document import shown
from bot.config.values import (
    ALL,
    METHOD_SAYS,
    NAME_SAYS,
    NEWS_SAYS,
    Accel,
    BaselineEntry,
    CalledBy,
    Condition,
    Date,
    Domain,
    DomainPattern,
    Duration,
    Era,
    Filled,
    Host,
    Id,
    IssueLabel,
    LocalPath,
    MachineProperties,
    Mailbox,
    MailboxPattern,
    Memory,
    Method,
    Name,
    News,
    Patterns,
    Plugged,
    Project,
    RecipeEntry,
    SchedulerAddress,
    Seconds,
    Size,
    SubmoduleEntry,
    SweepAccel,
    Target,
    Url,
    Web,
    Words,
    every,
    excluded,
    unique,
)
from bot.core.outbox import exactly
from bot.errors import UserError
from bot.model import (
    SWEEPS,
    Baseline,
    BuildSettings,
    Ccache,
    Direction,
    Exclusion,
    Expected,
    GitLab,
    Limits,
    Link,
    MachineOptions,
    MailSource,
    PostSettings,
    Profile,
    ReplySettings,
    ReportSettings,
    Sandbox,
    SmokeSettings,
    SmtpServer,
    Sweep,
    Webhook,
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# -- sections -----------------------------------------------------------------------------------------------------


class Upstream(_Section):
    url: Url


class Branch(_Section):
    """Branches to watch. `name` may be a pattern (fnmatch); `since` is tested first, as the good end."""

    name: Filled
    since: Filled | None = None


class Watch(_Section):
    branches: tuple[Branch, ...]
    stable: int = Field(ge=0, le=99)
    releases: int = Field(ge=0, le=99)
    pushes: int = Field(ge=1, le=1000)
    every: Duration
    nightly: Duration | None
    budget: Duration | None


class SweepOptions(_Section):
    """A part of the matrix (`model.Sweep`). `profiles` may be `all`; a method without profiles is not used."""

    profiles: Annotated[
        tuple[Name, ...],
        BeforeValidator(every),
        Field(min_length=1),
        AfterValidator(unique),
        WithJsonSchema({"type": "array", "says": "all, or a list of profiles that is not empty"}),
    ]
    directions: Annotated[tuple[Direction, ...], Field(min_length=1), AfterValidator(unique)]
    methods: dict[Method, tuple[Filled, ...]] = Field(json_schema_extra={"keys_say": METHOD_SAYS})
    accels: Annotated[tuple[SweepAccel, ...], Field(min_length=1), AfterValidator(unique)]

    def sweep(self, profiles: Iterable[str]) -> Sweep:
        """The sweep, with the names of `profiles` in the place of `all`."""
        names = tuple(profiles) if self.profiles == (ALL,) else self.profiles
        methods = {method: patterns for method, patterns in self.methods.items() if patterns}
        return Sweep(names, self.directions, methods, self.accels)


class ProfileOptions(_Section):
    """A profile without its name, which is its key. `devices` by the machine types they are for."""

    args: Words = ()
    source_args: Words = ()
    destination_args: Words = ()
    run: Seconds = 0.0
    devices: dict[Filled, tuple[Plugged, ...]] = {}
    guest: bool = False
    machines: Patterns = ("*",)

    def profile(self, name: str) -> Profile:
        devices = tuple(
            replace(device, machines=tuple(patterns.split()))
            for patterns, plugged in self.devices.items()
            for device in plugged
        )
        given = self.model_dump(exclude={"devices"})
        return Profile(name, **given, devices=devices)


class MachineEntry(_Section):
    """As `model.MachineOptions`."""

    why: Filled
    machines: Patterns
    targets: Patterns = ("*",)
    accel: Literal["tcg", "kvm"] | None = None
    options: MachineProperties = ""
    cpu: Filled | None = None


class ExclusionEntry(_Section):
    """As `model.Exclusion`."""

    machines: Patterns
    why: Filled
    owner: Filled | None = None
    expires: Date | None = None
    until: Id | None = None


class Smoke(_Section):
    memory: dict[str, Memory]
    machines: dict[Name, MachineEntry] = Field(json_schema_extra={"keys_say": NAME_SAYS})
    accel: Accel
    deadline: Duration
    again: Annotated[int, Field(ge=0, le=99)]
    reproducer_wait: Duration
    script: LocalPath | None
    exclude: tuple[Annotated[ExclusionEntry, BeforeValidator(excluded)], ...]


class ExpectedEntry(_Section):
    """As `model.Expected`, without its id, which is its key."""

    why: Filled
    owner: Filled
    expires: Date | None = None
    until: Id | None = None
    targets: Patterns = ("*",)
    machines: Patterns = ("*",)
    profiles: Patterns = ("*",)
    methods: Patterns = ("*",)
    directions: Annotated[tuple[Direction, ...], Field(min_length=1), AfterValidator(unique)] = tuple(Direction)
    accels: Patterns = ("*",)
    classes: Patterns = ("*",)
    devices: Patterns = ("*",)
    source: Condition = ""
    destination: Condition = ""


class FixupEntry(_Section):
    """A commit that may be picked onto others which cannot be tested without it."""

    commit: Id
    since: Id | None = None
    why: Filled


class CcacheOptions(_Section):
    use: Literal["always", "never"]
    size: Size
    remote: Filled | None

    @property
    def ccache(self) -> Ccache | None:
        return Ccache(self.size, self.remote) if self.use == "always" else None


class Build(_Section):
    recipes: Annotated[tuple[RecipeEntry, ...], Field(min_length=1)]
    submodules: dict[str, SubmoduleEntry]
    fixups: tuple[FixupEntry, ...]
    eras: Annotated[tuple[Era, ...], Field(min_length=1), AfterValidator(unique)]
    jobs: int = Field(ge=0, le=4096)
    parallel: int = Field(ge=1, le=64)
    timeout: Duration
    cache: LocalPath | None
    cache_size: Size
    unpacked_size: Size
    free_space: Size
    share: bool
    ccache: CcacheOptions


class SandboxOptions(_Section):
    """The limits as `model.Limits` has them; `read` as the user wrote it."""

    use: Literal["auto", "always", "never"]
    read: tuple[LocalPath, ...]
    processes: int = Field(ge=16, le=4_000_000)
    memory: Size
    file_size: Size
    scratch: Size
    reserve: Size

    @property
    def sandbox(self) -> Sandbox:
        limits = Limits(self.processes, self.memory, self.file_size, self.scratch, self.reserve)
        return Sandbox(limits)


class Tls(_Section):
    """Files by which scheduler, workers and coordinator know each other; all of them, or none."""

    ca: LocalPath | None
    cert: LocalPath | None
    key: LocalPath | None


class Executor(_Section):
    smokes: int = Field(ge=0, le=4096)
    address: SchedulerAddress | None
    tls: Tls
    slots: int = Field(ge=1, le=64)
    timeout: Duration
    lost: Duration
    retries: int = Field(ge=0, le=100)

    @property
    def link(self) -> Link | None:
        """The way to the scheduler; None if there is none. Raises `UserError` if a file of TLS is not named."""
        if self.address is None:
            return None
        tls = {name: getattr(self.tls, name) for name in ("ca", "cert", "key")}
        if missing := [f"executor.tls.{name}" for name, path in tls.items() if path is None]:
            raise UserError(f"executor.address is {self.address}, so {', '.join(missing)} must be given")
        paths = {name: Path(path).expanduser().absolute() for name, path in tls.items()}
        return Link(self.address, **paths, timeout=self.timeout, lost=self.lost, retries=self.retries)


class Bisect(_Section):
    min_runs: int = Field(ge=3, le=10_000)
    max_runs: int = Field(ge=3, le=10_000)
    jobs: int = Field(ge=1, le=64)
    evidence: Literal["all", "patches", "none"]


class Smtp(_Section):
    """As `model.SmtpServer`."""

    host: Host
    port: int = Field(ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"]
    user: Filled | None
    password_file: LocalPath | None
    ca: LocalPath | None
    timeout: Duration


class Caps(_Section):
    """The most that goes out in an hour, and in a day."""

    hour: int = Field(ge=1, le=1000)
    day: int = Field(ge=1, le=10_000)


class WebhookEntry(_Section):
    """As `model.Webhook`, without its name, which is its key."""

    url: Web
    template: LocalPath | None = None
    token_file: LocalPath | None = None
    timeout: Duration = 30.0


class GitLabOptions(_Section):
    """As `model.GitLab`."""

    url: Web
    project: Project | None
    test_project: Project | None
    token_file: LocalPath | None
    labels: dict[News, tuple[IssueLabel, ...]] = Field(json_schema_extra={"keys_say": NEWS_SAYS})
    confidential: bool
    ca: LocalPath | None
    timeout: Duration

    @property
    def settings(self) -> GitLab | None:
        """None where no project is named: there are no issues."""
        if self.project is None and self.test_project is None:
            return None
        given = self.model_dump(exclude={"token_file", "ca"})
        return GitLab(**given, token_file=_file(self.token_file), ca=_file(self.ca))


class Report(_Section):
    """As `model.ReportSettings` and `model.PostSettings`, and `out`, the directory that everything is written to."""

    out: LocalPath | None
    sender: Mailbox
    lists: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    domain: Domain | None
    url: Web | None
    archive: Web | None
    owner: Filled | None
    operator: Mailbox | None
    approval: Literal["required", "automatic"]
    digest: bool
    send: Literal["never", "smtp", "sendmail"]
    smtp: Smtp
    sendmail: Annotated[Words, Field(min_length=1)]
    caps: Caps
    domains: tuple[DomainPattern, ...]
    no_cc: tuple[MailboxPattern, ...]
    test_to: Mailbox | None
    webhooks: dict[Name, WebhookEntry] = Field(json_schema_extra={"keys_say": NAME_SAYS})
    gitlab: GitLabOptions


class MailboxOptions(_Section):
    """As `model.MailSource`; without a path nothing is read."""

    kind: Literal["maildir", "mbox", "public-inbox"]
    path: LocalPath | None


class Replies(_Section):
    """As `model.ReplySettings`."""

    mailbox: MailboxOptions
    name: CalledBy
    trusted: Host | None
    allowed: tuple[MailboxPattern, ...]
    day: int = Field(ge=1, le=1000)
    expected_days: int = Field(ge=1, le=3650)


class Config(_Section):
    """All that can be configured; every value is valid, every name that refers to another is known."""

    upstream: Upstream
    watch: Watch
    baselines: tuple[BaselineEntry, ...]
    targets: Annotated[tuple[Target, ...], Field(min_length=1), AfterValidator(unique)]
    each_tip: SweepOptions
    nightly: SweepOptions
    profile_options: dict[Name, ProfileOptions] = Field(alias="profiles", json_schema_extra={"keys_say": NAME_SAYS})
    smoke: Smoke
    expected_entries: dict[Name, ExpectedEntry] = Field(alias="expected", json_schema_extra={"keys_say": NAME_SAYS})
    build: Build
    sandbox: SandboxOptions
    executor: Executor
    bisect: Bisect
    report: Report
    replies: Replies

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Every profile by its name."""
        return {name: given.profile(name) for name, given in self.profile_options.items()}

    @property
    def expected(self) -> tuple[Expected, ...]:
        """Known failures, the user's first."""
        return tuple(Expected(name, **given.model_dump()) for name, given in self.expected_entries.items())

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        return tuple(Exclusion(**given.model_dump()) for given in self.smoke.exclude)

    @property
    def smoke_settings(self) -> SmokeSettings:
        smoke = self.smoke
        machines = tuple(MachineOptions(**given.model_dump()) for given in smoke.machines.values())
        return SmokeSettings(smoke.memory, smoke.deadline, smoke.script, machines, smoke.reproducer_wait)

    @property
    def build_settings(self) -> BuildSettings:
        build = self.build
        return BuildSettings(
            recipes=build.recipes,
            submodules=build.submodules,
            jobs=build.jobs,
            parallel=build.parallel,
            timeout=build.timeout,
            cache=Path(build.cache) if build.cache else None,
            cache_size=build.cache_size,
            unpacked_size=build.unpacked_size,
            free_space=build.free_space,
            share=build.share,
            ccache=build.ccache.ccache,
        )

    @property
    def report_settings(self) -> ReportSettings:
        names = {"sender", "lists", "cc", "domain", "url", "archive", "owner", "no_cc"}
        given = self.report.model_dump(include=names)
        answers = self.replies.name if self.reply_settings is not None else None
        return ReportSettings(**given, approval=self.report.approval == "required", answers=answers)

    @property
    def post_settings(self) -> PostSettings:
        report = self.report
        smtp = report.smtp.model_dump(exclude={"password_file", "ca"})
        password, ca = _file(report.smtp.password_file), _file(report.smtp.ca)
        return PostSettings(
            by=report.send,
            sender=report.sender,
            smtp=SmtpServer(**smtp, password_file=password, ca=ca),
            sendmail=report.sendmail,
            hour=report.caps.hour,
            day=report.caps.day,
            domains=report.domains,
            no_cc=report.no_cc,
            test_to=report.test_to,
            webhooks=tuple(
                Webhook(name, hook.url, _file(hook.template), _file(hook.token_file), hook.timeout)
                for name, hook in report.webhooks.items()
            ),
            gitlab=report.gitlab.settings,
        )

    @property
    def reply_settings(self) -> ReplySettings | None:
        """None where answers are not read."""
        replies, path = self.replies, _file(self.replies.mailbox.path)
        if path is None or replies.trusted is None:
            return None
        source = MailSource(replies.mailbox.kind, path)
        return ReplySettings(source, replies.name, replies.trusted, replies.allowed, replies.day)

    def without(self, addresses: Iterable[str]) -> Config:
        """This configuration with more addresses, not patterns, that are never put into a mail."""
        more = tuple(exactly(address) for address in addresses)
        report = self.report.model_copy(update={"no_cc": (*self.report.no_cc, *more)})
        return self.model_copy(update={"report": report}) if more else self

    def sweep(self, name: str) -> Sweep:
        """The sweep of that name (`each_tip`, `nightly`); raises `UserError` with the names there are."""
        if name not in SWEEPS:
            raise UserError(f"no sweep {shown(name)}: there are {', '.join(SWEEPS)}")
        options: SweepOptions = getattr(self, name)
        return options.sweep(self.profile_options)

    def profile(self, name: str) -> Profile:
        """The profile of that name; raises `UserError` with the names there are."""
        if name not in self.profile_options:
            known = ", ".join(self.profile_options) or "none"
            raise UserError(f"no profile {shown(name)}: there are {known}; add it under `profiles` in config.yaml")
        return self.profiles[name]

    def with_releases(self, series: Iterable[str]) -> Config:
        """This configuration with release series (`v11.2`) as baselines that it has not; each is its newest release."""
        there = {baseline.name for baseline in self.baselines}
        more = [Baseline(name, ref=f"{name}.x") for name in series if name not in there]
        return self.model_copy(update={"baselines": (*self.baselines, *more)}) if more else self

    def baseline(self, name: str) -> Baseline:
        """The baseline of that name; raises `UserError` with the names there are."""
        for baseline in self.baselines:
            if baseline.name == name:
                return baseline
        known = ", ".join(b.name for b in self.baselines) or "none"
        raise UserError(f"no baseline {shown(name)}: there are {known}; add it under `baselines` in config.yaml")


def _file(path: str | None) -> Path | None:
    return None if path is None else Path(path).expanduser().absolute()
