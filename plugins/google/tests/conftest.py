from __future__ import annotations

import sys
from pathlib import Path

# What several test modules share, which importlib mode does not put on the path.
sys.path.insert(0, str(Path(__file__).parent))
