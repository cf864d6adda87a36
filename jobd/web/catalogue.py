"""Every text that a person reads in the dashboard, by key; the templates and pages hold none.

``{n}`` and the like are filled in; of two texts divided by ``||`` the first is for one, the second
for any other number. A translation is a mapping of the same keys; what it leaves out is English.
"""

from collections.abc import Mapping
from typing import Any

from jobd.web.english import ENGLISH
from jobd.web.inert import inert


class Catalogue:
    """Texts by key.

    Args:
        texts: instead of the English ones.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = {**ENGLISH, **texts}

    def __contains__(self, key: object) -> bool:
        return key in self._texts

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key, filled in.

        Raises:
            KeyError: there is none; a test looks at every key that a template asks for.
        """
        text = self._texts[key]
        if "||" in text:
            one, _, many = text.partition("||")
            text = one if values.get("n") == 1 else many
        # They go into attributes and labels as well, where no template looks at them.
        shown = {
            key: inert(each) if isinstance(each, str) else each for key, each in values.items()
        }
        return text.format_map(shown) if shown else text
