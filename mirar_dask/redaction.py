"""Secrets in text: found by their names, by their places in addresses, and by their values.

Logs, reports of errors and requests go through it before they are written. It catches what is
told apart by one of these; who prints a secret under another name has printed it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_WORDS = r"pass(?:word|wd|phrase)|secret|credentials?|api[_-]?key|auth[_-]?token|access[_-]?token"
_NAME = re.compile(rf"{_WORDS}|token|private[_-]?key", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s:@'\"]*:[^/\s@'\"]+(?=@)")
_SAID = re.compile(
    rf"((?:{_WORDS})[\w-]*[\"']?(?:\s*[=:]\s*|\s+)[\"']?)[^\s\"',;&}})\]]{{4,}}", re.IGNORECASE
)
_SHORTEST = 6


def is_secret(name: str) -> bool:
    """Tell by its name whether a setting holds a secret.

    Examples
    --------
    >>> is_secret("smtp_password"), is_secret("walltime")
    (True, False)
    """
    return _NAME.search(name) is not None


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return text without the secrets that can be told in it.

    These are passwords in addresses (``scheme://user:password@host``), what follows a word such
    as ``password=``, and the values of environment variables with such names.

    Examples
    --------
    >>> redacted("cannot reach smtp://me:hunter22@host: password=hunter22", {})
    'cannot reach smtp://***@host: password=***'
    """
    for name, value in environment.items():
        # A path, as in SSH_ASKPASS, is no secret.
        if len(value) >= _SHORTEST and not value.startswith("/") and value in text:
            text = text.replace(value, HIDDEN) if is_secret(name) else text
    return _SAID.sub(rf"\1{HIDDEN}", _IN_ADDRESS.sub(HIDDEN, text))


def without_secrets(value: Any) -> Any:
    """Return settings without those whose names say that they are secret."""
    if isinstance(value, Mapping):
        return {k: without_secrets(v) for k, v in value.items() if not is_secret(str(k))}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value
