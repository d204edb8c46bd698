"""Package metadata, read from settings.ini; pyproject.toml declares these fields dynamic."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

STATUSES = ["1 - Planning", "2 - Pre-Alpha", "3 - Alpha", "4 - Beta", "5 - Production/Stable"]

config = ConfigParser(delimiters=["="], interpolation=None)
config.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]

setup(
    version=cfg["version"],
    description=cfg["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license=cfg["license"],
    author=cfg["author"],
    keywords=cfg["keywords"],
    classifiers=[
        f"Development Status :: {STATUSES[cfg.getint('status') - 1]}",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
    ],
    install_requires=cfg["requirements"].split("\n"),
    entry_points={"console_scripts": cfg["console_scripts"].split("\n")},
    packages=[cfg["lib_path"]],
)
