"""A server that answers: python judge_server.py, and tandem train smoke task=dmc_cartpole_swingup labeler.kind=clip
labeler.url=http://127.0.0.1:8700/judge

Each question is POSTed as JSON, and the answer is the response, in the form of judge.py beside it. Several questions come at
once (labeler.parallel). One that comes again with the same Idempotency-Key, because the answer was lost on its way, has the
same answer, and is judged once.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import judge

MOST_BYTES = 16_000_000  # of a question
KEPT = 10_000  # answers
answers: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        if not 0 < size <= MOST_BYTES:
            return self.send(413, b"no question, or one that is too long")
        key, body = self.headers.get("Idempotency-Key", ""), self.rfile.read(size)
        try:
            answers[key] = answers.get(key) or json.dumps(judge.reply(json.loads(body))).encode()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self.send(400, f"this is no question: {error}".encode())
        answer = answers[key]
        for old in list(answers)[:-KEPT]:
            answers.pop(old, None)
        return self.send(200, answer)

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for every question would be too much."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8700
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}/judge", flush=True)
    server.serve_forever()
