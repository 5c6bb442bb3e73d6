# SPDX-License-Identifier: MIT
"""What the Python applications share: serving on a free port, which is printed, until standard input ends."""

import sys
import threading
import wsgiref.simple_server


class Silent(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


def serve_until_end(application):
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, application, handler_class=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
