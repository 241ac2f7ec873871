"""The three docstring styles say the same thing."""

import pytest

from trio_codex.docstrings import parse_docstring

GOOGLE = """Give the weather.

    It may be wrong.

    Args:
        city (str): Where to look,
            in words.
        *units: C or F.

    Returns:
        city: not a parameter.
    """

NUMPY = """Give the weather.

    It may be wrong.

    Parameters
    ----------
    city : str
        Where to look,
        in words.
    units
        C or F.

    Returns
    -------
    str
        city : not a parameter.
    """

SPHINX = """Give the weather.

    It may be wrong.

    :param str city: Where to look,
        in words.
    :type city: str
    :param units: C or F.
    :returns: city
        not a parameter.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_styles_agree(text: str) -> None:
    said = parse_docstring(text)
    assert said.text == "Give the weather.\n\nIt may be wrong."
    assert said.parameters == {"city": "Where to look, in words.", "units": "C or F."}


@pytest.mark.parametrize("text", [None, "", "   \n  "])
def test_nothing_said(text: str | None) -> None:
    assert parse_docstring(text).text == ""
    assert parse_docstring(text).parameters == {}


def test_colons_in_plain_text_are_no_sections() -> None:
    text = "Note: args are fine\nargs: not a heading\nexamples follow"
    assert parse_docstring(text).text == text


def test_entry_without_text_is_left_out() -> None:
    assert parse_docstring("x\n\nArgs:\n    a:\n    b: B\n").parameters == {"b": "B"}


def test_sections_in_any_order() -> None:
    said = parse_docstring("X.\n\nRaises:\n    ValueError: never\n\nArgs:\n    a: A\n\nExample:\n    a: no\n")
    assert said.text == "X."
    assert said.parameters == {"a": "A"}
