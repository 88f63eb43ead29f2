"""More than one package index, one with a login: what is taken from where, and what nobody gets to see."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from artifacts import make_wheel
from index import Index, basic
from mirror import Answer, Mirror
from values import lock, recipe

from bundler import uv
from bundler.errors import FerryError, RecipeError, ResolveError, TransferError
from bundler.fetch import fetch
from bundler.indexes import environment, find_index, redact
from bundler.load import format_lock
from bundler.logins import Logins
from bundler.model.platform import PLATFORMS
from bundler.model.progress import Silent
from bundler.model.wheel import LockedPackage
from bundler.resolve.wheel import resolve_wheels
from bundler.store import Store

AMD64 = PLATFORMS[0]
# Of the kind that goes wrong unquoted.
LOGIN, QUOTED = "joe:s3/cr@et ü", "joe:s3%2Fcr%40et%20%C3%BC"


@pytest.fixture
def private(index: Index) -> Iterator[Index]:
    """Another index, that wants a login."""
    with Mirror() as server:
        server.login = basic(LOGIN)
        yield Index(server)


def resolved(*wheels: str, **indexes: str) -> tuple[LockedPackage, ...]:
    return resolve_wheels(wheels, recipe(), what="wheels", indexes=tuple(sorted(indexes.items())))


def fetched(packages: tuple[LockedPackage, ...], store: Store, tmp_path: Path) -> list[str]:
    """Fetch packages; return the digests that came."""
    fetch(replace(lock(), wheels=packages), AMD64, store, directory=tmp_path, progress=Silent())
    return [file.sha256 for package in packages for file in package.files if store.has(file.sha256, file.size)]


def test_what_a_further_index_has_is_taken_from_no_other(
    index: Index, private: Index, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever publishes a private name with a higher version gains nothing (dependency confusion)."""
    index.wheel("ours", "99.0")
    public, ours = index.wheel("theirs", "1.0"), private.wheel("ours", "1.0", needs="theirs")
    monkeypatch.setenv("UV_INDEX", private.url_with(QUOTED))
    found = resolved("ours")
    assert [(package.name, package.version) for package in found] == [("ours", "1.0"), ("theirs", "1.0")]
    assert fetched(found, store, tmp_path) == [ours, public]


def test_pips_further_indexes_are_not_asked_and_that_is_told(
    index: Index, private: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.wheel("ours", "1.0")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", private.url_with(QUOTED))
    with pytest.raises(ResolveError) as refused:
        resolved("ours")
    assert private.mirror.asked == []
    assert refused.value.hint == (
        "check the requirement, the date, and the package index of your pip or uv configuration; pip's further indexes "
        "are not asked, since pip prefers none: name one in UV_INDEX, which is asked first, or as FERRY_INDEX_NAME for "
        "single packages"
    )


def test_an_index_without_dates_and_sizes_serves_exact_versions(
    index: Index, private: Index, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain HTML (PEP 503), as many an own index is."""
    ours = private.wheel("torch", "1.0")
    link = f'<a href="../../files/torch-1.0-py3-none-any.whl#sha256={ours}">torch-1.0-py3-none-any.whl</a>'
    private.mirror.serve("/simple/torch/", Answer(body=link.encode(), headers={"Content-Type": "text/html"}))
    monkeypatch.setenv("FERRY_INDEX_GPU", private.url_with(QUOTED))
    found = resolved("torch==1.0", torch="gpu")
    assert found[0].files[0].size == len(make_wheel("torch", "1.0", {})[1])
    assert fetched(found, store, tmp_path) == [ours]
    with pytest.raises(ResolveError) as refused:
        resolved("torch>=1.0", torch="gpu")
    assert "`torch` was filtered by `exclude-newer`" in str(refused.value)


@pytest.mark.parametrize("variable", ["FERRY_INDEX_OUR_GPU", "UV_INDEX"])
def test_a_package_is_taken_from_the_index_that_the_recipe_names(
    variable: str, index: Index, private: Index, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "99.0"):
        index.wheel("torch", version)
    public, ours = index.wheel("app", "1.0", needs="torch"), private.wheel("torch", "1.0+gpu")
    url = private.url_with(QUOTED)
    monkeypatch.setenv(variable, f"our-gpu={url}" if variable == "UV_INDEX" else url)
    found = resolved("app", torch="our-gpu")
    assert [(package.name, package.version, package.why, package.index) for package in found] == [
        ("app", "1.0", ("app",), ""),
        ("torch", "1.0+gpu", ("app",), "our-gpu"),
    ]
    assert fetched(found, store, tmp_path) == [public, ours]
    text = format_lock(replace(lock(), wheels=found))
    assert "index: our-gpu" in text
    for secret in ("127.0.0.1", "joe", "s3", "http"):
        assert secret not in text


def test_the_index_of_one_package_gives_no_other(index: Index, private: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.wheel("app", "1.0", needs="torch")
    private.wheel("app", "99.0")
    private.wheel("torch", "1.0")
    monkeypatch.setenv("FERRY_INDEX_GPU", private.url_with(QUOTED))
    assert [(package.name, package.version) for package in resolved("app", torch="gpu")] == [
        ("app", "1.0"),
        ("torch", "1.0"),
    ]


@pytest.mark.parametrize("written", ["{}/", "{}"])
def test_a_url_may_be_written_in_more_than_one_way(
    written: str, index: Index, private: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.wheel("torch", "1.0")
    monkeypatch.setenv("FERRY_INDEX_GPU", written.format(private.url_with(QUOTED)))
    assert [package.index for package in resolved("torch", torch="gpu")] == ["gpu"]


def test_the_urls_of_one_index() -> None:
    one = find_index("gpu", {"FERRY_INDEX_GPU": "https://u:p@Host/simple/"})
    assert (one.url, one.user, one.password) == ("https://Host/simple/", "u", "p")
    assert one.is_at("https://host:443/simple")
    for other in ("http://host/simple", "https://host/", "https://host:8443/simple", "", "x"):
        assert not one.is_at(other)
    assert "p" not in repr(one).replace("https", "").replace("simple", "").replace("gpu", "")


def test_an_index_for_what_nothing_needs_is_refused(
    index: Index, private: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("app", "1.0")
    private.wheel("torhc", "1.0")
    monkeypatch.setenv("FERRY_INDEX_GPU", private.url_with(QUOTED))
    with pytest.raises(RecipeError) as refused:
        resolved("app", torhc="gpu")
    assert str(refused.value) == "indexes.torhc: nothing that the recipe names needs it"
    with pytest.raises(RecipeError) as refused:
        resolved(torhc="gpu")
    assert str(refused.value) == "indexes.torhc: nothing that the recipe names needs it"


def test_an_index_that_this_host_does_not_know(index: Index) -> None:
    with pytest.raises(ResolveError) as refused:
        resolved("app", torch="gpu-12")
    assert str(refused.value) == 'indexes: the index "gpu-12" is not configured on this host'
    assert refused.value.hint == "set FERRY_INDEX_GPU_12 to its URL, or name it in UV_INDEX: gpu-12=URL"


@pytest.mark.parametrize("url", [f"http://{LOGIN}@h:port/simple", f"ssh://{QUOTED}@h/", "no"])
def test_what_is_no_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ResolveError) as refused:
        find_index("gpu", {"FERRY_INDEX_GPU": url})
    assert str(refused.value) == 'FERRY_INDEX_GPU: expected the URL of the index "gpu", got none'


WRONG = "joe:wr0ng%40word"


@pytest.mark.parametrize(
    "url",
    [
        "http://joe:wr0ng@word@127.0.0.1:1/simple",
        "http://joe:wr0ng/w@ord@127.0.0.1:99999/simple",
        "http://joe:wr0ng@[::/simple",
    ],
)
@pytest.mark.parametrize("variable", ["UV_INDEX", "UV_DEFAULT_INDEX", "FERRY_INDEX_GPU"])
def test_no_message_holds_a_login(
    variable: str, url: str, index: Index, private: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("app", "1.0")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv(variable, url)
    with pytest.raises(FerryError) as refused:
        resolved("app", **({"app": "gpu"} if variable == "FERRY_INDEX_GPU" else {}))
    assert "wr0ng" not in str(refused.value) + str(refused.value.hint)
    assert "joe" not in str(refused.value)


def test_a_login_that_the_index_refuses(
    index: Index, private: Index, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.wheel("ours", "1.0")
    monkeypatch.setenv("FERRY_INDEX_GPU", private.url_with(QUOTED))
    found = resolved("ours", ours="gpu")
    monkeypatch.setenv("FERRY_INDEX_GPU", private.url_with(WRONG))
    with pytest.raises(FerryError) as refused:
        fetched(found, store, tmp_path)
    assert isinstance(refused.value, (ResolveError, TransferError))
    assert "wr0ng" not in str(refused.value)
    assert private.mirror.url not in repr(found)


def test_logins_are_for_their_own_server_alone(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine named.example login n password p\n")
    ours = {
        "HOME": str(tmp_path),
        "UV_DEFAULT_INDEX": "https://plain.example/simple",
        "UV_INDEX": f"https://{QUOTED}@one.example/simple two=https://two.example/",
        "UV_INDEX_TWO_USERNAME": "t",
        "UV_INDEX_TWO_PASSWORD": "w",
        "FERRY_INDEX_THREE": "https://token@three.example:8443/",
    }
    logins = Logins(ours)
    known = {
        "https://one.example/files/x.whl": LOGIN,
        "https://two.example/x": "t:w",
        "https://three.example:8443/x": "token:",
        "https://named.example/x": "n:p",
    }
    for url, login in known.items():
        assert logins.of(url) == {"Authorization": basic(login)}
    for url in (
        "http://one.example/x",
        "https://three.example/x",
        "https://plain.example/x",
        "https://x/",
        "file:///x",
    ):
        assert logins.of(url) == {}


def test_an_order_of_indexes_that_lets_strangers_in_is_refused() -> None:
    with pytest.raises(ResolveError) as refused:
        environment({"UV_INDEX_STRATEGY": "unsafe-best-match"})
    assert str(refused.value) == (
        'UV_INDEX_STRATEGY: expected "first-index", which no foreign package of the same name gets through, '
        'got "unsafe-best-match"'
    )
    assert refused.value.hint == "unset it, and name the index of single packages under `indexes` in the recipe"


def test_a_default_index_may_want_a_login_too(
    index: Index, private: Index, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = private.wheel("ours", "1.0")
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", private.url_with(QUOTED))
    assert fetched(resolved("ours"), store, tmp_path) == [ours]


def test_a_pip_configuration_that_cannot_be_read_hides_no_other_error(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.conf").write_text("index-url = x\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(ResolveError, match=r"^uv found no answer: "):
        resolved("ours")


def test_logins_are_cut_out_of_text() -> None:
    text = "failed: http://joe:p@ss/w@host:1/simple/ and `https://t@h/x`, a@b"
    assert redact(text) == "failed: http://host:1/simple/ and `https://h/x`, a@b"


def test_uv_gets_no_login_on_its_command_line_or_in_its_project(
    index: Index, private: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.wheel("ours", "1.0")
    monkeypatch.setenv("FERRY_INDEX_GPU", private.url_with(QUOTED))
    work = tmp_path / "work"
    work.mkdir()
    question = uv.Question(
        requirements=("ours",),
        python="3.11",
        as_of="2026-01-31",
        machines=("x86_64",),
        indexes=(("ours", find_index("gpu", os.environ)),),
    )
    assert uv.lock(question, work=work).files.packages[0].index == private.url
    written = "".join(path.read_text() for path in work.iterdir() if path.is_file())
    assert "joe" not in written
