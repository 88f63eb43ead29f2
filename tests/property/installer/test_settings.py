"""Settings survive their file, whatever they hold."""

from __future__ import annotations

from hosts import service
from hypothesis import given
from hypothesis import strategies as st

from bundler.installer.settings import edit_settings, read_settings
from bundler.installer.wanted import in_start_order

AGENT = service("agent", 8090, settings=("A", "B"))
# One line of text, as `--set` takes it; outer blanks are the shell's business.
values = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))).filter(lambda text: text == text.strip())
names = st.sampled_from("abcdef")


@given(values, values)
def test_what_is_set_is_read(first: str, second: str) -> None:
    text = edit_settings("", AGENT, {"A": first, "B": second})
    assert read_settings(text) == {name: value for name, value in (("A", first), ("B", second)) if value}


@given(values, values)
def test_the_same_edit_again_changes_nothing_and_the_last_one_counts(first: str, second: str) -> None:
    once = edit_settings("# mine\nC=1\n", AGENT, {"A": first})
    assert edit_settings(once, AGENT, {"A": first}) == once
    assert edit_settings(once, AGENT, {}) == once
    assert read_settings(edit_settings(once, AGENT, {"A": second})).get("A", "") == second
    assert once.startswith("# mine\nC=1\n")


@given(st.dictionaries(names, st.sets(names)))
def test_services_start_behind_what_they_need(needs: dict[str, set[str]]) -> None:
    # Only earlier names are needed, so that there is no circle.
    services = [
        service(name, 1, after=tuple(sorted(other for other in after if other < name))) for name, after in needs.items()
    ]
    order = [one.name for one in in_start_order(services)]
    assert sorted(order) == sorted(needs)
    for one in services:
        for other in one.after:
            assert other not in needs or order.index(other) < order.index(one.name)
