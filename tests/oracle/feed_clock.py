"""Random moments for feeds: near the midnights that decide, far from them, equal, in many spellings."""

import random
from datetime import UTC, date, datetime, timedelta, timezone

from tests.oracle.moments import SHANGHAI

FIRST_DAY = date(2025, 11, 20)
DAYS = 150
OFFSETS_MINUTES = (480, 480, 480, 0, 330, -210)  # +08:00 most of the time
DECISIVE_DAYS = (date(2026, 1, 1), date(2026, 1, 15), date(2026, 1, 16), date(2026, 1, 21), date(2026, 2, 1))
NEAR = (
    timedelta(0),
    timedelta(0),
    timedelta(microseconds=-1),
    timedelta(microseconds=1),
    timedelta(seconds=-1),
    timedelta(hours=8),  # where the day begins in UTC
    timedelta(hours=7, minutes=59, seconds=59),
)


def midnight_of(day: date) -> datetime:
    """Return the start of a day in Asia/Shanghai."""
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)


def random_day(rng: random.Random) -> date:
    """Return a day of the feed's season, one that decides something every third time."""
    if rng.random() < 0.3:
        return rng.choice(DECISIVE_DAYS)
    return FIRST_DAY + timedelta(days=rng.randrange(DAYS))


def random_moment(rng: random.Random) -> datetime:
    """Return a moment of the feed's season, close to a midnight every third time."""
    start = midnight_of(random_day(rng))
    if rng.random() < 0.35:
        return start + rng.choice(NEAR)
    moment = start + timedelta(seconds=rng.randrange(86_400))
    if rng.random() < 0.3:
        moment += timedelta(microseconds=rng.choice((500_000, 120_000, 7, 999_999, rng.randrange(1_000_000))))
    return moment


def spell(rng: random.Random, moment: datetime) -> str:
    """Return an RFC 3339 text for this instant, with an offset and a number of digits of the day's fancy."""
    minutes = rng.choice(OFFSETS_MINUTES)
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    text = local.strftime("%Y-%m-%dT%H:%M:%S")
    if local.microsecond or rng.random() < 0.15:
        digits = f"{local.microsecond:06d}"
        text += "." + (digits.rstrip("0") or "0" if rng.random() < 0.5 else digits)
    if minutes == 0:
        return text + rng.choice(("Z", "+00:00"))
    sign = "+" if minutes > 0 else "-"
    hours, rest = divmod(abs(minutes), 60)
    return f"{text}{sign}{hours:02d}:{rest:02d}"


class LineClock:
    """The moments of one line; it likes to come back to a moment that it has used."""

    def __init__(self, rng: random.Random) -> None:
        """Begin with no moment used."""
        self._rng = rng
        self.used: list[datetime] = []

    def moment(self) -> datetime:
        """Return a moment, an equal one or one a microsecond off every third time."""
        if self.used and self._rng.random() < 0.35:
            chosen = self._rng.choice(self.used)
            if self._rng.random() < 0.2:
                chosen += timedelta(microseconds=self._rng.choice((-1, 1)))
        else:
            chosen = random_moment(self._rng)
        self.used.append(chosen)
        return chosen

    def after(self, earliest: datetime) -> datetime:
        """Return a moment not before `earliest`: the same one, soon after, or weeks after."""
        roll = self._rng.random()
        if roll < 0.15:
            chosen = earliest
        elif roll < 0.4:
            chosen = midnight_of(earliest.astimezone(SHANGHAI).date() + timedelta(days=1))
        else:
            chosen = earliest + timedelta(seconds=self._rng.randrange(20 * 86_400))
        self.used.append(chosen)
        return chosen

    def day(self) -> date:
        """Return a day to expect settlement on: on, before or after a moment of this line."""
        if self.used and self._rng.random() < 0.7:
            base = self._rng.choice(self.used).astimezone(SHANGHAI).date()
            return base + timedelta(days=self._rng.choice((-20, -1, 0, 0, 1, 1, 2, 5, 30)))
        return random_day(self._rng)


def far_moments() -> list[datetime]:
    """Return moments before and after everything that a feed holds."""
    return [datetime(2001, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)]
