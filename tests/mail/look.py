"""Reads mails as a mail program does, and checks what a traveller would see.

    look.py FOLDER [KEEP]    KEEP: where to leave each mail with its HTML and its calendar
"""

import email
import email.policy
import html.parser
import pathlib
import sys

import icalendar

NAMES = {
    "zoe@example.com": "Zoë Müller",
    "yamada@example.com": "山田太郎",
    "mohammed@example.com": "محمد بن سلمان",
    "pat@example.com": 'O\'Brien, "Pat" <x@y>',
}


class Text(html.parser.HTMLParser):
    """The visible text of a page. Fails on a tag that is closed and not open."""

    VOID = {"meta", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def look(path, keep):
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert not mail.defects, (path, mail.defects)
    (to,) = mail["To"].addresses
    assert to.display_name == NAMES[to.addr_spec], (path, to)
    (sender,) = mail["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Flüge GmbH", "tickets@airline.example")
    assert mail["Bcc"] is None and mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",)).get_content()
    page = mail.get_body(("html",)).get_content()
    reader = Text()
    reader.feed(page)
    assert not reader.open, reader.open
    seen = "".join(reader.text)
    for part in (text, seen):
        for expected in (NAMES[to.addr_spec], "München", "नई दिल्ली", "AB101"):
            assert expected in part, (path, expected, part)
    (attached,) = [part for part in mail.iter_attachments()]
    assert attached.get_content_type() == "text/calendar"
    assert attached.get_param("method") == "PUBLISH"
    calendar = icalendar.Calendar.from_ical(attached.get_content())
    (event,) = calendar.walk("VEVENT")
    assert event.decoded("DTSTART").isoformat() == "2025-01-20T10:00:00+00:00"
    assert event.decoded("DTEND").isoformat() == "2025-01-20T18:10:00+00:00"
    assert str(event["LOCATION"]) == "München"
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / path.name).write_bytes(path.read_bytes())
        (keep / path.with_suffix(".html").name).write_text(page)
        (keep / path.with_suffix(".ics").name).write_text(attached.get_content())
    return to.addr_spec, mail["Message-ID"], str(event["UID"]), str(event["STATUS"]), mail["Subject"]


def main(folder, keep):
    paths = [path for path in sorted(folder.iterdir()) if b"\nSubject: Your refund" not in path.read_bytes()]
    mails = [look(path, keep) for path in paths]
    assert len(mails) == 12, mails
    assert len({message_id for _, message_id, *_ in mails}) == 12
    assert len({uid for _, _, uid, *_ in mails}) == 1, "a flight keeps its id"
    statuses = [status for _, _, _, status, _ in mails]
    assert statuses == ["CONFIRMED"] * 8 + ["CANCELLED"] * 4, statuses
    print(f"{len(mails)} mails are sound, the last one: {mails[-1][-1]}")


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) if sys.argv[2] else None)
