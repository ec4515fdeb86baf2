"""An SMTP server that needs STARTTLS and a password, and writes each mail to a file.

    server.py PORT FOLDER
"""

import asyncio
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Keep:
    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = f"{self.count:02}-{envelope.rcpt_tos[0]}.eml"
        (self.folder / name).write_bytes(envelope.original_content)
        return "250 OK"


def may_enter(server, session, envelope, mechanism, data):
    is_ours = data.login == b"airline" and data.password == b"tests alone"
    return AuthResult(success=is_ours, handled=is_ours)


async def main(port, room):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(room / "server.pem", room / "server.key")
    keep = Keep(room / "mails")

    def session():
        return SMTP(
            keep,
            hostname="localhost",
            tls_context=context,
            require_starttls=True,
            authenticator=may_enter,
            auth_required=True,
            enable_SMTPUTF8=True,
        )

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), pathlib.Path(sys.argv[2])))
