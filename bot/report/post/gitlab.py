"""Issues of a GitLab project, by its REST API (version 4, https://docs.gitlab.com/api/issues/).

GitLab knows no key by which a repeated request is one. So it is searched, before anything is written, for the word that
stands in the text of each issue and comment of ours; only what the token's own user wrote counts, for others can write
that word too. What may have been taken is simply told again, later: then it is found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests
from pydantic import SecretStr

from bot.core.outbox import Accepted, Answer, Deferred, Rejected
from bot.core.tracker import Issue, NoIssueError, Plan, named, plan
from bot.errors import UserError
from bot.model import GitLab as Settings
from bot.report.post import Letter
from bot.report.post.http import AGENT, Bearer, not_taken, status, words
from bot.report.safe import line

_LIMIT = 4 * 2**20  # bytes of an answer; a page of comments is the longest
_PAGE = 50  # issues or comments that are asked for at a time
_PAGES = 20  # of comments; ours is among the newest when it matters


class _Answered(Exception):
    """GitLab, or the way to it, has decided what comes of the news."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class GitLab:
    """One project. Raises `UserError` without a token."""

    repeatable = True

    def __init__(self, settings: Settings, token: SecretStr | None) -> None:
        if token is None:
            raise UserError("report.gitlab needs a token: give token_file, or the variable BOT_SECRET_GITLAB")
        self._settings, self._token = settings, token
        self._issues = f"{settings.url.rstrip('/')}/api/v4/projects/{quote(settings.place, safe='')}/issues"

    def send(self, letter: Letter) -> Answer:
        news = json.loads(letter.data)
        try:
            found, told = self._find(news["thread"], news["key"])
            issue = None if found is None else _issue(found, told)
            return Accepted(self._carry_out(plan(news["kind"], self._settings.labels, issue), news, found))
        except NoIssueError as error:
            return Rejected(str(error))
        except _Answered as end:
            return end.answer

    # -- what is there -------------------------------------------------------------------------------------------

    def _find(self, thread: str, key: str) -> tuple[dict[str, Any] | None, bool]:
        """Our oldest issue that holds a word, and whether it or a comment of ours on it holds the other."""
        asked = {
            "search": thread, "in": "description", "scope": "created_by_me", "state": "all",
            "order_by": "created_at", "sort": "asc", "per_page": str(_PAGE),
        }  # fmt: skip
        for found in self._list(self._issues, asked):
            if thread in str(found.get("description")):
                return found, key in str(found["description"]) or self._commented(found, key)
        return None, False

    def _commented(self, issue: Mapping[str, Any], key: str) -> bool:
        author = _id(issue)
        for page in range(1, _PAGES + 1):
            asked = {"order_by": "created_at", "sort": "desc", "per_page": str(_PAGE), "page": str(page)}
            notes = self._list(f"{self._issues}/{_number(issue)}/notes", asked)
            if any(key in str(note.get("body")) and None is not _id(note) == author for note in notes):
                return True
            if len(notes) < _PAGE:
                break
        return False

    # -- what is done --------------------------------------------------------------------------------------------

    def _carry_out(self, todo: Plan, news: Mapping[str, str], found: Mapping[str, Any] | None) -> str:
        """Do it, and say what was done."""
        labels = ",".join(todo.labels)
        if found is None:
            text = f"{news['text']}\n\n{_marks(news['thread'], news['key'])}"
            fields = {"title": news["title"], "description": text, "confidential": self._settings.confidential}
            made = self._one("POST", self._issues, fields | ({"labels": labels} if labels else {}))
            return f"opened {_named(made)}"
        here, done = f"{self._issues}/{_number(found)}", []
        if todo.comment:
            self._one("POST", f"{here}/notes", {"body": f"{news['text']}\n\n{_marks(news['key'])}"})
            done.append("commented on")
        edit = {"add_labels": labels} if labels else {}
        if todo.gone:
            edit["remove_labels"] = ",".join(todo.gone)
        if todo.closed is not None:
            edit["state_event"] = "close" if todo.closed else "reopen"
            done.append("closed" if todo.closed else "reopened")
        if edit:
            self._one("PUT", here, edit)
            done += ["labelled"] if labels or todo.gone else []
        return f"{', '.join(done) or 'it is said already in'} {_named(found)}"

    # -- requests ------------------------------------------------------------------------------------------------

    def _list(self, url: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        got = self._call("GET", url, query, None)
        if not isinstance(got, list) or not all(isinstance(one, dict) for one in got):
            raise _garbage()
        return got

    def _one(self, method: str, url: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        got = self._call(method, url, None, fields)
        if not isinstance(got, dict):
            raise _garbage()
        return got

    def _call(self, method: str, url: str, query: Mapping[str, str] | None, fields: Mapping[str, Any] | None) -> Any:
        """What GitLab answers; raises `_Answered` for what is no success."""
        settings = self._settings
        try:
            with requests.request(
                method, url, params=query, json=fields, headers={"User-Agent": AGENT}, auth=Bearer(self._token),
                timeout=settings.timeout, allow_redirects=False, stream=True,
                verify=True if settings.ca is None else str(settings.ca),
            ) as response:  # fmt: skip
                body = _read(response, settings.timeout)
        except requests.RequestException as error:
            raise _Answered(Deferred(f"{settings.url}: {words(error)}", everything=True)) from error
        except OSError as error:  # requests' word for a file of certificates that is not there
            told = line(str(error), 300)
            raise _Answered(Deferred(f"report.gitlab.ca: {told}", everything=True)) from error
        self._check(response, body)
        try:
            return json.loads(body)
        except ValueError as error:
            raise _garbage() from error

    def _check(self, response: requests.Response, body: bytes) -> None:
        told = line(f"{status(response)}: {_said(body)}".removesuffix(": "), 300)
        told = told.replace(self._token.get_secret_value(), "(the token)")
        if response.status_code == 401:  # it says nothing about the news: they wait for another token
            raise _Answered(Deferred(f"{told}; the token is wrong, or has expired", everything=True))
        if 300 <= response.status_code < 400:
            told += "; give report.gitlab.url and project as they are called now"
        if answer := not_taken(response, told):
            raise _Answered(answer)


def _read(response: requests.Response, seconds: float) -> bytes:
    """The body, up to the limit; what drips in for longer than its time counts as no answer."""
    body, ends = b"", time.monotonic() + seconds
    for chunk in response.iter_content(1 << 16):
        body += chunk
        if len(body) > _LIMIT or time.monotonic() > ends:
            raise requests.Timeout("its answer has no end")
    return body


def _said(body: bytes) -> str:
    """GitLab's words in an error: `message` or `error` of its JSON."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    said = found.get("message") or found.get("error_description") or found.get("error") or ""
    return said if isinstance(said, str) else json.dumps(said)


def _garbage() -> _Answered:
    return _Answered(Deferred("an answer that is not GitLab's; is report.gitlab.url right?", everything=True))


def _issue(found: Mapping[str, Any], told: bool) -> Issue:
    labels = found.get("labels")
    known = frozenset(map(str, labels)) if isinstance(labels, list) else frozenset()
    return Issue(_number(found), found.get("state") == "closed", known, told)


def _number(found: Mapping[str, Any]) -> int:
    number = found.get("iid")
    if not isinstance(number, int):
        raise _garbage()
    return number


def _id(found: Mapping[str, Any]) -> object:
    author = found.get("author")
    return author.get("id") if isinstance(author, dict) else None


def _named(found: Mapping[str, Any]) -> str:
    return line(named(_number(found), str(found.get("web_url", ""))), 200)


def _marks(*marks: str) -> str:
    return f"(`{' '.join(marks)}`: by this the bot finds it again)"
