"""Where the recordings of real systems are: copies that a clone carries, each folder with its README."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
