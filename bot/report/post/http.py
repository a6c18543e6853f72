"""What all that is sent by HTTP has in common: the token, and what an answer means."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import requests
from pydantic import SecretStr

from bot.core.outbox import Answer, Deferred, Rejected
from bot.report.safe import line

AGENT = "migbot"
_LATER = {408, 425, 429}  # 4xx that mean "not now"


class Bearer(requests.auth.AuthBase):
    """The token, and never what a .netrc of the user says."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


def status(response: requests.Response) -> str:
    """`503 Service Unavailable`."""
    return line(f"{response.status_code} {response.reason}", 300)


def not_taken(response: requests.Response, why: str) -> Answer | None:
    """5xx and "too many": later; what is neither these nor 2xx: never, redirects too, for they would take the token
    elsewhere. None: it was taken.
    """
    if 200 <= response.status_code < 300:
        return None
    if response.status_code >= 500 or response.status_code in _LATER:
        return Deferred(why, _asked(response.headers.get("Retry-After", "")), everything=True)
    return Rejected(why)


def _asked(text: str) -> float:
    """Seconds that Retry-After asks for, as a number or as a date (RFC 9110, 10.2.3); 0 if it is neither."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0


def words(error: requests.RequestException) -> str:
    """What went wrong, without the URL: its query may hold a secret."""
    if isinstance(error, requests.Timeout):
        return "it did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not believed, or TLS with it failed"
    return f"no connection, or one that broke ({type(error).__name__})"
