import asyncio
import hashlib
import os
from datetime import timedelta
from pathlib import Path

import openai
import pytest

from fettle.services import uploads
from fettle.services.platform import Platform
from fettle.store.files import files_in

CONTENT = b"".join(b'{"prompt": "%d", "completion": "b"}\n' % number for number in range(100))
BEGIN = {"bytes": len(CONTENT), "filename": "train.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
MIDDLE = 1000


def run(test):
    return asyncio.run(test())


def parts_on_disk(platform):
    return files_in(platform.settings.home / "uploads")


async def two_parts(client, upload):
    return [
        (await client.uploads.parts.create(upload_id=upload.id, data=data)).id
        for data in (CONTENT[:MIDDLE], CONTENT[MIDDLE:])
    ]


def test_a_file_that_was_sent_in_parts_by_the_client_itself_is_whole(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            done = await client.uploads.upload_file_chunked(
                file=CONTENT,
                filename="train.jsonl",
                bytes=len(CONTENT),
                mime_type="text/jsonl",
                purpose="fine-tune",
                part_size=MIDDLE,
                md5=hashlib.md5(CONTENT).hexdigest(),
            )
            content = await client.files.content(done.file.id)
        assert (done.status, done.file.bytes, done.file.filename) == ("completed", len(CONTENT), "train.jsonl")
        assert content.read() == CONTENT
        assert parts_on_disk(platform) == {}

    run(test)


def test_the_order_in_which_parts_are_named_is_that_of_the_file(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            upload = await client.uploads.create(**BEGIN)
            # One was sent twice, as by a client that heard no answer; it is not named.
            second = (await client.uploads.parts.create(upload_id=upload.id, data=CONTENT[MIDDLE:])).id
            first, _ = await two_parts(client, upload)
            done = await client.uploads.complete(upload.id, part_ids=[first, second])
            assert (await client.files.content(done.file.id)).read() == CONTENT
        assert (upload.status, upload.expires_at - upload.created_at) == ("pending", 3600)

    run(test)


def test_parts_outlive_the_server_that_took_them(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            upload = await client.uploads.create(**BEGIN)
            parts = await two_parts(client, upload)
        with Platform(platform.settings) as other:
            whole = other.uploads.complete(upload.id, parts)
            assert other.files.path(other.files.get(whole.file)).read_bytes() == CONTENT

    run(test)


def test_all_that_is_wrong_with_the_parts_is_told_and_the_upload_can_still_be_completed(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            upload = await client.uploads.create(**BEGIN)
            parts = await two_parts(client, upload)
            for part_ids, told in (
                ([*parts, parts[0], "part_nothing", "../../fettle.db"], ["2 times", "part_nothing", "fettle.db"]),
                (parts[:1], [f"have {MIDDLE} bytes", f"{len(CONTENT)} were promised"]),
            ):
                with pytest.raises(openai.BadRequestError) as caught:
                    await client.uploads.complete(upload.id, part_ids=part_ids)
                assert all(text in caught.value.body["message"] for text in told)
            with pytest.raises(openai.BadRequestError, match="md5"):
                await client.uploads.complete(upload.id, part_ids=parts, md5="0" * 32)
            assert platform.files.page(limit=10) == []
            assert (await client.uploads.complete(upload.id, part_ids=parts)).status == "completed"

    run(test)


def test_an_upload_that_has_ended_takes_nothing_and_keeps_nothing(serving, platform, monkeypatch):
    async def test():
        async with serving(platform) as server, server.client() as client:
            done, cancelled = [await client.uploads.create(**BEGIN) for _ in range(2)]
            parts = await two_parts(client, done)
            await client.uploads.complete(done.id, part_ids=parts)
            await two_parts(client, cancelled)
            assert (await client.uploads.cancel(cancelled.id)).status == "cancelled"
            monkeypatch.setattr(uploads, "LIFETIME", timedelta(0))
            expired = await client.uploads.create(**BEGIN)
            for upload, state in ((done, "completed"), (cancelled, "cancelled"), (expired, "expired")):
                for asked in (
                    client.uploads.parts.create(upload_id=upload.id, data=b"x"),
                    client.uploads.complete(upload.id, part_ids=parts),
                    client.uploads.cancel(upload.id),
                ):
                    with pytest.raises(openai.ConflictError, match=f"is {state}"):
                        await asked
            with pytest.raises(openai.NotFoundError, match="unknown upload"):
                await client.uploads.cancel("upload_nothing")
        assert parts_on_disk(platform) == {}

    run(test)


def test_what_was_never_completed_is_swept_when_its_time_is_over(platform, monkeypatch):
    def begun():
        upload = platform.uploads.create("train.jsonl", "fine-tune", 1)
        with platform.uploads.draft(upload) as path:
            path.write_bytes(b"x")
            platform.uploads.add(upload, path)
        return upload

    kept = begun()
    monkeypatch.setattr(uploads, "LIFETIME", timedelta(seconds=1))
    late = begun()
    monkeypatch.setattr(uploads, "now", lambda: late.expires_at)
    platform.uploads.sweep()
    assert [Path(name).parent.name for name in parts_on_disk(platform)] == [kept.id]


def test_what_cannot_be_an_upload_or_a_part_is_refused(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.uploads.create(
                    bytes=0,
                    filename="",
                    mime_type="text/jsonl",
                    purpose="vision",
                    expires_after={"anchor": "created_at", "seconds": 3600},
                )
            for fault in ("'bytes'", "'filename'", "'vision'", "expires_after"):
                assert fault in caught.value.body["message"]
            upload = await client.uploads.create(**{**BEGIN, "bytes": 3})
            with pytest.raises(openai.BadRequestError, match=r"4 bytes; 3 were promised"):
                await client.uploads.parts.create(upload_id=upload.id, data=b"four")
        assert parts_on_disk(platform) == {}

    run(test)


def test_a_part_that_the_disk_does_not_take_is_not_acknowledged(serving, platform, monkeypatch):
    async def test():
        async with serving(platform) as server, server.client() as client:
            upload = await client.uploads.create(**{**BEGIN, "bytes": 3})

            def fail(descriptor):
                monkeypatch.undo()
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "fsync", fail)
            with pytest.raises(openai.APIStatusError) as caught:
                await client.uploads.parts.create(upload_id=upload.id, data=b"one")
            assert parts_on_disk(platform) == {}
            part = await client.uploads.parts.create(upload_id=upload.id, data=b"one")
            done = await client.uploads.complete(upload.id, part_ids=[part.id])
        assert (caught.value.status_code, done.status) == (507, "completed")

    run(test)
