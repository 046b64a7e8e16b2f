# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from tidegate.clients import pressure

TEXT = "some avg10=79.15 avg60=62.53 avg300=40.48 total=218309933\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"


@pytest.mark.parametrize(
    ("text", "waited"), [(TEXT, 218.309933), ("", None), ("full total=3\n", None)]
)
def test_seconds_of_waiting(tmp_path: Path, text: str, waited: float | None) -> None:
    (tmp_path / "proc/pressure").mkdir(parents=True)
    (tmp_path / "proc/pressure/cpu").write_text(text)
    assert pressure.waited(tmp_path) == waited


def test_a_kernel_without_it(tmp_path: Path) -> None:
    assert pressure.waited(tmp_path) is None
