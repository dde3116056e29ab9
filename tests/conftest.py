import pytest
from hypothesis import settings

# Timings are noisy on shared machines, and the first call of a test may import a large package.
settings.register_profile("legor1", deadline=None)
settings.load_profile("legor1")


@pytest.fixture(scope="session")
def own_dvc(tmp_path_factory):
    """Keep DVC's notes of this machine out of the tests, and the tests' out of it."""
    folder = tmp_path_factory.mktemp("dvc")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SITE_CACHE_DIR", "GLOBAL_CONFIG_DIR", "SYSTEM_CONFIG_DIR"):
            patch.setenv(f"DVC_{name}", str(folder / name))
        yield
