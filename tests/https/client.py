"""What a Python client sees of a TLS port: certificate, port, and what to do. Prints its findings."""

import socket
import ssl
import sys

certificate, port, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def context(version=None):
    made = ssl.create_default_context(cafile=certificate)
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def connect(using, session=None):
    plain = socket.create_connection(("127.0.0.1", port))
    return using.wrap_socket(plain, server_hostname="localhost", session=session)


def ask(tls):
    tls.sendall(b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert tls.recv(12) == b"HTTP/1.1 404", "no answer"


if what == "versions":
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with connect(context(version)) as tls:
            ask(tls)
            print(tls.version())
    old = context()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        connect(old)
        print("TLSv1.1")
    except (ssl.SSLError, ConnectionError):
        pass
elif what == "resume":
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for tickets in (True, False):
            using = context(version)
            if not tickets:
                using.options |= ssl.OP_NO_TICKET
            with connect(using) as tls:
                ask(tls)
                session = tls.session
            with connect(using, session) as tls:
                ask(tls)
                print(tls.version(), "tickets" if tickets else "ids", tls.session_reused)
elif what == "alpn":
    using = context()
    using.set_alpn_protocols(["h2", "http/1.1"])
    with connect(using) as tls:
        print(tls.selected_alpn_protocol())
    using.set_alpn_protocols(["h2"])
    try:
        connect(using)
        print("h2 taken")
    except ssl.SSLError:
        print("h2 refused")
