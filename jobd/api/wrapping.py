"""What people see of a payload: ActiveJob's wrapping taken off, secrets masked, stacks unpacked.

Nothing here raises, whatever a payload holds.

Source: Sidekiq's lib/sidekiq/api.rb (display_class, display_args, uncompress_backtrace) and Rails'
ActiveJob::Arguments.
"""

import base64
import binascii
import zlib
from typing import Any, Final, cast

from jobd.api.replies import document, mapping, string

MASK: Final = "[encrypted data]"

_WRAPPERS: Final = frozenset(
    {"Sidekiq::ActiveJob::Wrapper", "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"}
)
_MAILERS: Final = frozenset(
    {"ActionMailer::DeliveryJob", "ActionMailer::Parameterized::DeliveryJob"}
)
_MAIL_DELIVERY: Final = "ActionMailer::MailDeliveryJob"
_MOST_BACKTRACE_BYTES: Final = 1_000_000
_GLOBAL_ID: Final = "_aj_globalid"
_MARKS: Final = frozenset(
    {"_aj_symbol_keys", "_aj_ruby2_keywords", "_aj_hash_with_indifferent_access"}
)


def display_class(payload: dict[str, Any]) -> str:
    """The name of the job for people."""
    shown = string(payload.get("display_class"))
    if shown or payload.get("class") not in _WRAPPERS:
        return shown or string(payload.get("class"))
    inner = _inner(payload)
    name = string(payload.get("wrapped")) or string(inner.get("job_class"))
    arguments = _list(inner.get("arguments"))
    if name in {*_MAILERS, _MAIL_DELIVERY} and len(arguments) > 1:
        return f"{arguments[0]}#{arguments[1]}"
    return name or string(payload.get("class"))


def display_args(payload: dict[str, Any]) -> list[Any]:
    """The arguments of the job for people."""
    args = _list(payload.get("args"))
    if payload.get("class") in _WRAPPERS and _inner(payload):
        args = [_plain(each) for each in _job_arguments(_inner(payload), payload)]
    if payload.get("encrypt") and args:
        args = [*args[:-1], MASK]
    return args


def unpack_backtrace(value: object) -> list[str]:
    """The frames of an ``error_backtrace``: Base64 of zlib of a JSON array, or the array itself."""
    if isinstance(value, str):
        value = document(_inflated(value))
    return [str(frame) for frame in _list(value)]


def _inflated(text: str) -> bytes | None:
    try:
        packed = base64.b64decode("".join(text.split()), validate=True)  # 6.4 breaks the lines
        # A few bytes may hold gigabytes.
        found = zlib.decompressobj()
        frames = found.decompress(packed, _MOST_BACKTRACE_BYTES)
    except (binascii.Error, ValueError, zlib.error):
        return None
    return frames if found.eof else None


def _inner(payload: dict[str, Any]) -> dict[str, Any]:
    args = _list(payload.get("args"))
    return mapping(args[0]) if args else {}


def _job_arguments(inner: dict[str, Any], payload: dict[str, Any]) -> list[Any]:
    arguments = _list(inner.get("arguments"))
    name = string(payload.get("wrapped")) or string(inner.get("job_class"))
    if name in _MAILERS:
        return arguments[3:]
    if name == _MAIL_DELIVERY:
        # Behind mailer, method and "deliver_now" stands one object with both.
        told = mapping(arguments[3]) if len(arguments) > 3 else {}
        return [told[key] for key in ("params", "args") if key in told]
    return arguments


def _plain(value: Any) -> Any:
    """An argument without the marks of ActiveJob; an object is shown by its global id."""
    # Not by recursion over anything: a payload nests 100 levels at the most.
    if listed := _list(value):
        return [_plain(each) for each in listed]
    found = mapping(value)
    if not found:
        return value
    if _GLOBAL_ID in found:
        return found[_GLOBAL_ID]
    if "_aj_serialized" in found and "value" in found:
        return _plain(found["value"])
    return {key: _plain(each) for key, each in found.items() if key not in _MARKS}


def _list(value: object) -> list[Any]:
    return cast("list[object]", value) if isinstance(value, list) else []
