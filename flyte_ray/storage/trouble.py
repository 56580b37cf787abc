"""Say in one sentence why a store did not do what was asked: whose fault it is, and what to do.

Clients' errors have no base in common, and servers leave out half of what they could say; all that is known of them
stands here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from flyte_ray.errors import DeclarationError, ObjectMissing, StoreError
from flyte_ray.storage.providers import protocol_of

T = TypeVar("T")
SKEW_S: Final = 300.0
"""A clock that differs more from the server's is worth a word where a request was refused; S3 allows 900 s."""
_CREDENTIALS: Final = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")
_UNREACHABLE: Final = ("EndpointConnectionError", "ConnectTimeoutError", "ConnectionError", "ClientConnectorError")
_GONE: Final = (404, 410)
_HOW: Final = {
    "s3": "the AWS variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE) or flyte.init(storage=S3(...))",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "the AZURE_STORAGE variables or flyte.init(storage=ABFS(...))",
}


def told(what: str, uri: str, call: Callable[[], T]) -> T:
    """Call, and say of any error of a client what could not be done and why.

    Args:
        what: `read` or `write`.
        uri: Of what.
        call: Does it.

    Raises:
        StoreError: It could not be done.

    """
    try:
        return call()
    except (StoreError, ObjectMissing, DeclarationError):
        raise
    except Exception as error:
        raise StoreError(f"Cannot {what} {uri}: {explain(uri, error)}.") from error


def is_missing_bucket(error: BaseException) -> bool:
    """Tell whether the bucket itself is missing."""
    return "NoSuchBucket" in map(_code, _chain(error))


def is_absence(error: BaseException) -> bool:
    """Tell whether what was asked for is not there; fsspec says so too of a web server that fails."""
    return (
        isinstance(error, FileNotFoundError)
        and not is_missing_bucket(error)
        and not any(type(part).__name__ in _UNREACHABLE or _status(part) not in _GONE for part in _chain(error))
    )


def is_of_this_machine(error: OSError) -> bool:
    """Tell what the system said of a local file from what a client made of a server's answer."""
    clients = type(error).__module__.partition(".")[0] == "aiohttp" or any(map(_response, _chain(error)))
    return error.errno is not None and not clients


def explain(uri: str, error: BaseException) -> str:
    """Say why something at a URI could not be read or written, as a sentence without its full stop."""
    names = {type(part).__name__ for part in _chain(error)}
    how = _HOW.get(protocol_of(uri), "the store's credentials")
    if names & set(_CREDENTIALS):
        return f"there are no credentials for it. Give them by {how}"
    if isinstance(error, PermissionError):
        code = next((code for part in _chain(error) if (code := _code(part)) and not code.isdecimal()), "forbidden")
        skew_s = _skew_s(error)
        if abs(skew_s) > SKEW_S:
            how_much = f"{abs(skew_s) / 60:.0f} min {'behind' if skew_s > 0 else 'ahead of'} the store's"
            return f"the store refuses the request: this machine's clock is {how_much}. Set the clock"
        if code == "RequestTimeTooSkewed":
            return "the store refuses the request: this machine's clock differs too much from its own. Set the clock"
        return f"the store refuses the credentials ({code}). Check {how}, and what they may do there"
    if is_missing_bucket(error):
        bucket = uri.partition("://")[2].partition("/")[0]
        return f"there is no bucket {bucket!r}. Make it, or correct the name"
    root = next((part for part in _chain(error) if type(part).__name__ in _UNREACHABLE), None)
    if root is not None:
        return f"it cannot be reached: {_said(root)}"
    status = next((_status(part) for part in _chain(error) if _status(part) not in _GONE), None)
    if status is not None:
        return f"the server answers {status}"
    return f"{type(error).__name__}: {_said(error)}"


def _said(error: BaseException) -> str:
    # Azure's client adds the whole answer below its sentence.
    text = str(error).strip().partition("\n")[0].strip().rstrip(".")
    # Ceph leaves the message empty, which s3fs shows as the text "None".
    codes = [code for part in _chain(error) if (code := _code(part))]
    return text if text and not text.endswith("None") else next(iter(codes), text)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 20:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def _response(error: BaseException) -> dict[str, Any]:
    found = getattr(error, "response", None)
    return found if isinstance(found, dict) else {}


def _status(error: BaseException) -> Any:
    """Return what a web server answered, 404 if it is not known."""
    return getattr(error, "status", 404)


def _code(error: BaseException) -> str:
    return str((_response(error).get("Error") or {}).get("Code") or "")


def _skew_s(error: BaseException) -> float:
    """Seconds by which the server's clock is ahead of ours, by the answer it gave; 0 if it gave none."""
    from email.utils import parsedate_to_datetime  # many modules; only where a request was refused

    for part in _chain(error):
        date = (_response(part).get("ResponseMetadata") or {}).get("HTTPHeaders", {}).get("date")
        if date:
            return parsedate_to_datetime(date).timestamp() - time.time()
    return 0.0
