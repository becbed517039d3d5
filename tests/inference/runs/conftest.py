import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def counting():
    """The module of such a job, where the other process finds it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        path = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        import counting

        yield counting
        del sys.modules["counting"]
