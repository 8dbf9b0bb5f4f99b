"""Asyncssh: many files at once over one session."""

import asyncio
import os
import sys

import asyncssh

port, name, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]


async def main():
    options = {"username": name, "password": password, "known_hosts": None, "client_keys": None}
    async with asyncssh.connect("127.0.0.1", port, **options) as connection:
        async with connection.start_sftp_client() as sftp:
            data = os.urandom(5_000_001)
            with open("up", "wb") as file:
                file.write(data)
            await sftp.put("up", "big", max_requests=200)
            await sftp.get("big", "down", max_requests=200)
            with open("down", "rb") as file:
                assert file.read() == data

            async def small(number):
                async with sftp.open(f"f{number}", "wb") as file:
                    await file.write(bytes([number]) * number * 100)
                async with sftp.open(f"f{number}", "rb") as file:
                    assert await file.read() == bytes([number]) * number * 100

            await asyncio.gather(*(small(number) for number in range(100)))
            assert len(await sftp.glob("f*")) == 100
            await sftp.copy("big", "copied")
            assert (await sftp.stat("copied")).size == len(data)
            assert (await sftp.statvfs("/")).bsize == 4096
    print("done")


asyncio.run(main())
