"""The HTTP endpoints: metrics, status, health, configuration, reload."""
