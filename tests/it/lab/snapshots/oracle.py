"""Signs each request of standard input (a line of JSON) by botocore, and prints those whose header differs."""

import json
import sys
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for line in sys.stdin:
    asked = json.loads(line)
    query = "&".join(quote(n, safe="-_.~") + "=" + quote(v, safe="-_.~") for n, v in asked["query"])
    url = "https://" + asked["host"] + quote(asked["path"], safe="/-_.~")
    request = AWSRequest(method=asked["method"], url=url + ("?" + query if query else ""))
    given = dict(asked["headers"])
    own = given.pop("authorization")
    for name, value in given.items():
        request.headers[name] = value
    auth = S3SigV4Auth(Credentials(asked["id"], asked["secret"], asked["token"]), "s3", asked["region"])
    request.context["timestamp"] = given["x-amz-date"]
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    signed = auth.signed_headers(auth.headers_to_sign(request))
    wanted = f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={signed}, Signature={signature}"
    if own != wanted:
        print(json.dumps({"own": own, "botocore": wanted, "canonical": canonical}))
print("end")
