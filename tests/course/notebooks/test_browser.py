"""Notebooks in a real browser: JupyterLab, headless Chromium, and a hand on the explorer's slider.

Screenshots are kept in results/browser/. `make test-browser` installs what this needs.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from browser_for_tests import SHOTS, headless_chromium

from labkit.course.handout.notebook_file import read
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.course.judges.registry import exercises_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
pytest.importorskip("selenium", reason="selenium is not installed: make test-browser")
from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

WIDTH, HEIGHT = 1100, 1500
SECONDS = 600  # a notebook may take
SEARCH, GUESSED = "04_evolutionary_search", "04_with_guesses"
SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',  # all cells are on the page
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}


def wait(condition, what, seconds=30):
    """The first true value of `condition`, asked again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            value = condition()
        except StaleElementReferenceException:  # drawn anew while it was read
            value = None
        if value:
            return value
        time.sleep(0.2)
    pytest.fail(f"waited {seconds} s for {what}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab that serves copies of the students' notebooks."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(
        INSTRUCTOR.parent,
        home / "notebooks",
        ignore=shutil.ignore_patterns("instructor", ".*"),
    )
    search = (home / "notebooks" / f"{SEARCH}.ipynb").read_text(encoding="utf-8")
    (home / "notebooks" / f"{GUESSED}.ipynb").write_text(
        re.sub(r"(my_\w+) = None", r"\1 = 'skip'", search), encoding="utf-8"
    )
    for name, text in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = open(home / "log", "wb")
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            "--IdentityProvider.token=",
            "--ServerApp.password=",
            f"--ServerApp.root_dir={home / 'notebooks'}",
            f"--LabApp.user_settings_dir={home / 'settings'}",
            f"--LabApp.workspaces_dir={home / 'workspaces'}",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=home,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "JUPYTER"))},
            "HOME": str(home),
            "OMP_NUM_THREADS": "1",
        },
    )

    def answers():
        assert server.poll() is None, (home / "log").read_text()
        try:
            return urllib.request.urlopen(f"{address}/api/status", timeout=5).status == 200
        except OSError:
            return False

    try:
        wait(answers, "JupyterLab to start", 120)
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.fixture
def browser(tmp_path):
    driver = headless_chromium(tmp_path, WIDTH, HEIGHT)
    driver.set_window_size(WIDTH, HEIGHT)
    yield driver
    driver.quit()


def find(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def run_all(browser, address, name, original=None):
    """Open a notebook, which may be a copy of an original, run all its cells, and wait for the last
    one.
    """
    browser.get(f"{address}/doc/tree/{name}.ipynb")
    cells = sum(
        cell["cell_type"] == "code"
        for cell in read(INSTRUCTOR.parent / f"{original or name}.ipynb")["cells"]
    )
    wait(lambda: len(find(browser, ".jp-CodeCell")) == cells, "the notebook to open", 120)
    wait(
        lambda: find(browser, ".jp-Notebook-ExecutionIndicator[data-status='idle']"),
        "the kernel",
        120,
    )
    click(browser, ".lm-MenuBar-item", "Run")
    click(browser, ".lm-Menu-item", "Run All Cells")

    def prompts():  # in one step: cells are drawn anew while they run
        return browser.execute_script(
            "return [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(each =>"
            " each.textContent)"
        )

    wait(
        lambda: all(text.strip("[]: ").isdecimal() for text in prompts()),
        "all cells to run",
        SECONDS,
    )


def click(browser, selector, label):
    def entries():
        return [item for item in find(browser, selector) if item.text.split("\n")[0] == label]

    wait(entries, f"the menu's {label!r}")[0].click()


def photograph(browser, name):
    """Screenshots of the whole notebook, a screen at a time."""
    for old in SHOTS.glob(f"{name}-*.png"):
        old.unlink()
    scroller = find(browser, ".jp-WindowedPanel-outer")[0]
    height, screen = (
        browser.execute_script(f"return arguments[0].{side}", scroller)
        for side in ("scrollHeight", "clientHeight")
    )
    for i, top in enumerate(range(0, height, screen - 50), start=1):
        browser.execute_script("arguments[0].scrollTop = arguments[1]", scroller, top)
        time.sleep(0.3)
        browser.save_screenshot(str(SHOTS / f"{name}-{i:02d}.png"))


def assert_clean(browser):
    assert not [
        text.text for text in find(browser, "[data-mime-type='application/vnd.jupyter.error']")
    ]
    assert not [
        text.text for text in find(browser, "[data-mime-type='application/vnd.jupyter.stderr']")
    ]
    pictures = find(browser, ".jp-OutputArea img, .jp-MarkdownCell img")
    broken = [
        p.get_attribute("src")[:80]
        for p in pictures
        if not browser.execute_script(
            "return arguments[0].complete && arguments[0].naturalWidth > 0", p
        )
    ]
    assert not broken


def test_the_tour_and_its_explorer(lab, browser):
    run_all(browser, lab, "00_tour")

    def outputs():  # looked up each time: outputs may be drawn anew
        pictures, texts = find(browser, "img.widget-image"), find(browser, ".explorer-text")
        return (pictures[0].get_attribute("src"), texts[0].text) if pictures and texts else None

    def look(what, name):
        def both_changed():
            shown = outputs()
            changed = shown and all(new != old for new, old in zip(shown, states[-1]))
            return shown if changed else None

        states.append(wait(both_changed, f"picture and text to follow {what}"))
        time.sleep(1)  # what is seen is the newest
        browser.execute_script(
            "arguments[0].scrollIntoView({block: 'end'})", find(browser, ".explorer-text")[0]
        )
        browser.save_screenshot(str(SHOTS / name))

    SHOTS.mkdir(parents=True, exist_ok=True)
    states = [("", "")]
    look("the cell", "explorer-1-start.png")
    assert "exact optimum" in states[-1][1]
    latency, memory = find(browser, ".noUi-handle")
    ActionChains(browser).drag_and_drop_by_offset(latency, -120, 0).perform()
    look("the latency slider", "explorer-2-latency.png")
    find(browser, ".widget-dropdown select")[0].send_keys(
        Keys.END
    )  # the last device: a small microcontroller
    look("the device", "explorer-3-device.png")
    ActionChains(browser).drag_and_drop_by_offset(
        find(browser, ".noUi-handle")[1], -150, 0
    ).perform()
    look("the memory slider", "explorer-4-memory.png")
    photograph(browser, "00_tour")
    assert_clean(browser)


def text_of_outputs(browser):
    return "\n".join(output.text for output in find(browser, ".jp-OutputArea-output"))


def test_the_search_notebook_shows_no_result_before_it_is_guessed(lab, browser):
    run_all(browser, lab, SEARCH)
    SHOTS.mkdir(parents=True, exist_ok=True)
    photograph(browser, SEARCH)
    outputs, exercises = text_of_outputs(browser), exercises_of(4)
    # By each answer's own check, and in the table of all at the end.
    assert outputs.count("not solved yet") == 2 * len(exercises)
    points = sum(exercise.points for exercise in exercises.values())
    assert f"0 of {points}" in outputs and "This runs on labkit's select" in outputs
    guesses = len(re.findall(r"my_\w+ = None", (INSTRUCTOR.parent / f"{SEARCH}.ipynb").read_text()))
    assert outputs.count("Locked. Write your guess") == guesses
    # The only picture is the predictor's fit, about which nothing is guessed.
    assert len(find(browser, ".jp-OutputArea img")) == 1
    assert_clean(browser)


def test_the_search_notebook_with_guesses(lab, browser):
    run_all(browser, lab, GUESSED, SEARCH)
    photograph(browser, GUESSED)
    outputs = text_of_outputs(browser)
    assert "exact front" in outputs and "Locked" not in outputs
    assert len(find(browser, ".jp-OutputArea img")) >= 3
    assert_clean(browser)
