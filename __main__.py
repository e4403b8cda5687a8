"""`python -m tandem` is `tandem`."""

import sys

from .cli import main

sys.exit(main())
