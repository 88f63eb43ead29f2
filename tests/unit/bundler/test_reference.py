import pytest

from bundler.errors import RecipeError
from bundler.model.reference import Reference, parse_reference

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("docker.io/library/redis:7.2", Reference(host="docker.io", repository="library/redis", tag="7.2")),
        ("docker.io/redis:7.2", Reference(host="docker.io", repository="library/redis", tag="7.2")),
        ("index.docker.io/redis:7.2", Reference(host="docker.io", repository="library/redis", tag="7.2")),
        ("localhost/a:1", Reference(host="localhost", repository="a", tag="1")),
        ("127.0.0.1:5000/a/b__c/d-e:V_1.2-x", Reference(host="127.0.0.1:5000", repository="a/b__c/d-e", tag="V_1.2-x")),
        ("[::1]:5000/a:1", Reference(host="[::1]:5000", repository="a", tag="1")),
        (f"r.bank.local/a@sha256:{HEX}", Reference(host="r.bank.local", repository="a", sha256=HEX)),
        (f"r.bank.local/a:1@sha256:{HEX}", Reference(host="r.bank.local", repository="a", tag="1", sha256=HEX)),
    ],
)
def test_a_reference(text: str, reference: Reference) -> None:
    assert parse_reference(text, place="here") == reference
    assert parse_reference(str(reference), place="here") == reference


def test_the_digest_decides_and_the_tag_names() -> None:
    both = parse_reference(f"r.local/a:1@sha256:{HEX}", place="here")
    assert (both.what, both.name_of("cd")) == (f"sha256:{HEX}", "r.local/a:1")
    assert parse_reference("r.local/a:1", place="here").what == "1"
    # The name with a digest is the digest of what is carried, not that of the index it came from.
    assert parse_reference(f"r.local/a@sha256:{HEX}", place="here").name_of("cd") == "r.local/a@sha256:cd"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "redis",
        "docker.io/library/redis",
        "docker.io/Library/redis:7",
        "docker.io/library/redis:",
        "docker.io//redis:7",
        "docker.io/a/../b:7",
        "docker.io/a:7@sha512:" + "a" * 128,
        f"docker.io/a@sha256:{HEX.upper()}",
        "https://docker.io/a:7",
        "user@docker.io/a:7",
        "docker.io/a:7\n",
        "docker.io/a:7?x",
        "docker.io/" + "a/" * 130 + "b:7",
        "-r.local/a:1",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_reference(text, place="images[0].reference")
    assert str(refused.value).startswith(
        "images[0].reference: expected a reference HOST/NAME:TAG or HOST/NAME@sha256:HEX, got "
    )
    assert refused.value.hint == "write it in full, such as docker.io/library/redis:7.2"


def test_no_host_is_guessed() -> None:
    with pytest.raises(RecipeError) as refused:
        parse_reference("library/redis:7.2", place="here")
    assert str(refused.value) == 'here: expected the host of a registry first, got "library"'
    assert refused.value.hint == "an image of Docker Hub is written docker.io/library/redis:7.2"
