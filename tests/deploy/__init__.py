"""Tests of what deploy/ ships, with the real programs where they can be had."""
