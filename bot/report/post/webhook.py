"""A POST of JSON to a URL, for whatever wants to know: a chat, a tracker, a script of yours."""

from __future__ import annotations

import requests
from pydantic import SecretStr

from bot.core.outbox import Accepted, Answer, Deferred
from bot.model import Webhook as Settings
from bot.report.post import Letter
from bot.report.post.http import AGENT, Bearer, not_taken, status, words


class Webhook:
    """One URL. A receiver knows a repetition by the header `Idempotency-Key`, so what got no answer is sent again."""

    repeatable = True

    def __init__(self, settings: Settings, token: SecretStr | None) -> None:
        self._settings, self._token = settings, token

    def send(self, letter: Letter) -> Answer:
        headers = {"Content-Type": "application/json", "Idempotency-Key": letter.key, "User-Agent": AGENT}
        try:
            with requests.post(
                self._settings.url, data=letter.data, headers=headers, auth=Bearer(self._token),
                timeout=self._settings.timeout, allow_redirects=False, stream=True,
            ) as response:  # fmt: skip
                told = status(response)
                return not_taken(response, told) or Accepted(told)
        except requests.RequestException as error:
            return Deferred(f"{self._settings.name}: {words(error)}", everything=True)
