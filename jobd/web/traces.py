"""Which trace a job belongs to: OpenTelemetry and Sentry pass it on in the payload.

Source: the W3C's Trace Context, section 3.2; Sentry's SDK documentation on the header
``sentry-trace``; the fields are those of `jobd.contrib.opentelemetry` and `jobd.contrib.sentry`.
"""

import re
from typing import Final

from jobd.api import JobRecord
from jobd.api.replies import mapping, string

_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_SENTRY: Final = re.compile(r"([0-9a-f]{32})-[0-9a-f]{16}(?:-[01])?")


def trace_of(record: JobRecord) -> str:
    """The id, 32 hexadecimal digits; empty if the payload carries none."""
    sentry = mapping(record["trace_propagation_headers"]).get("sentry-trace")
    for pattern, value in ((_PARENT, record["traceparent"]), (_SENTRY, sentry)):
        found = pattern.fullmatch(string(value))
        if found:
            return found[1]
    return ""
