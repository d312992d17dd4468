"""What the user wrote into expressions.yaml outlives a new fit."""

import dataclasses

import pytest

from assets.errors import ArtifactError
from recon.avatar import NamedExpression
from recon.expression_file import expressions_text, parse_expressions, with_kept_words

SMILE = NamedExpression("smile", {"mouthSmileLeft": 0.8}, ("a.jpg", "b.jpg", "c.jpg"))
FROWN = NamedExpression("frown", {"browDownLeft": 0.5}, ("d.jpg",))


def test_text_and_back_is_the_same_and_says_what_may_be_edited():
    text = expressions_text((SMILE, dataclasses.replace(FROWN, name="yes", meaning="#1: no", when="null")))
    assert parse_expressions(text, "here") == (SMILE, dataclasses.replace(FROWN, name="yes", meaning="#1: no", when="null"))
    assert text.startswith("# ") and "Rename" in text
    assert parse_expressions("", "here") == () and parse_expressions("expressions:\n", "here") == ()


def test_a_new_fit_keeps_names_and_words_by_the_pictures_and_takes_its_own_weights():
    edited = dataclasses.replace(SMILE, name="polite", meaning="means no", when="at work")
    new = NamedExpression("half smile", {"mouthSmileLeft": 0.6}, ("b.jpg", "c.jpg"))
    (first, second) = with_kept_words((FROWN, new), (edited,))
    assert first == FROWN
    assert second == dataclasses.replace(new, name="polite", meaning="means no", when="at work")


def test_without_common_pictures_the_name_decides_and_more_pictures_go_first():
    new = NamedExpression("smile", {"mouthSmileLeft": 0.6}, ("x.jpg",))
    assert with_kept_words((new,), (dataclasses.replace(SMILE, when="at work"),)) == (dataclasses.replace(new, when="at work"),)
    by_picture = NamedExpression("grin", {"mouthSmileLeft": 0.6}, ("a.jpg", "b.jpg", "c.jpg", "e.jpg"))
    kept = with_kept_words((new, by_picture), (dataclasses.replace(SMILE, when="at work"),))
    assert [(one.name, one.when) for one in kept] == [("smile 2", ""), ("smile", "at work")]


def test_what_the_user_wrote_is_kept_where_nothing_new_is_like_it_and_what_was_found_is_not():
    by_hand = NamedExpression("wink", {"eyeBlinkLeft": 1.0})
    annotated = dataclasses.replace(SMILE, meaning="means no")
    assert with_kept_words((FROWN,), (by_hand, annotated)) == (FROWN, by_hand, annotated)
    assert with_kept_words((FROWN,), (SMILE,)) == (FROWN,)
    assert with_kept_words((), ()) == ()


def test_no_name_stands_twice_and_the_users_own_stays():
    named_as_the_new_one = NamedExpression("frown", {"mouthFrownLeft": 1.0}, ("a.jpg",), meaning="sad")
    new = (dataclasses.replace(FROWN, name="frown"), NamedExpression("pout", {"mouthPucker": 1.0}, ("a.jpg",)))
    kept = with_kept_words(new, (named_as_the_new_one,))
    assert [(one.name, one.meaning, one.views) for one in kept] == [("frown 2", "", ("d.jpg",)), ("frown", "sad", ("a.jpg",))]


@pytest.mark.parametrize("text", ["when: 2024-02-30", "expressions: 0b_", 3000 * "[", "expressions: [", "\t- a"])
def test_a_text_that_yaml_stumbles_over_is_one_error_that_names_the_file(text):
    """A day that no calendar has, a number without digits and a list a thousand deep are errors of Python's own."""
    with pytest.raises(ArtifactError, match=r"my\.yaml"):
        parse_expressions(text, "my.yaml")
