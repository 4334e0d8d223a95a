"""`python -m rebate_app.broker …` is `rebate broker …`, and needs nothing else of the app."""

from .commands import broker

if __name__ == "__main__":
    broker(prog_name="rebate broker")
