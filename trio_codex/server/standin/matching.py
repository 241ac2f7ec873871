"""Which of an agent's functions fits what was said, by the words they share.

A function is known by its name, its description and its parameters; a word counts by where it stands and by how few
functions have it. Pure, no language model: it errs on the side of not calling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from trio_codex.server.standin.lexicon import BOILERPLATE
from trio_codex.server.standin.words import content, likeness

THRESHOLD: Final = 1.5
"""Two words of a description, or one of the name."""
IN_NAME, IN_DESCRIPTION, IN_CHOICES, IN_PARAMETERS = 2.0, 1.0, 1.0, 0.5

# A handoff is named after its agent, in lower case; the capitals that part the words are in the description.
_AGENT: Final = re.compile(r"\bto the (.{1,64}?) agent\b")

Vocabulary = dict[str, float]


def best_match(
    text: str, functions: Sequence[Mapping[str, Any]], *, threshold: float = THRESHOLD
) -> Mapping[str, Any] | None:
    """The function that fits best, None when none fits well enough; the first of equals."""
    said = [word for word in dict.fromkeys(content(text)) if word not in BOILERPLATE]
    vocabularies = [_vocabulary(function) for function in functions]
    shared_by = {word: sum(_weight(word, vocabulary) > 0 for vocabulary in vocabularies) for word in said}
    best, best_rank = None, 0.0
    for function, vocabulary in zip(functions, vocabularies, strict=True):
        weights = {word: weight for word in said if (weight := _weight(word, vocabulary))}
        # One word of a description is enough when it is half of what was said.
        needed = min(threshold, IN_DESCRIPTION) if 2 * len(weights) >= len(said) else threshold
        rank = sum(weight / shared_by[word] ** 0.5 for word, weight in weights.items())
        if sum(weights.values()) >= needed and rank > best_rank:
            best, best_rank = function, rank
    return best


def _weight(word: str, vocabulary: Vocabulary) -> float:
    return max((weight * likeness(word, known) for known, weight in vocabulary.items()), default=0.0)


def _vocabulary(function: Mapping[str, Any]) -> Vocabulary:
    vocabulary: Vocabulary = {}

    def learn(text: str, weight: float) -> None:
        for word in content(text):
            if word not in BOILERPLATE:
                vocabulary[word] = max(weight, vocabulary.get(word, 0.0))

    description = str(function.get("description") or "")
    learn(description, IN_DESCRIPTION)
    properties = (function.get("parameters") or {}).get("properties")
    for name, schema in (properties if isinstance(properties, Mapping) else {}).items():
        for word in content(name):  # a description names its parameters, but they are not what it is about
            vocabulary[word] = IN_PARAMETERS
        for choice in schema.get("enum") or () if isinstance(schema, Mapping) else ():
            learn(str(choice), IN_CHOICES)
    learn(function["name"], IN_NAME)
    learn(" ".join(_AGENT.findall(description)), IN_NAME)
    return vocabulary
