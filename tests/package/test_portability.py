# SPDX-License-Identifier: MIT
"""Machines that Forebay is not for are refused when it is configured. What it does on arm64 is tested by the build of that name."""

import shutil
import subprocess

import pytest
from forebay import ROOT


def configure(folder, *options):
    """cmake, which compiles and links nothing: there are no libraries for such a machine."""
    return subprocess.run(["cmake", "-S", ROOT, "-B", folder, "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY", *options],
                          capture_output=True, text=True, check=False)


@pytest.mark.parametrize("compiler, flag, what", [
    ("gcc", "-m32", "builds for 32 bits"),
    ("aarch64-linux-gnu-gcc", "-mbig-endian", "BIG_ENDIAN"),
])
def test_a_machine_that_cannot_run_it_is_told_at_once(tmp_path, compiler, flag, what):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    done = configure(tmp_path, f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_C_FLAGS={flag}")
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert "Forebay runs on 64-bit little-endian machines alone" in said and what in said
    assert "Package" not in said  # nobody should look for libraries first
