# SPDX-License-Identifier: Apache-2.0
"""How soon something may be tried again: fast at first, slower each time, never in step with others."""

import hashlib

import msgspec


class BackoffPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How waits grow, in seconds."""

    first: float = 1.0
    """Wait after the first failure."""
    factor: float = 2.0
    """By how much each further failure stretches the wait."""
    limit: float = 30.0
    """The longest wait."""
    jitter: float = 0.2
    """Share by which a wait may be shortened or stretched, so that two causes never keep step."""
    good_after: float = 600.0
    """Seconds without a failure after which the next one counts as the first again."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """The budget of one cause. A value: :meth:`failed` and :meth:`hurried` return the next one."""

    key: str
    """What it is the budget of; with ``seed``, the source of the jitter."""
    seed: int = 0
    failures: int = 0
    failed_at: float | None = None
    not_before: float = 0.0
    """Seconds since boot before which nothing is tried again, unless an event says that the cause is gone."""

    def failed(self, now: float, policy: BackoffPolicy) -> "Backoff":
        """Return the budget after a failure at ``now`` (seconds since boot)."""
        fresh = self.failed_at is None or now - self.failed_at > policy.good_after
        failures = 1 if fresh else self.failures + 1
        # The exponent is bounded so that a cause that lasts for days cannot overflow the power.
        wait = min(policy.limit, policy.first * policy.factor ** min(failures - 1, 32))
        wait *= 1.0 + policy.jitter * (2.0 * self._chance(failures) - 1.0)
        return msgspec.structs.replace(
            self, failures=failures, failed_at=now, not_before=now + wait
        )

    def hurried(self, now: float) -> "Backoff":
        """Return the budget when an event says that the cause is gone: what was counted stays, the wait ends."""
        return msgspec.structs.replace(self, not_before=min(self.not_before, now))

    def allows(self, now: float) -> bool:
        """Return True when the wait is over at ``now``."""
        return now >= self.not_before

    def _chance(self, failures: int) -> float:
        """Return a number from 0 to 1 that depends only on key, seed and count: a run can be repeated."""
        digest = hashlib.blake2b(
            f"{self.key}:{self.seed}:{failures}".encode(), digest_size=8
        ).digest()
        return int.from_bytes(digest) / 2**64
