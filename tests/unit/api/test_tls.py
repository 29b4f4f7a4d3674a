"""https, with certificates made on the spot."""

import asyncio
import ssl

import httpx2 as httpx
import pytest
import trustme

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.api.server import Address, Server, connection_is_local, encryption, listening
from fettle.errors import InvalidInput
from fettle.testing.scripted import ScriptedPlatform


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def pair(authority, tmp_path_factory):
    """A certificate for this machine and its key, as files."""
    folder, issued = tmp_path_factory.mktemp("tls"), authority.issue_cert("127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return cert, key


def test_whoever_trusts_the_authority_is_answered_over_https_and_nobody_over_http(authority, pair):
    async def test():
        with listening("127.0.0.1", 0) as connection:
            started, port = asyncio.Event(), connection.getsockname()[1]
            app = create_app(ScriptedPlatform(), KeyCheck.of("secret"))
            server = Server(app, started.set, encryption(*pair))
            task = asyncio.create_task(server.serve([connection]))
            await started.wait()
            trusting = ssl.create_default_context()
            authority.configure_trust(trusting)
            async with httpx.AsyncClient(verify=trusting) as client, httpx.AsyncClient() as plain:
                answer = await client.get(f"https://127.0.0.1:{port}/healthz")
                with pytest.raises(httpx.HTTPError):
                    await plain.get(f"http://127.0.0.1:{port}/healthz")
            server.should_exit = True
            await task
        assert answer.json() == {"status": "ok"}

    asyncio.run(test())


def test_the_address_says_how_it_is_to_be_asked():
    assert Address(host="::1", port=1, is_encrypted=True).base_url == "https://[::1]:1/v1"
    assert Address(host="::1", port=1).base_url == "http://[::1]:1/v1"


def test_what_cannot_be_used_is_told_with_what_is_wrong(authority, pair, tmp_path):
    cert, key = pair
    other, text = tmp_path / "other.pem", tmp_path / "text.pem"
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(other)
    text.write_text("no certificate")
    for given, said in [
        ((cert, None), "tls_key is missing"),
        ((None, key), "tls_cert is missing"),
        ((tmp_path / "none.pem", key), "none.pem cannot be read: No such file"),
        ((cert, tmp_path), "cannot be read: Is a directory"),
        ((cert, other), "cannot be used together"),
        ((text, key), "cannot be used together"),
    ]:
        with pytest.raises(InvalidInput, match=said):
            encryption(*given)
    assert encryption(None, None) is None


def test_an_address_that_others_reach_is_known():
    with listening("127.0.0.1", 0) as local, listening("0.0.0.0", 0) as open_to_all:
        assert connection_is_local(local)
        assert not connection_is_local(open_to_all)
