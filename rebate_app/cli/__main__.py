"""`python -m rebate_app.cli`, the same as `rebate`."""

from . import main

main()
