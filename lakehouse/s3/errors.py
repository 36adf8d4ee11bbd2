"""S3 errors: error text of an S3 client -> cause and remedy, in one line each."""

from __future__ import annotations

import re
from typing import NamedTuple

_ANSI = re.compile(r"\x1b?\[\d+m")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"\b([345]\d\d) [A-Z][a-z]+")
_KEYS = "HEADWATER_S3_ACCESS_KEY and HEADWATER_S3_SECRET_KEY"


class Trouble(NamedTuple):
    """`words`: the cause, for the message; `hint`: the remedy."""

    words: str
    hint: str


_BUCKET = Trouble("the bucket does not exist", "create it, or correct HEADWATER_LAKE_URL or HEADWATER_ARCHIVE_URL")
_KEY = Trouble("S3 does not know the access key", f"correct {_KEYS}")
_SECRET = Trouble("S3 does not accept the secret key", f"correct {_KEYS}")
_DENIED = Trouble(
    "S3 denies access",
    f"set {_KEYS}, and let that key list the bucket, and read, write and delete below the lake's prefix",
)
_GONE = Trouble("a file of the lake is gone", "try again; if it stays gone, restore it and find the cause")
_REGION = Trouble("the bucket is in another region", "set HEADWATER_S3_REGION")
_CLOCK = Trouble("the clock of this machine is wrong", "set the clock, best by NTP, else S3 refuses signatures")
_BUSY = Trouble("S3 answers with errors", "nothing is lost, Headwater retries; see the log of the S3 server")
_AWAY = Trouble("S3 cannot be reached", "check that the server runs and that HEADWATER_S3_ENDPOINT is right")
_SLOW = Trouble(
    "S3 does not answer in time", "see the S3 server's load, or raise HEADWATER_S3_QUERY_TIMEOUT_S or _WRITE_"
)
_TLS = Trouble(
    "the certificate of S3 is not trusted", "set HEADWATER_S3_CA_FILE, or use the host name in the certificate"
)
_NO_KEYS = Trouble("S3 keys are missing", f"set {_KEYS}, or the variables of the AWS environment")

_BY_CODE = {
    "NoSuchBucket": _BUCKET,
    "NoSuchKey": _GONE,
    "InvalidAccessKeyId": _KEY,
    "XAdminUserNotFound": _KEY,
    "SignatureDoesNotMatch": _SECRET,
    "InvalidToken": _SECRET,
    "ExpiredToken": _SECRET,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "RequestTimeTooSkewed": _CLOCK,
    "InternalError": _BUSY,
    "ServiceUnavailable": _BUSY,
    "SlowDown": _BUSY,
}
_BY_STATUS = {"301": _REGION, "307": _REGION, "401": _DENIED, "403": _DENIED, "429": _BUSY}
_BY_WORDS = (
    (("certificate", "UnknownIssuer"), _TLS),
    (("CredentialsNotLoaded", "no credentials", "Unable to locate credentials", "credentials provider"), _NO_KEYS),
    (("timed out", "timeout of", "ReadTimeout", "Read timeout", "Connect timeout", "ConnectTimeout"), _SLOW),
    (("Connection refused", "dns error", "(Connect)", "error sending request", "Could not connect"), _AWAY),
    (("Connection reset", "Connection was closed", "connection closed", "Connection aborted"), _AWAY),
    (("error decoding response body", "body from connection", "IncompleteRead"), _AWAY),
)


def trouble(text: str) -> Trouble | None:
    """Cause and remedy for the error text of an S3 client; None if the text is not about S3."""
    text = _ANSI.sub("", text)
    code = _CODE.search(text)
    if code and code[1] in _BY_CODE:
        return _named(_BY_CODE[code[1]], code[1])
    if code is None and not any(sign in text for sign in ("Error performing", "S3 error", "S3 operation")):
        return None
    status = _STATUS.search(text)
    if status:
        busy = _BUSY if status[1] >= "500" else Trouble("S3 refuses a request", "see the log of the S3 server")
        return _named(_BY_STATUS.get(status[1], busy), f"{status[1]} {code[1]}" if code else status[1])
    for words, known in _BY_WORDS:
        found = next((word for word in words if word in text), None)
        if found is not None:
            return _named(known, _last_line(text))
    return Trouble(f"S3 failed: {_last_line(text)}", "see the log of the S3 server")


def _named(known: Trouble, detail: str) -> Trouble:
    return Trouble(f"{known.words} ({detail})", known.hint)


def _last_line(text: str) -> str:
    """The last line: clients nest their reasons, and the root cause comes last."""
    lines = [line.strip(" \u21b3\t") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "no reason given")[:200]
