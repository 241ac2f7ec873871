"""The English that the stand-in knows, as data."""

from __future__ import annotations

from typing import Final


def listed(words: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(words.split())


STOP_WORDS: Final = frozenset(
    listed("""
    a about again am an and any are as at be been but by can could did do does for from give had has have he hello her hey
    hi him how i if in into is it its just let like may me might my need no not now of off ok okay on or our please right
    she should so some tell than thank thanks that the their them then there these they this those to too us want was we
    were what when where which who whom whose why will with would yes you your
    """)
)
"""Words that say nothing of what is wanted."""

BOILERPLATE: Final = frozenset(
    listed("""
    agent call complete current data do fetch for function get given handle handoff help information lookup look make
    parameter perform provide request result retrieve return returns run service set specified tool transfer use user
    value
    """)
)
"""Words in descriptions that say what functions are like, not what this one is for."""

SUFFIXES: Final = listed("ations ation ments ment ings ing ers ies ied ed es ly er s e y")

UNITS: Final = {
    word: value
    for value, word in enumerate(
        listed("""
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
        eighteen nineteen
        """)
    )
}
TENS: Final = {
    word: 10 * value for value, word in enumerate(listed("twenty thirty forty fifty sixty seventy eighty ninety"), 2)
}
SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 1_000_000}

PREPOSITIONS: Final = listed("in for to at from of about on with named called saying near into by until")
PHRASE_ENDS: Final = frozenset(
    (*PREPOSITIONS, *listed("and or please today tomorrow tonight now right is are was will that"))
)
ARTICLES: Final = frozenset(listed("a an the my our your his her their some"))

PLACES: Final = frozenset(listed("city location place town country region area where address"))
SOURCES: Final = frozenset(listed("from origin source start departure sender"))
TARGETS: Final = frozenset(listed("to destination target recipient receiver end arrival"))
PEOPLE: Final = frozenset(listed("person customer contact user who"))
LABELS: Final = frozenset(listed("name title label"))
TIMES: Final = frozenset(listed("date day time when until deadline"))
TOPICS: Final = frozenset(listed("topic subject about"))
MESSAGES: Final = frozenset(listed("message text note content body"))

BEHIND: Final = (
    (SOURCES, listed("from")),
    (TARGETS, listed("to for into")),
    (PLACES, listed("in at near for to of from")),
    (TIMES, listed("on at until for by")),
    (LABELS, listed("named called for of")),
    (PEOPLE, listed("for to with from of")),
    (TOPICS, listed("about on of for")),
    (MESSAGES, listed("saying about")),
)
"""Which prepositions go with parameters of which names; the first line that fits decides."""
BEHIND_ANYTHING: Final = listed("for about of in to on with named called saying at from near")

PROPER_NAMES: Final = SOURCES | TARGETS | PLACES | LABELS | PEOPLE
"""Parameters whose values are written with capitals."""
WHOLE_SENTENCES: Final = MESSAGES | frozenset(
    listed("query question request problem issue description prompt input sentence search task")
)
"""Parameters that may take everything that was said."""

DAYS: Final = frozenset(
    listed("today tomorrow tonight yesterday monday tuesday wednesday thursday friday saturday sunday")
)
NEGATIONS: Final = frozenset(listed("no not without never don't doesn't isn't off disable false"))
