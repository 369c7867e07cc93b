"""Generative recommendation for RecBole: semantic-ID tokenizers and models as a plug-in."""

__version__ = "0.1.0"
