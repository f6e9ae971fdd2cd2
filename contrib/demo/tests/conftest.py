from __future__ import annotations

import sys
from pathlib import Path

# The folder's own modules (sounds, tone_agent), which importlib mode does not put on the path.
sys.path.insert(0, str(Path(__file__).parent))
