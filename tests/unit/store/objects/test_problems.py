"""An error of the storage is one short line that says what to do."""

from __future__ import annotations

import pytest

from asyncreport.store.objects.problems import reason_and_step

REFUSED = """The operation lacked the necessary privileges to complete for path a/b: Error \
performing GET http://127.0.0.1:4771/bucket/a/b in 8.5ms - Server returned non-2xx status code: \
403 Forbidden: <?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message></Error>

Debug source:
PermissionDenied {
    path: "a/b",
}"""

BUSY = """Generic S3 error: Error performing PUT https://s3.example.org/bucket/a in 15s, after 9 \
retries - Server returned error response: Server returned non-2xx status code: 503 Slow Down: """

MISSING = "404 Not Found: <Error><Code>NoSuchBucket</Code><Message>It does not</Message></Error>"

LIBRARY = """Generic S3 error: Error performing GET http://127.0.0.1:9/aaa/a/b in 657ms, after 5 \
retries - HTTP error: error sending request

Debug source:
Generic {{
    source: RetryError(
        RetryErrorImpl {{
            inner: Http(
                HttpError {{
                    kind: {kind},
"""


@pytest.mark.parametrize(
    ("error", "reason", "step"),
    [
        (REFUSED, "403 SignatureDoesNotMatch: The signature does not match", "AWS_ACCESS_KEY_ID"),
        (BUSY, "503", "AWS_ENDPOINT_URL"),
        (MISSING, "the bucket does not exist", "create it"),
        (LIBRARY.format(kind="Connect"), "no connection to http://127.0.0.1:9", "the network"),
        (LIBRARY.format(kind="Timeout"), "no response from http://127.0.0.1:9 in time", "network"),
        ("Something else\n\nDebug source:\nOther {\n}", "Something else", "the network"),
    ],
)
def test_an_error_is_one_short_line(error: str, reason: str, step: str) -> None:
    found, next_step = reason_and_step(error)
    assert found == reason
    assert step in next_step
