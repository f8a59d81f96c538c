"""The package can be built and holds what it should."""

import subprocess
import sys
import zipfile

from config.paths import ROOT


def test_wheel_is_built_with_types_and_without_tests(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "build", "-q", "--wheel", "--no-isolation", "-o", tmp_path, "."],
        cwd=ROOT / "sdk/python",
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("latchkey_client-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "latchkey_client/py.typed" in names
    assert "latchkey_client/client.py" in names
    assert not [name for name in names if "test" in name]
