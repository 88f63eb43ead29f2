"""The section `egress` of a recipe."""

from pathlib import Path

import pytest

from bundler.errors import RecipeError
from bundler.load import read_recipe
from bundler.model.egress import Allowed

HELLO = (Path(__file__).resolve().parents[3] / "recipes/hello/recipe.yaml").read_text()


def recipe(tmp_path: Path, section: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(HELLO + section)
    return path


def test_a_recipe_allows_nothing_by_itself(tmp_path: Path) -> None:
    assert read_recipe(recipe(tmp_path, "")).egress == ()
    assert read_recipe(recipe(tmp_path, "egress: {}\n")).egress == ()


def test_what_a_recipe_allows(tmp_path: Path) -> None:
    section = "egress:\n  allow:\n    - {rule: connection, where: 'ntp.bank.example:123', reason: the site has it}\n"
    assert read_recipe(recipe(tmp_path, section)).egress == (
        Allowed(rule="connection", where="ntp.bank.example:123", reason="the site has it"),
    )


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("egress: []", "egress: expected a mapping, got a list"),
        ("egress: {allowed: []}", "egress.allowed: unknown field"),
        ("egress: {allow: {}}", "egress.allow: expected a list, got a mapping"),
        ("egress: {allow: [{where: a, reason: b}]}", "egress.allow[0].rule: expected text, the field is missing"),
        (
            "egress: {allow: [{rule: 'n x', where: a, reason: b}]}",
            'egress.allow[0].rule: expected the id of a rule, got "n x"',
        ),
        (
            "egress: {allow: [{rule: npx, where: a, reason: ''}]}",
            'egress.allow[0].reason: expected a reason in one line, got ""',
        ),
        ("egress: {allow: [{rule: npx, reason: b}]}", "egress.allow[0].where: expected text, the field is missing"),
        ("egress: {allow: [{rule: npx, where: a, reason: b, why: c}]}", "egress.allow[0].why: unknown field"),
    ],
)
def test_a_wrong_section_is_refused(section: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe(recipe(tmp_path, section + "\n"))
    assert str(refused.value) == says
