# SPDX-License-Identifier: Apache-2.0
"""``python -m tidegate`` is the command ``tidegate``."""

import sys

from tidegate.cli.main import main

sys.exit(main())
