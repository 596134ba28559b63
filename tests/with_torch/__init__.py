"""Tests that need torch, timm and open_clip; skipped where those are not installed."""
