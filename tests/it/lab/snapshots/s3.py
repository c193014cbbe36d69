"""An S3 service that checks signatures (by botocore) and digests of bodies: `s3.py PORT SECRET [LIE]`.

With a LIE it answers LIST, or all, as no honest service does. What it is asked is written to standard output.
"""

import base64
import hashlib
import ssl
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PORT, SECRET = int(sys.argv[1]), sys.argv[2]
LIE = sys.argv[3] if len(sys.argv) > 3 else ""
OBJECTS = {}
LOCK = threading.Lock()


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        headers = dict(headers)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>m</Message></Error>")

    def is_signed(self, body):
        """Whether the request is signed by the secret, now, with its own body."""
        given = self.headers.get("Authorization", "")
        signed = given.split("SignedHeaders=")[-1].split(",")[0].split(";")
        if not {"host", "x-amz-content-sha256", "x-amz-date"} <= set(signed):
            return False
        if any(n.lower().startswith("x-amz-") and n.lower() not in signed for n in self.headers):
            return False
        request = AWSRequest(method=self.command, url=f"http://{self.headers['Host']}{self.path}")
        for name in signed:
            request.headers[name] = self.headers.get(name, "")
        at = self.headers["x-amz-date"]
        request.context["timestamp"] = at
        taken = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        region = given.split("/")[2]
        auth = S3SigV4Auth(Credentials("AKIATEST", SECRET), "s3", region)
        signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        scope = given.split("Credential=")[-1].split(",")[0]
        return (
            given.endswith("Signature=" + signature)
            and scope == auth.scope(request)
            and abs((datetime.now(timezone.utc) - taken).total_seconds()) < 900
            and hashlib.sha256(body).hexdigest() == self.headers["x-amz-content-sha256"]
        )

    def do(self):
        print(self.command, self.path, flush=True)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self.is_signed(body):
            return self.error(403, "SignatureDoesNotMatch")
        parts = urlsplit(self.path)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        with LOCK:
            if self.command == "PUT":
                return self.put(key, body)
            if not key:
                return self.list(parse_qs(parts.query, keep_blank_values=True))
            return self.object(key)

    do_GET = do_HEAD = do_PUT = do_DELETE = do

    def put(self, key, body):
        if self.headers.get("If-None-Match") == "*" and key in OBJECTS:
            return self.error(412, "PreconditionFailed")
        if LIE == "forgets":
            return self.answer(200)
        OBJECTS[key] = body[:-1] + b"x" if LIE == "damages" else body
        if LIE == "cuts":
            OBJECTS[key] = body[:-1]
        return self.answer(200)

    def object(self, key):
        if key not in OBJECTS:
            return self.error(404, "NoSuchKey")
        if self.command == "DELETE":
            del OBJECTS[key]
            return self.answer(204)
        digest = base64.b64encode(hashlib.sha256(OBJECTS[key]).digest()).decode()
        return self.answer(200, OBJECTS[key], {"x-amz-checksum-sha256": digest})

    def list(self, query):
        prefix = query["prefix"][0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        if LIE in LIES:
            return LIES[LIE](self, prefix, after)
        keys = sorted(k for k in OBJECTS if k.startswith(prefix) and k > after)
        page, rest = keys[:3], keys[3:]
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        return self.answer(200, result([(k, len(OBJECTS[k])) for k in page], more if rest else ""))


def result(keys, more="", before=""):
    found = "".join(f"<Contents><Key>{escape(k)}</Key><Size>{s}</Size></Contents>" for k, s in keys)
    return f"<?xml version='1.0'?>{before}<ListBucketResult>{found}{more}</ListBucketResult>"


def token(text):
    return f"<IsTruncated>true</IsTruncated><NextContinuationToken>{text}</NextContinuationToken>"


def endless(service, prefix, after):
    count = int(after.rpartition(":")[2] or 0) if ":" in after else 0
    keys = [(f"{prefix}9999/{count + i:09}", 1) for i in range(1000)]
    service.answer(200, result(keys, token(f"t:{count + 1000}")))


def huge(service, prefix, _):
    service.send_response(200)
    service.send_header("Connection", "close")
    service.end_headers()
    try:
        while True:
            service.wfile.write(b"<ListBucketResult>" + b" " * 65536)
    except OSError:
        pass


BOMB = "<!DOCTYPE l [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"
LIES = {
    "endless": endless,
    "huge": huge,
    "bomb": lambda s, p, a: s.answer(200, result([(p + "x", 1)], "<x>&b;</x>", BOMB)),
    "same": lambda s, p, a: s.answer(200, result([(p + "x", 1)], token("t"))),
    "empty": lambda s, p, a: s.answer(200, result([], token(str(time.time())))),
    "foreign": lambda s, p, a: s.answer(200, result([("other/" + p, 1)])),
    "dots": lambda s, p, a: s.answer(
        200,
        result(
            sorted(
                (p + n, 1)
                for n in [
                    "../../etc/passwd",
                    "9998/01/../../../x.json",
                    "9999/01/s1-99990101T000000Z-r1-n1.json",
                    "9999/13/s1-99991301T000000Z-r1-n1.json",
                    "\u00e9/\u202e.json",
                ]
            )
        ),
    ),
    "redirect": lambda s, p, a: s.answer(307, "", {"Location": "http://127.0.0.1:1/"}),
    "html": lambda s, p, a: s.answer(200, "<html><body><p>no</body></html>"),
}
SERVER = ThreadingHTTPServer(("127.0.0.1", PORT), Service)
if LIE == "tls":
    # No lie: the same service, with the certificate of the directory that it is started in.
    CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CONTEXT.load_cert_chain("server.pem", "server-key.pem")
    SERVER.socket = CONTEXT.wrap_socket(SERVER.socket, server_side=True)
SERVER.serve_forever()
