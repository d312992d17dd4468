"""A new fit into an output folder keeps what the user wrote about the person's expressions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from recon.avatar import NamedExpression
from recon.expression_file import expressions_text
from studio.stages import with_users_words
from tests.recon.toy_head import toy_avatar, toy_head

FOUND = NamedExpression("smile", {"mouthSmileLeft": 0.5}, ("a.jpg", "b.jpg"))
AVATAR = toy_avatar(toy_head(12, 16), expressions=(FOUND,))


def test_names_and_words_pass_to_the_new_avatar(tmp_path: Path):
    file = tmp_path / "avatar" / "expressions.yaml"
    file.parent.mkdir()
    file.write_text(
        expressions_text((dataclasses.replace(FOUND, name="polite", meaning="no", weights={"jawOpen": 1.0}),)), encoding="utf-8"
    )
    lines: list[str] = []
    avatar = with_users_words(AVATAR, file, lines.append)
    assert avatar.expressions == (dataclasses.replace(FOUND, name="polite", meaning="no"),) and lines == []
    assert with_users_words(AVATAR, tmp_path / "none" / "expressions.yaml", lines.append).expressions == (FOUND,)


def test_a_file_that_cannot_be_read_is_kept_beside_and_named(tmp_path: Path):
    file = tmp_path / "avatar" / "expressions.yaml"
    file.parent.mkdir()
    file.write_text("expressions:\n- {name: mine, weights: {jawOpn: 1}}\n", encoding="utf-8")
    lines: list[str] = []
    assert with_users_words(AVATAR, file, lines.append).expressions == (FOUND,)
    assert (tmp_path / "expressions.broken.yaml").read_text(encoding="utf-8") == file.read_text(encoding="utf-8")
    assert len(lines) == 1 and "jawOpn" in lines[0] and "expressions.broken.yaml" in lines[0]
