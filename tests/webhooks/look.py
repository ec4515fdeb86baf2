"""A receiver that checks each event with the reference library of Standard Webhooks, for tests/webhooks/run.

look.py BASE    makes a webhook, books, rotates the secret, books again, and fails if a signature does not verify
"""

import http.server
import json
import sys
import threading
import time
import urllib.request

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

received = []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        received.append((dict(self.headers), body.decode()))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def call(base, path, body):
    request = urllib.request.Request(
        base + path, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def book(base, flight, expected):
    passenger = {
        "name": "Asha Rao", "email": "asha@example.com", "phone": "1234567890",
        "age": 30, "gender": "female",
    }
    booking = {
        "flight_id": flight, "user_id": 123, "seats_booked": 1, "passenger_details": [passenger],
    }
    call(base, "/api/v1/bookings", booking)
    for _ in range(300):
        if len(received) >= expected:
            return received[-1]
        time.sleep(0.1)
    sys.exit(f"webhooks: {len(received)} events came, and not {expected}")


def verified(secret, event):
    headers, body = event
    lower = {name.lower(): value for name, value in headers.items()}
    return Webhook(secret).verify(body, lower)


def refused(secret, event):
    try:
        verified(secret, event)
    except WebhookVerificationError:
        return
    sys.exit("webhooks: a signature by another secret, or over another body, was verified")


def main(base):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    made = call(base, "/api/v1/webhooks", {"url": url, "types": ["booking.completed"]})
    flight = call(base, "/api/v1/flights", {
        "source": "Delhi", "destination": "Mumbai", "timestamp": "2099-01-20T10:00:00Z",
        "available_seats": 9, "total_seats": 9, "price": 2500.00,
    })["id"]
    old = made["secret"]
    first = book(base, flight, 1)
    told = verified(old, first)
    assert told["type"] == "booking.completed" and told["data"]["user_id"] == 123, told
    refused(old, (first[0], first[1].replace("123", "124", 1)))
    new = call(base, f"/api/v1/webhooks/{made['webhook_id']}/rotate", {})["secret"]
    refused(new, first)
    second = book(base, flight, 2)
    for secret in (old, new):
        verified(secret, second)
    refused("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", second)
    print("webhooks: the reference library verifies every signature, also during a rotation")


main(sys.argv[1])
