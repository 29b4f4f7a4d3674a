import asyncio

import httpx2 as httpx
import openai
import pytest

from fettle.store.files import files_in

KEY_HEADER = {"authorization": "Bearer fettle-test"}
CONTENT = b'{"prompt": "a", "completion": "b"}\n'


def run(test):
    return asyncio.run(test())


def test_an_uploaded_file_comes_back_is_found_and_can_be_deleted(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            file = await client.files.create(file=("train.jsonl", CONTENT), purpose="fine-tune")
            again = await client.files.retrieve(file.id)
            content = await client.files.content(file.id)
            deleted = await client.files.delete(file.id)
            with pytest.raises(openai.NotFoundError, match="unknown file"):
                await client.files.retrieve(file.id)
        assert file.id.startswith("file-")
        assert (file.bytes, file.filename, file.purpose, file.status) == (
            len(CONTENT),
            "train.jsonl",
            "fine-tune",
            "processed",
        )
        assert again == file
        assert content.read() == CONTENT
        assert (deleted.id, deleted.deleted) == (file.id, True)
        assert files_in(platform.settings.home / "artifacts") == {}

    run(test)


def test_a_name_in_a_request_never_reaches_the_file_system(serving, platform, tmp_path):
    async def test():
        async with serving(platform) as server, server.client() as client:
            file = await client.files.create(file=("../../../evil.jsonl", CONTENT), purpose="fine-tune")
            for path in ("../../../etc/passwd", "file-../../fettle.db", "..%2F..%2Ffettle.db"):
                with pytest.raises(openai.NotFoundError):
                    await client.files.content(path)
        assert file.filename == "../../../evil.jsonl"
        assert list(tmp_path.rglob("*evil*")) == []

    run(test)


def test_the_same_content_is_kept_until_its_last_file_is_deleted(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            first, second = [
                await client.files.create(file=(f"{name}.jsonl", CONTENT), purpose="fine-tune") for name in "ab"
            ]
            await client.files.delete(first.id)
            content = await client.files.content(second.id)
        assert content.read() == CONTENT

    run(test)


def test_files_are_listed_in_pages_in_either_order(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            made = [
                (await client.files.create(file=(f"{number}.jsonl", CONTENT), purpose="fine-tune")).id
                for number in range(5)
            ]
            newest = [file.id async for file in client.files.list(limit=2)]
            oldest = [file.id async for file in client.files.list(limit=2, order="asc", purpose="fine-tune")]
            page = await client.files.list(limit=2, after=made[2])
            results = [file.id async for file in client.files.list(purpose="fine-tune-results")]
            with pytest.raises(openai.BadRequestError, match="limit"):
                await client.files.list(limit=0)
        assert newest == made[::-1]
        assert oldest == made
        assert [file.id for file in page.data] == [made[1], made[0]]
        assert not page.has_more
        assert results == []

    run(test)


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(serving, platform):
    async def slowly(parts):
        for part in parts:
            yield part

    async def test():
        form = [b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n', *[b"y" * 500] * 5]
        async with serving(platform, max_upload_bytes=2000) as server, server.client() as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.files.create(file=("a", b"x" * 2001), purpose="fine-tune")
            async with httpx.AsyncClient(headers=KEY_HEADER) as raw:
                headers = {"content-type": "multipart/form-data; boundary=x"}
                chunked = await raw.post(f"{server.url}/v1/files", content=slowly(form), headers=headers)
        assert (caught.value.status_code, chunked.status_code) == (413, 413)
        assert files_in(platform.settings.home / "artifacts") == {}
        assert platform.files.page(limit=10) == []

    run(test)


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("application/json", b"{}", "not a form"),
        ("multipart/form-data", b"", "not a form"),
        ("multipart/form-data; boundary=x", b"nonsense", "cannot be read"),
        ("multipart/form-data; boundary=x", b"--x\r\n", "ended before its end"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--x--\r\n',
            "no file",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nb\r\n' * 2 + b"--x--\r\n",
            "two files",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"y" * 70000 + b"\r\n--x--\r\n",
            "more than 65536 bytes",
        ),
    ],
)
def test_what_is_no_form_with_a_file_is_told(serving, platform, kind, body, told):
    async def test():
        async with serving(platform) as server, httpx.AsyncClient(headers=KEY_HEADER) as client:
            answer = await client.post(f"{server.url}/v1/files", content=body, headers={"content-type": kind})
        assert answer.status_code == 400
        assert told in answer.json()["error"]["message"]
        assert files_in(platform.settings.home / "artifacts") == {}

    run(test)


def test_all_fields_that_cannot_be_honoured_are_told_at_once(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.files.create(
                    file=("a", CONTENT), purpose="assistants", expires_after={"anchor": "created_at", "seconds": 3600}
                )
        for fault in ("'assistants'", "expires_after[anchor]", "expires_after[seconds]"):
            assert fault in caught.value.body["message"]

    run(test)


def test_a_disk_that_is_full_is_told_and_the_next_upload_works(serving, platform):
    async def test():
        staging = platform.settings.home / "artifacts" / "staging"
        staging.parent.mkdir(exist_ok=True)
        staging.write_text("in the way")
        async with serving(platform) as server, server.client() as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.files.create(file=("a", CONTENT), purpose="fine-tune")
            assert platform.files.page(limit=10) == []
            staging.unlink()
            assert (await client.files.create(file=("a", CONTENT), purpose="fine-tune")).bytes == len(CONTENT)
        assert caught.value.status_code == 507

    run(test)
