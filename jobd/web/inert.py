"""Text from elsewhere, made harmless to look at.

Jinja escapes HTML; that leaves the letters that change what other letters look like. Arguments,
errors and names come from Redis, and so from whoever may write there: what is invisible, turns the
writing direction round or is no letter at all is shown by its number.

Source: Unicode's categories Cc, Cf, Cs, Co, Cn, Zl and Zp; UTS #55 on source code spoofing.
"""

import re
import unicodedata
from typing import Final

_SUSPECT: Final = re.compile(
    "[^\\t\\n\\x20-\\x7e\\xa1-\\xac\\xae-\\u05ff\\u0900-\\u1fff\\u2010-\\u2027\\u2030-\\u205f"
    "\\u3000-\\ud7ff\\uf900-\\ufdff\\ufe10-\\ufefe\\uff00-\\uffef]"
)
# Joiners are needed to write several scripts and most emoji of people.
_HARMLESS: Final = frozenset("\u200c\u200d\ufe0e\ufe0f\r")
_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def inert(text: str) -> str:
    """The text with every invisible or misleading letter written as ``⟨U+202E⟩``."""
    return _SUSPECT.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    letter = match[0]
    if letter in _HARMLESS or unicodedata.category(letter) not in _CATEGORIES:
        return letter
    return f"⟨U+{ord(letter):04X}⟩"


def cut(text: str, longest: int) -> str:
    """At most so many letters, with how many more there were."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… (+{len(text) - longest:,})"
