import pytest
from engines import Mounted

from keystore.engines.pki.engine import Pki
from keystore.engines.transit.engine import Transit


@pytest.fixture
def transit() -> Mounted:
    return Mounted(Transit())


@pytest.fixture
def pki() -> Mounted:
    return Mounted(Pki(default_kind="ec"))
