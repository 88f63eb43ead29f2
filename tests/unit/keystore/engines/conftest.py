import pytest
from engines import Mounted

from keystore.engines.transit.engine import Transit


@pytest.fixture
def transit() -> Mounted:
    return Mounted(Transit())
