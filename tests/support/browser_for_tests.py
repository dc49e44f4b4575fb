"""Chromium without a window, for tests that look at pages. `make test-browser` installs it."""

import shutil

import pytest

from labkit.course.handout.student_copy import INSTRUCTOR

SHOTS = INSTRUCTOR.parents[1] / "results" / "browser"  # where screenshots are left
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")


def headless_chromium(profile, width, height):
    """A browser of `width` x `height` pixels with its profile in a folder, and nothing fetched that
    no page asks for; skips the test where selenium, Chromium or its driver is not installed.
    """
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed: make test-browser"
    )
    if not CHROMIUM or not DRIVER:
        pytest.skip(
            "Chromium and its driver are not installed: apt install chromium chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        f"--window-size={width},{height}",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
