"""What tests/contract/run asks beyond Schemathesis' own checks: made with Python's library alone.

token SECRET            prints a token of staff with all scopes, signed with HS256
ran REPORT CASES        fails unless so many cases ran, and every phase that was asked for
refused API HAR         fails unless every call that needs a token was answered 401
limited HAR             fails unless some calls were answered 429, each with Retry-After
"""

import base64
import hashlib
import hmac
import json
import re
import sys
import time


def token(secret):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head = {"alg": "HS256", "typ": "JWT"}
    claims = {
        "sub": "123",
        "scope": "flights:write bookings:admin webhooks:write",
        "exp": int(time.time()) + 3600,
    }
    signed = b".".join(part(json.dumps(json_part).encode()) for json_part in (head, claims))
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    print((signed + b"." + part(signature)).decode())


def ran(report, cases_min):
    report = read(report)
    phases = {name: phase["status"] for name, phase in report["phases"].items()}
    asked = {name: status for name, status in phases.items() if status != "skip"}
    cases = report["test_cases"]["generated"]
    print(f"contract: {cases} cases, {', '.join(asked)}")
    if not report["complete"] or set(asked.values()) != {"success"}:
        sys.exit(f"contract: not every phase came to a good end: {phases}")
    if cases < int(cases_min):
        sys.exit(f"contract: {cases} cases are fewer than {cases_min}: was everything tried?")


def refused(api, har):
    methods = {"get", "put", "post", "delete", "patch"}
    paths = read(api)["paths"]
    guarded = [
        (method.upper(), re.compile(re.sub(r"\{[^}]*\}", "[^/]*", path) + "$"), path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if method in methods and operation.get("security") and not is_stream(operation)
    ]
    met = set()
    for method, path, status, _ in calls(har):
        for operation in guarded:
            # A path of its own is none of those that have an id in its place.
            if path in paths and path != operation[2]:
                continue
            if operation[0] == method and operation[1].fullmatch(path):
                met.add(operation)
                if status != 401:
                    sys.exit(f"contract: {method} {path} was answered {status} without a good token")
    print(f"contract: {len(met)} operations answer 401 to a wrong token")
    if not guarded or len(met) < len(guarded):
        sys.exit(f"contract: of {len(guarded)} guarded operations only {len(met)} were tried")


def is_stream(operation):
    """Whether its answer has no end; schemathesis.toml leaves these out."""
    return "text/event-stream" in operation["responses"].get("200", {}).get("content", {})


def limited(har):
    refusals = [headers for _, _, status, headers in calls(har) if status == 429]
    print(f"contract: {len(refusals)} calls were answered 429")
    if not refusals or not all("retry-after" in headers for headers in refusals):
        sys.exit("contract: the limit was never met, or does not say when to come again")


def calls(har):
    for entry in read(har)["log"]["entries"]:
        request, response = entry["request"], entry["response"]
        path = re.sub(r"^https?://[^/]*", "", request["url"]).split("?")[0]
        headers = {header["name"].lower() for header in response["headers"]}
        yield request["method"], path, response["status"], headers


def read(name):
    with open(name, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    {"token": token, "ran": ran, "refused": refused, "limited": limited}[sys.argv[1]](*sys.argv[2:])
