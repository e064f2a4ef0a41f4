"""``python -m examples.trajectory_3d.release RUN``."""

import sys

from examples.trajectory_3d.cli.release import main

sys.exit(main())
