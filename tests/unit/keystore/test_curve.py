"""The engines that multiply points of SM2's curve: which one is taken, and that each is right."""

import functools
from collections.abc import Iterator

import pytest
from gmssl.sm2 import default_ecc_table

from keystore import curve, sm2
from keystore.compiled import LIBRARIES, Libcrypto
from keystore.errors import KeystoreError

_DOUBLE = curve.add(curve.G, curve.G)
_made = functools.partial(Libcrypto, p=curve.P, a=curve.A, b=curve.B, base=curve.G, order=curve.N)


@pytest.fixture
def fresh() -> Iterator[None]:
    curve.engine.cache_clear()
    yield
    curve.engine.cache_clear()


def _compiled() -> Libcrypto:
    for name in LIBRARIES:
        try:
            return _made(name)
        except KeystoreError:
            continue
    pytest.skip("needs a libcrypto")


def test_the_constants_are_those_of_the_standard() -> None:
    told = {name: int(default_ecc_table[name], 16) for name in ("p", "a", "b", "n")}
    assert told == {"p": curve.P, "a": curve.A, "b": curve.B, "n": curve.N}
    assert f"{curve.G[0]:064x}{curve.G[1]:064x}" == default_ecc_table["g"]


def test_every_engine_knows_the_known_answers() -> None:
    assert curve.is_right(curve.Gmssl())
    assert curve.is_right(_compiled())


def test_the_compiled_engine_is_taken_where_it_is(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(curve.ENGINE, raising=False)
    assert curve.engine().name == _compiled().name


def test_the_variable_keeps_it_out_and_signatures_are_the_same(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    key, hedge = sm2.PrivateKey(7), bytes(32)
    before = key.sign(b"m", hedge)
    monkeypatch.setenv(curve.ENGINE, "gmssl")
    curve.engine.cache_clear()
    assert curve.engine().name == "gmssl"
    assert (sm2.PrivateKey(7).public, key.sign(b"m", hedge)) == (key.public, before)


def test_an_unknown_engine_is_refused(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(curve.ENGINE, "fast")
    with pytest.raises(KeystoreError) as refused:
        curve.engine()
    assert str(refused.value) == "FERRY_SM2_ENGINE: expected 'gmssl' or nothing, got 'fast'"


def test_a_wrong_engine_is_not_taken_and_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    right = _compiled()
    assert _DOUBLE is not None
    wrong = Libcrypto(right.name, p=curve.P, a=curve.A, b=curve.B, base=_DOUBLE, order=curve.N)
    assert curve.choose([lambda: wrong, lambda: right]) is right
    told = f"warning: {right.name} computes SM2 wrongly: it is not used\n"
    assert capsys.readouterr().err == told
    assert curve.choose([lambda: wrong]).name == "gmssl"


def test_a_library_that_does_not_fit_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    found = curve.choose([functools.partial(_made, name) for name in ("libabsent.so.9", "libm.so.6")])
    assert (found.name, capsys.readouterr().err) == ("gmssl", "")


def test_points_off_the_curve_are_refused() -> None:
    engine = _compiled()
    with pytest.raises(KeystoreError) as refused:
        engine.multiply(2, (1, 1))
    assert str(refused.value) == f"{engine.name}: expected a point of the curve, got an error of the library"


def test_infinity_is_told() -> None:
    for engine in (curve.Gmssl(), _compiled()):
        assert engine.combine(5, curve.N - 5, curve.G) is None
