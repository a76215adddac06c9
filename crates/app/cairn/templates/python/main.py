"""Answers requests as a WSGI application does (PEP 3333).

There is no file to import from while it runs: what is imported here is part of the function.
"""

import os
import traceback  # noqa: F401  what is run imports it to tell of errors
from wsgiref.handlers import CGIHandler

import wit_world.exports


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ.get("PATH_INFO")
    greeting = os.environ.get("GREETING", "hello")
    return [f"{greeting} from {{name}}, you asked for {path}\n".encode()]


class Run(wit_world.exports.Run):
    def run(self):
        CGIHandler().run(application)
