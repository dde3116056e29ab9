"""Publishing to an S3-compatible server, started here; needs envs/s3.txt."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clones import CONTENT, RUN, commit, finish_run, git, start

from legor1.core.errors import UserError
from legor1.publishing.publish import publish, restore

REASON = "pip install --no-deps --require-hashes -r envs/s3.txt"
pytest.importorskip("dvc_s3", reason=REASON)
boto3 = pytest.importorskip("boto3", reason=REASON)
moto = pytest.importorskip("moto.server", reason=REASON)
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_dvc")]


@pytest.fixture
def client(monkeypatch):
    """A client of a server that has one bucket, named ``bucket``."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    made = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    made.create_bucket(Bucket="bucket")
    yield made
    running.stop()


def use(client) -> None:
    """Name the bucket in the working directory, as docs/publishing.md says."""
    for words in (
        ["add", "--local", "--default", "s3", "s3://bucket/runs"],
        ["modify", "--local", "s3", "endpointurl", client.meta.endpoint_url],
        ["modify", "--local", "s3", "verify", "true"],
    ):
        subprocess.run([sys.executable, "-m", "dvc", "remote", *words], check=True)


def test_a_run_goes_to_s3_and_comes_back(client, tmp_path, monkeypatch):
    start(tmp_path / "origin")
    finish_run(tmp_path / "origin")
    monkeypatch.chdir(tmp_path / "origin")
    use(client)
    publish(RUN)
    commit(tmp_path / "origin")
    assert not (tmp_path / "legor1-published").exists()

    git(tmp_path, "clone", "--quiet", "origin", "clone")
    monkeypatch.chdir(tmp_path / "clone")
    use(client)
    restore(RUN)
    kept = {name: text for name, text in CONTENT.items() if not name.startswith(("logs", "work"))}
    assert {name: (RUN / name).read_text() for name in kept} == kept

    shutil.rmtree(".dvc/cache")
    shutil.rmtree(RUN)
    key = "runs/files/md5/0b/82f8a1d96b26db611e90cef6387dfb"
    client.put_object(Bucket="bucket", Key=key, Body=b"damaged")
    with pytest.raises(UserError, match=rf"{RUN}/table.csv \(files/md5/0b/82f8.*\)\. Remedy"):
        restore(RUN)
    assert not Path(RUN).exists()
