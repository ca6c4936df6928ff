"""Names of classes that are probably a mistake: told in a line, and names that are none are not."""

import pytest

from transfer.sources.doubts import suspicious


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (("Cat", "cat", "dog"), "'Cat' and 'cat' differ only in how they are written"),
        (("a\u0308", "\u00e4"), "differ only in how they are written"),
        (("big  dog", "big dog"), "differ only in how they are written"),
        (("cat", "cat|dog"), "'cat|dog' is taken as one label; several labels per image are not learnt"),
        (("dog", "cat; dog"), "'cat; dog' is taken as one label"),
    ],
)
def test_a_doubt_is_one_line(classes: tuple[str, ...], told: str) -> None:
    (line,) = suspicious(classes)
    assert told in line
    assert "\n" not in line


@pytest.mark.parametrize("classes", [("lake, natural", "lake, made"), ("a|b", "c;d"), ("1", "10"), ("猫", "犬")])
def test_other_names_raise_none(classes: tuple[str, ...]) -> None:
    assert list(suspicious(classes)) == []
