"""Numbers, durations, sizes and moments as people read them; pure, and the same for every page."""

import itertools
from datetime import UTC, datetime
from typing import Final

_SIZES: Final = ("B", "KB", "MB", "GB", "TB")
_SPANS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def count(number: float) -> str:
    """``1,234,567``."""
    return f"{number:,.0f}"


def short_count(number: float) -> str:
    """At most five letters, for narrow places: ``999``, ``12.3k``, ``1.5M``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= limit:
            scaled = number / (1e3 if unit == "k" else limit)
            text = f"{scaled:.1f}" if abs(scaled) < 100 else f"{scaled:.0f}"
            return text.removesuffix(".0") + unit
    return f"{number:,.0f}"


def rate(number: float) -> str:
    """``0``, ``2.5``, ``1,234``: a tenth matters of small numbers only."""
    return f"{number:.1f}".removesuffix(".0") if abs(number) < 9.95 else count(number)


def span(seconds: float) -> str:
    """A duration by its two greatest units: ``4 ms``, ``1.3 s``, ``5 min 2 s``, ``3 d 4 h``."""
    if seconds < 0.0005:
        return "0 s"
    # What would be rounded up to a greater unit has that unit.
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    seconds = round(seconds)
    return _two_units(seconds)


def whole_span(seconds: float) -> str:
    """The same of what is known to the second only: ``3 s`` and not ``3.0 s``."""
    whole = int(seconds)
    return f"{whole} s" if whole < 10 else span(whole)


def _two_units(seconds: float) -> str:
    names = [*_SPANS, (1.0, "s")]
    for (size, unit), (smaller, smaller_unit) in itertools.pairwise(names):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            few = int(rest // smaller)
            return f"{whole:.0f} {unit} {few} {smaller_unit}" if few else f"{whole:.0f} {unit}"
    return f"{seconds:.0f} s"


def relative(when: datetime, now: datetime) -> str:
    """How far a moment is away: ``5 min ago``, ``in 3 h``, ``now``; one unit is enough."""
    seconds = (when - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    text = _one_unit(abs(seconds))
    return f"in {text}" if seconds > 0 else f"{text} ago"


def _one_unit(seconds: float) -> str:
    for (size, unit), smaller in itertools.pairwise((*_SPANS, (1.0, "s"))):
        # 59.6 minutes are an hour, not 60 min.
        if seconds >= size - smaller[0] / 2:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def absolute(when: datetime) -> str:
    """``2026-11-22 13:05:09 UTC``; a script writes it in the viewer's zone instead."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(when: datetime) -> str:
    """For the ``datetime`` attribute of ``<time>``."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds")


def size(number: float) -> str:
    """Bytes: ``512 B``, ``1.4 MB``, ``138 MB``."""
    unit, *greater = _SIZES
    while abs(number) >= 1000 and greater:
        number /= 1000
        unit = greater.pop(0)
    return f"{number:.1f} {unit}" if number < 10 and unit != "B" else f"{number:.0f} {unit}"


def kilobytes(number: float) -> str:
    """The same, of what was counted in kilobytes of 1,024 bytes."""
    return size(number * 1024)


def percent(part: float, whole: float) -> str:
    """``12 %``; a share that is not nothing is never shown as 0."""
    if not whole:
        return "0 %"
    share = 100 * part / whole
    if 0 < share < 1:
        return f"{share:.2f} %" if share >= 0.01 else "<0.01 %"
    return f"{share:.1f} %" if share < 10 and share != round(share) else f"{share:.0f} %"
