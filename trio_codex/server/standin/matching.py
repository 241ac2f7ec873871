"""Which of an agent's functions fits what was said, by the words they share.

A function is known by its name, its description and its parameters; a word counts by where it stands and by how few functions have
it. Pure, no language model: it errs on the side of not calling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from trio_codex.server.standin.words import content, likeness

THRESHOLD: Final = 1.5
IN_NAME, IN_DESCRIPTION, IN_CHOICES, IN_PARAMETERS = 2.0, 1.0, 1.0, 0.5

# Words that say what functions are like, not what this one is for.
_BOILERPLATE: Final = frozenset(
    "agent call complete current data do fetch for function get given handle handoff help information lookup look make "
    "parameter perform provide request result retrieve return returns run service set specified tool transfer use user value".split()
)

Vocabulary = dict[str, float]


def best_match(text: str, functions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The function that fits best, None when none fits well enough; the first of equals."""
    said = list(dict.fromkeys(content(text)))
    vocabularies = [_vocabulary(function) for function in functions]
    scores = [_score(said, vocabulary, vocabularies) for vocabulary in vocabularies]
    best = max(scores, default=0.0)
    return functions[scores.index(best)] if best >= THRESHOLD else None


def _score(said: Iterable[str], vocabulary: Vocabulary, everybodys: Sequence[Vocabulary]) -> float:
    score = 0.0
    for word in said:
        weight = _weight(word, vocabulary)
        if weight:
            shared_by = sum(_weight(word, other) > 0 for other in everybodys)
            score += weight / shared_by**0.5
    return score


def _weight(word: str, vocabulary: Vocabulary) -> float:
    return max((weight * likeness(word, known) for known, weight in vocabulary.items()), default=0.0)


def _vocabulary(function: Mapping[str, Any]) -> Vocabulary:
    vocabulary: Vocabulary = {}

    def learn(text: str, weight: float) -> None:
        for word in content(text):
            if word not in _BOILERPLATE:
                vocabulary[word] = max(weight, vocabulary.get(word, 0.0))

    learn(function["name"], IN_NAME)
    learn(function.get("description") or "", IN_DESCRIPTION)
    properties = (function.get("parameters") or {}).get("properties")
    for name, schema in (properties if isinstance(properties, Mapping) else {}).items():
        learn(name, IN_PARAMETERS)
        if isinstance(schema, Mapping):
            learn(str(schema.get("description") or ""), IN_PARAMETERS)
            for choice in schema.get("enum") or ():
                learn(str(choice), IN_CHOICES)
    return vocabulary
