# SPDX-License-Identifier: MIT
"""django_application.py SNIPPET: a Django application with the settings of the snippet. See test_applications.py."""

import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from serve import serve_until_end


def visit(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


def seen(request):
    return HttpResponse(str(request.session.get("visits", 0)))


def logout(request):
    request.session.flush()
    return HttpResponse("out")


urlpatterns = [path("visit", visit), path("seen", seen), path("logout", logout)]
documented = {}
with open(sys.argv[1], encoding="utf-8") as snippet:
    exec(snippet.read(), documented)  # pylint: disable=exec-used
settings.configure(SECRET_KEY="not a secret in a test", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__,
                   MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
                   **{name: value for name, value in documented.items() if name.isupper()})
django.setup()
serve_until_end(get_wsgi_application())
