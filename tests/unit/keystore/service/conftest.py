from collections.abc import Iterator
from pathlib import Path

import pytest
from keystoreservice import Service, serviced


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serviced(tmp_path) as found:
        yield found
