"""Histories drawn at random, each step held against a model of what must be there."""

from sessionkit.testing._machine import promises as promises
