"""The explorer as one HTML file, in a real browser that has no network.

Screenshots are left in results/browser/. `make test-browser` installs what this needs.
"""

import json
import re

import pytest
from browser_for_tests import SHOTS, headless_chromium
from click.testing import CliRunner
from latency_for_tests import TINY, made_up

from labkit.cli import cli
from labkit.course.explorer.html_page import PARTS, devices_of, html_page
from labkit.course.explorer.packed_space import packed_space
from labkit.course.explorer.predictions import predictions
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.supernet.folder import TrainedSupernet, load


def test_the_page_needs_nothing_but_itself():
    page = html_page([TrainedSupernet(TINY)], ["pi4", "mcu-20k"])
    assert not re.findall(r"\b(?:src|href)=|https?://(?!www\.w3\.org/2000/svg)|@import|url\(", page)
    assert "{{" not in page.replace("{{}", "")
    data = re.search(r'<script type="application/json" id="data">(.*)</script>', page)[1]
    (space,) = json.loads(data)["spaces"]
    assert space["accuracy"]["label"].startswith("synthetic") and space["accuracy"]["rmse"] is None


def test_accuracies_that_others_measured_are_not_called_synthetic():
    page = html_page([load("ofa-mbv3")], ["pi4", "host"])
    (space,) = json.loads(re.search(r'id="data">(.*)</script>', page)[1])["spaces"]
    assert space["accuracy"]["label"].startswith("transferred from ofa-mbv3-w1.2")
    assert [side for side, _ in space["globals"]] == [160, 176, 192, 208, 224]
    assert space["sha256"] == load("ofa-mbv3").space.digest  # of what a board is measured for
    assert [device["name"] for device in space["devices"]] == ["pi4"]


def test_the_page_that_ships_is_of_the_supernet_and_the_code_that_ship():
    page = (INSTRUCTOR.parents[1] / "docs" / "explorer.html").read_text(encoding="utf-8")
    again = "make it again: the last command of `make artifacts`"
    for part in ("solver.js", "page.js", "page.css"):
        assert (PARTS / part).read_text(encoding="utf-8") in page, f"{part} has changed; {again}"
    data = json.loads(re.search(r'id="data">(.*)</script>', page)[1])
    trained = load("fmnist")
    space = next(space for space in data["spaces"] if space["name"] == "fmnist")
    assert space["sha256"] == trained.space.digest, again
    assert space["accuracy"] == json.loads(
        json.dumps(packed_space(trained.space, trained.predictor, [])["accuracy"])
    ), again


def test_a_space_has_the_devices_that_can_be_searched_in_it():
    names = ["host", "pi4", "epyc-1core", "mcu-20k"]
    large = devices_of(TrainedSupernet(load("ofa-mbv3").space), names)
    assert [device.name for device in large] == ["pi4"]
    with pytest.raises(ValueError, match="none of epyc-1core can be searched in tiny"):
        html_page([TrainedSupernet(TINY)], ["epyc-1core"])


def test_the_command_writes_the_page(tmp_path):
    out = tmp_path / "explorer.html"
    arguments = ["export-explorer", str(out), "--supernet", "ofa-mbv3", "--device", "pi4"]
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert result.exception is None and str(out) in result.output
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(
        html_page([load("fmnist"), load("ofa-mbv3")], ["pi4", "epyc-1core", "stm32h743"]),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def browser(page, tmp_path):
    chrome = headless_chromium(tmp_path / "profile", 1100, 1800)
    chrome.get(page.as_uri())
    yield chrome
    log = chrome.get_log("browser")
    chrome.quit()
    assert not log


def text(browser, selector):
    return browser.find_element("css selector", selector).text


def choose(browser, id, label):
    from selenium.webdriver.support.select import Select

    Select(browser.find_element("id", id)).select_by_visible_text(label)


def photograph(browser, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SHOTS / f"{name}.png"))


@pytest.mark.slow
def test_controls_answer_to_the_keyboard_and_say_what_latency_is(browser):
    from selenium.webdriver.common.keys import Keys

    photograph(browser, "page-1-start")
    states = [text(browser, "#arch-text")]
    slider = browser.find_element("id", "limit")
    slider.send_keys(Keys.END)
    states.append(text(browser, "#arch-text"))
    slider.send_keys(*[Keys.ARROW_LEFT] * 150)
    states.append(text(browser, "#arch-text"))
    assert "(measured)" in text(browser, "#limit-text")
    assert slider.get_attribute("aria-valuetext") == text(browser, "#limit-text")
    device = "Raspberry Pi 4 (Cortex-A72 at 1.5 GHz, TFLite of 2021)"
    choose(browser, "device", device)
    states.append(text(browser, "#arch-text"))
    assert len(set(states)) == 4
    assert "(simulated" in text(browser, "#limit-text") and "simulated" in text(browser, "#figures")
    for picture in browser.find_elements("css selector", "svg"):
        assert picture.get_attribute("role") == "img"
    assert "simulated" in browser.find_element("css selector", "#front svg").get_attribute(
        "aria-label"
    )
    choose(browser, "space", "ofa-mbv3 (accuracies transferred from ofa-mbv3-w1.2)")
    for place in ("#figures", "#source"):
        assert "transferred from ofa-mbv3-w1.2" in text(browser, place)
    photograph(browser, "page-2-transferred")
    names = browser.execute_script(
        "return [...document.querySelectorAll('select, input')].map(each =>"
        " each.labels.length || each.ariaLabel)"
    )
    assert all(names)


@pytest.mark.slow
def test_a_board_is_imported_and_a_damaged_file_is_refused(browser, tmp_path):
    board = made_up(load("fmnist").space, noise=0.01)
    good, damaged = tmp_path / "latency.json", tmp_path / "damaged.json"
    good.write_text(json.dumps(board))
    damaged.write_text(json.dumps(board)[:-5])
    field = browser.find_element("id", "file")
    field.send_keys(str(damaged))
    assert text(browser, "#board-text") == "damaged.json: this is no JSON file."
    field.send_keys(str(good))
    assert "latency.json" in text(browser, "#board-text")
    selected = browser.find_element("css selector", "#device option:checked")
    assert "latency.json" in selected.text and "(measured)" in text(browser, "#limit-text")
    photograph(browser, "page-3-board")


@pytest.mark.slow
def test_results_show_once_a_guess_is_entered(browser):
    asked = predictions(load("fmnist"))
    items = browser.find_elements("css selector", "#questions li")
    assert len(items) == len(asked)
    for item, prediction in zip(items, asked):
        assert prediction.lesson not in browser.find_element("css selector", "body").text
        guess = item.find_element("css selector", "input")
        commit, skip = item.find_elements("css selector", "button")
        assert not commit.is_enabled()
        if item is items[0]:
            skip.click()
            assert "You made no guess" in item.text
        else:
            guess.send_keys("7")
            commit.click()
            assert f"You guessed 7 {prediction.unit}" in item.text
        assert f"{prediction.result:,g} {prediction.unit}" in item.text
        assert prediction.lesson in item.text and not guess.is_enabled()
    rows = browser.find_elements("css selector", "#summary tbody tr")
    assert [row.text.split(" ")[0] for row in rows] == [one.name.split(" ")[0] for one in asked]
    browser.execute_script("arguments[0].scrollIntoView()", rows[0])
    photograph(browser, "page-4-predictions")


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1024, 1400])
def test_nothing_leaves_its_card_or_the_page(browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    card, *controls = browser.execute_script(
        "return [...document.querySelectorAll('#controls, #controls select, #controls input')]"
        ".map((each) => each.getBoundingClientRect().right)"
    )
    assert max(controls) <= card
    photograph(browser, f"page-{width}")


def test_the_questions_are_not_answered_before_they_are_asked():
    page = (PARTS / "page.js").read_text(encoding="utf-8")
    assert "front.length}" not in page, "the size of the front is a question"
