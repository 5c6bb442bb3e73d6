# SPDX-License-Identifier: MIT
"""The manuals say what the program says: the tables of the documents and the manual pages, which have to be good ones."""

import glob
import os
import re
import shutil
import subprocess

import pytest
from forebay import ROOT, binary

TEMPLATES = sorted(glob.glob(os.path.join(ROOT, "docs", "man", "*.in")))


def test_the_tables_of_the_documents_are_what_the_program_prints():
    done = subprocess.run([os.path.join(ROOT, "tools", "manual"), "--check"], env={**os.environ, "FOREBAY": binary()},
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=TEMPLATES, ids=os.path.basename)
def page(request, tmp_path):
    """A manual page as the build makes it."""
    path = tmp_path / os.path.basename(request.param)[:-len(".in")]
    subprocess.run(["cmake", "-D", f"FOREBAY={binary()}", "-D", f"IN={request.param}", "-D", f"OUT={path}",
                    "-P", os.path.join(ROOT, "docs", "man", "fill.cmake")], timeout=60, check=True)
    return path


def test_a_page_is_filled_and_clean(page):
    text = page.read_text()
    assert text.startswith(".\\\" SPDX") and "@TABLE" not in text
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_is_built():
    with open(os.path.join(ROOT, "docs", "man", "CMakeLists.txt"), encoding="utf-8") as file:
        pages = re.search(r"set\(PAGES (.*?)\)", file.read(), re.DOTALL)[1].split()
    assert sorted(pages) == [os.path.basename(path)[:-len(".in")] for path in TEMPLATES]
