"""Draw the top of a report of `itnet explain` as an image, by Chromium.

python examples/draw_report.py demo/explained/report.html docs/images/report.png [HEAD]
"""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

SIZE = 1100, 880


def main(report: Path, image: Path, head: int) -> None:
    """Open the report, choose a head by its number in the list, and write what the window shows."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, Service(which("chromedriver")))
    try:
        browser.set_window_size(*SIZE)
        browser.get(report.resolve().as_uri())
        browser.find_elements(By.CSS_SELECTOR, ".head")[head].click()
        browser.save_screenshot(str(image))
    finally:
        browser.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
