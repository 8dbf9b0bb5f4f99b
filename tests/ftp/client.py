"""Python's ftplib against a server: port, certificate, and what to do."""

import ftplib
import io
import ssl
import sys

port, certificate, what = int(sys.argv[1]), sys.argv[2], sys.argv[3]
NAME, PASSWORD = "anna", "correct horse"
BYTES = bytes(range(256)) * 4000


class Resuming(ftplib.FTP_TLS):
    """As ftplib, but data connections resume the control connection's session."""

    def ntransfercmd(self, cmd, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=self.sock.session)
            assert conn.session_reused, "the session was not resumed"
        return conn, size


def work(ftp):
    ftp.mkd("py")
    ftp.cwd("py")
    ftp.storbinary("STOR a.bin", io.BytesIO(BYTES))
    assert ftp.size("a.bin") == len(BYTES)
    got = io.BytesIO()
    ftp.retrbinary("RETR a.bin", got.write)
    assert got.getvalue() == BYTES
    got = io.BytesIO()
    ftp.retrbinary("RETR a.bin", got.write, rest=1000)
    assert got.getvalue() == BYTES[1000:]
    ftp.storbinary("STOR a.bin", io.BytesIO(b"tail"), rest=len(BYTES))
    assert ftp.size("a.bin") == len(BYTES) + 4
    ftp.storlines("STOR lines", io.BytesIO(b"one\ntwo\n"))
    lines = []
    ftp.retrlines("RETR lines", lines.append)
    assert lines == ["one", "two"], lines
    assert sorted(ftp.nlst()) == ["a.bin", "lines"]
    facts = dict(ftp.mlsd(facts=["type", "size"]))
    assert facts["a.bin"]["size"] == str(len(BYTES) + 4), facts
    listed = []
    ftp.dir(listed.append)
    assert len(listed) == 2
    conn = ftp.transfercmd("RETR a.bin")
    conn.recv(10)
    ftp.abort()
    conn.close()
    try:
        ftp.voidresp()
    except ftplib.error_temp:
        pass
    ftp.voidcmd("NOOP")
    ftp.rename("lines", "renamed")
    ftp.delete("renamed")
    ftp.delete("a.bin")
    ftp.cwd("..")
    ftp.rmd("py")
    try:
        ftp.cwd("py")
        raise AssertionError("the directory is still there")
    except ftplib.error_perm:
        pass
    ftp.quit()


if what == "plain":
    for passive in (True, False):
        ftp = ftplib.FTP()
        ftp.connect("127.0.0.1", port)
        ftp.login(NAME, PASSWORD)
        ftp.set_pasv(passive)
        work(ftp)
elif what == "tls":
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for kind in (Resuming, ftplib.FTP_TLS):
            context = ssl.create_default_context(cafile=certificate)
            context.minimum_version = context.maximum_version = version
            ftp = kind(context=context)
            ftp.connect("localhost", port)
            ftp.login(NAME, PASSWORD)
            ftp.prot_p()
            # ftplib's abort() sends urgent bytes, which TLS has no place for.
            ftp.abort = lambda: ftp.voidcmd("NOOP")
            try:
                work(ftp)
            except ftplib.error_temp as error:
                raise AssertionError(f"{version} {kind}: {error}")
print("done")
