"""Package metadata, read from settings.ini; pyproject.toml declares these fields dynamic."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

STATUSES = ["1 - Planning", "2 - Pre-Alpha", "3 - Alpha", "4 - Beta", "5 - Production/Stable"]

config = ConfigParser(delimiters=["="], interpolation=None)
config.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]

readme = Path("README.md").read_text(encoding="utf-8")
git_url = cfg.get("git_url", "").rstrip("/")
if git_url:  # the README is also the page on PyPI, where relative links would be broken
    at = {"": f"{git_url}/blob/v{cfg['version']}/", "!": f"{git_url}/raw/v{cfg['version']}/"}
    readme = re.sub(r"(!?)\[[^]]*\]\((?![a-z]+:|#)", lambda link: link[0] + at[link[1]], readme)

setup(
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme,
    long_description_content_type="text/markdown",
    license_expression=cfg["license"],
    author=cfg["author"],
    keywords=cfg["keywords"].split(),
    project_urls={"Repository": git_url, "Changelog": f"{git_url}/blob/main/CHANGELOG.md"} if git_url else {},
    classifiers=[
        f"Development Status :: {STATUSES[cfg.getint('status') - 1]}",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
    ],
    install_requires=cfg["requirements"].split("\n"),
    extras_require={
        name.removesuffix("_requirements"): text.split("\n")
        for name, text in cfg.items()
        if name.endswith("_requirements")
    },
    entry_points={"console_scripts": cfg["console_scripts"].split("\n")},
    packages=find_packages(include=[f"{cfg['lib_path']}*"]),
)
