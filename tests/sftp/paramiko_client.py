"""Paramiko, as its users use it: whole files with many requests ahead, and files that are edited."""

import hashlib
import os
import sys

import paramiko

port, name, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect("127.0.0.1", port, name, password, allow_agent=False, look_for_keys=False)
sftp = client.open_sftp()

# More than any window: whoever answers before it reads on stands still.
size = int(os.environ.get("FILEGRID_PARAMIKO_MIB", "32")) << 20
with open("up", "wb") as file:
    file.write(os.urandom(size))
sftp.put("up", "big")
sftp.get("big", "down")
with open("up", "rb") as sent, open("down", "rb") as back:
    data = sent.read()
    assert data == back.read()
assert sftp.stat("big").st_size == size
assert sftp.open("big").check("sha256") == hashlib.sha256(data).digest()

with sftp.open("edited", "w+") as file:
    file.write(b"hello world")
    file.seek(0)
    assert file.read() == b"hello world"
    file.seek(6)
    file.write(b"W")
with sftp.open("edited", "a") as file:
    file.write(b"!")
sftp.truncate("edited", 8)
assert sftp.open("edited").read() == b"hello Wo"
assert sftp.normalize("a/../b") == "/b"
sftp.mkdir("d")
sftp.posix_rename("edited", "d/e")
assert sftp.listdir("d") == ["e"]
for broken in [lambda: sftp.stat("none"), lambda: sftp.symlink("a", "b"), lambda: sftp.rmdir("d")]:
    try:
        broken()
    except OSError:
        continue
    raise AssertionError("this should have failed")
print("done")
