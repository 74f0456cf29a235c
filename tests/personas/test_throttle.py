"""Waiting after wrong passwords: it grows with attempts, ends by itself, and hits nobody else."""

from personas.admin.throttle import KEPT_KEYS, WINDOW_S, Limits, Throttle


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def guess(throttle: Throttle, times: int, account: str = "admin", address: str = "192.0.2.1") -> None:
    for _ in range(times):
        throttle.attempted(account, address)


def test_one_person_waits_after_five_and_not_for_good() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    guess(throttle, 4)
    assert throttle.wait_s("admin", "192.0.2.1") == 0
    guess(throttle, 1)
    assert 0 < throttle.wait_s(" Admin", "192.0.2.1") <= WINDOW_S + 1
    assert throttle.wait_s("admin", "198.51.100.7") == 0, "the account is free from elsewhere"
    assert throttle.wait_s("ann", "192.0.2.1") == 0, "others at this address are free"
    clock.now += WINDOW_S
    assert throttle.wait_s("admin", "192.0.2.1") == 0


def test_many_accounts_from_one_address_wait_and_an_ipv6_network_counts_as_one() -> None:
    throttle = Throttle(clock=Clock())
    for number in range(20):
        guess(throttle, 1, account=f"user{number}", address=f"2001:db8:0:1::{number:x}")
    assert throttle.wait_s("someone", "2001:db8:0:1:ffff::1") > 0
    assert throttle.wait_s("someone", "2001:db8:0:2::1") == 0


def test_one_account_from_many_addresses_waits() -> None:
    throttle = Throttle(Limits(account=10), Clock())
    for number in range(10):
        guess(throttle, 1, address=f"192.0.2.{number}")
    assert throttle.wait_s("admin", "203.0.113.1") > 0


def test_success_takes_the_attempt_back() -> None:
    throttle = Throttle(clock=Clock())
    for _ in range(50):
        throttle.attempted("admin", "192.0.2.1")
        throttle.succeeded("admin", "192.0.2.1")
    assert throttle.wait_s("admin", "192.0.2.1") == 0
    assert throttle.wait_s("ann", "192.0.2.1") == 0


def test_memory_is_bounded() -> None:
    throttle = Throttle(clock=Clock())
    for number in range(KEPT_KEYS):
        throttle.attempted(f"user{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(throttle._attempts) <= KEPT_KEYS
