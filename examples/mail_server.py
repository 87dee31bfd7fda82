"""Takes e-mails on this machine and prints them; needs `pip install aiosmtpd cryptography`.

python examples/mail_server.py CERTIFICATE [PORT]

CERTIFICATE is the file to which it writes its certificate: nothing is sent to a server without TLS.
"""

from __future__ import annotations

import asyncio
import datetime
import email
import email.policy
import ssl
import sys
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def certified(path: Path) -> ssl.SSLContext:
    """Write a certificate for this machine, good for a day, and return what uses it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server of an example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = certificate.public_bytes(Encoding.PEM)
    own = path.with_suffix(".key")
    own.touch(mode=0o600)
    own.write_bytes(private)
    path.write_bytes(public)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path, own)
    return context


class Mailbox:
    """Prints what arrives."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Print the recipient, the subject and the text of an e-mail."""
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("plain",))
        show(f"to {', '.join(envelope.rcpt_tos)}: {message['Subject']}")
        show(body.get_content() if body else "")
        return "250 taken"


async def main(certificate: str, port: str = "8025") -> None:
    """Serve until Ctrl-C."""
    tls = certified(Path(certificate))
    loop = asyncio.get_running_loop()
    options = {"hostname": "localhost", "tls_context": tls, "require_starttls": True}
    server = await loop.create_server(lambda: SMTP(Mailbox(), **options), HOST, int(port))
    show(f"listening on {HOST}:{port}")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
